# amaranth: UnusedElaboratable=no
"""The page on which one draws a digit: the machine in it answers as the network does, from a disk and from a server."""

import functools
import http.server
import math
import re
import runpy
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from browser import MISPLACED, SIZES, browser, opened

import bitfold
from bitfold.model import zoo
from bitfold.model.layers import Chain, MaxPool
from bitfold.model.train.data import open_data
from bitfold.sim.occupancy import COMPUTE, TRANSFER, observe

EXAMPLE = Path(__file__).parents[1] / "examples" / "draw_a_digit.py"
NET = zoo.load("digits")


def arc(x, y, width, height, begin, end):
    """Points of an ellipse around (x, y), from one angle in degrees to another, counted against the clock."""
    angles = [math.radians(begin + (end - begin) * k / 16) for k in range(17)]
    return [(x + width * math.cos(angle), y - height * math.sin(angle)) for angle in angles]


DIGITS = {
    0: [arc(0.5, 0.5, 0.22, 0.38, 90, 450)],
    1: [[(0.38, 0.25), (0.52, 0.12), (0.52, 0.9)]],
    2: [[*arc(0.5, 0.32, 0.2, 0.2, 160, -40), (0.3, 0.88), (0.74, 0.88)]],
    3: [[*arc(0.48, 0.3, 0.2, 0.19, 150, -80), *arc(0.48, 0.68, 0.24, 0.2, 80, -150)]],
    4: [[(0.55, 0.1), (0.25, 0.6), (0.78, 0.6)], [(0.6, 0.35), (0.6, 0.92)]],
    5: [[(0.7, 0.12), (0.36, 0.12), (0.33, 0.45), *arc(0.48, 0.65, 0.22, 0.24, 120, -150)]],
    6: [[(0.62, 0.1), (0.38, 0.45), *arc(0.5, 0.68, 0.18, 0.2, 150, 510)]],
    7: [[(0.28, 0.14), (0.74, 0.14), (0.45, 0.9)], [(0.38, 0.5), (0.68, 0.5)]],
    8: [arc(0.5, 0.3, 0.16, 0.17, -90, 270), arc(0.5, 0.68, 0.2, 0.2, 90, -270)],
    9: [arc(0.5, 0.32, 0.17, 0.19, 0, 360), [(0.66, 0.35), (0.58, 0.9)]],
}
"""The strokes of each digit as somebody might draw it, in parts of the sheet."""


@pytest.fixture(scope="module")
def chromium():
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def file(chromium, tmp_path_factory):
    """The page, made by its command."""
    pytest.importorskip("ziglang", reason="Zig is not installed: pip install '.[web]'")
    folder = tmp_path_factory.mktemp("page")
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "-o", "page.html"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in folder.iterdir()] == ["page.html"]
    assert f"{(folder / 'page.html').stat().st_size:,} bytes" in done.stdout
    return folder / "page.html"


@pytest.fixture(params=["disk", "server"])
def address(request, file):
    """Where a browser finds the page."""
    if request.param == "disk":
        yield file.as_uri()
        return

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=file.parent)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{file.name}"
        server.shutdown()


def ready(chromium, address, *how, **more):
    page = opened(chromium, address, *how, **more)
    page.wait_for_selector("body[data-ready]")
    return page


def draw(page, strokes):
    """Draw on the sheet with a pointer."""
    box = page.locator("#sheet").bounding_box()
    for stroke in strokes:
        first, *rest = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*first)
        page.mouse.down()
        for point in rest:
            page.mouse.move(*point, steps=2)
        page.mouse.up()


def finish(page):
    """Let a run go to its end; on a busy computer it may be there before."""
    page.evaluate("document.querySelector('#finish').click()")
    assert page.evaluate("done()")


def shown(page):
    """The class, what is said of it, and both columns of logits, as they stand on the page."""
    rows = [row.split("\t") for row in page.inner_text("#logits tbody").replace("\n\t", "\t").splitlines()]
    machine, reference = ([int(row[side]) for row in rows] for side in (-2, -1))
    return page.inner_text("#class"), page.inner_text("#verdict"), machine, reference


@pytest.mark.slow
def test_drawn_digits_are_answered(chromium, address):
    page = ready(chromium, address)
    for digit, strokes in DIGITS.items():
        page.click("#clear")
        draw(page, strokes)
        finish(page)
        image = np.array(page.evaluate("pixels")).reshape(1, 8, 8, 1)
        logits = NET(image).ravel().tolist()
        assert shown(page) == (str(digit), "10 of 10 logits equal", logits, logits)
    assert page.errors == []
    page.close()


@pytest.mark.slow
def test_the_page_is_small_and_fast_and_needs_nothing_else(chromium, file):
    text = file.read_text("utf-8")
    assert len(text.encode()) < 5_000_000
    assert not re.search(r"""(?:src|href)=|@import|url\(|fetch\(""", re.sub(r'"wasm":"[^"]*"', "", text))
    page = ready(chromium, file.as_uri())
    seconds = page.evaluate("(() => { const t = performance.now(); begin(data.samples[3]); advance(Infinity); paint(); "
                            "return (performance.now() - t) / 1000; })()")  # fmt: skip
    assert shown(page)[1] == "10 of 10 logits equal"
    assert seconds < 1
    page.close()


@pytest.mark.slow
def test_machine_and_reference_give_the_networks_logits(chromium, file):
    """On every held-out digit; and pixels beyond those of a drawing, all 0 and all 16."""
    page = ready(chromium, file.as_uri())
    test = open_data("digits", None).test()
    images = np.concatenate([test.batch(np.arange(len(test))), np.full((1, 8, 8, 1), 16), np.zeros((1, 8, 8, 1))])
    images = images.astype(np.int64)
    both = page.evaluate(
        "all => all.map(given => { begin(given); halt(); advance(Infinity); return [logits(), expected]; })",
        images.reshape(-1, 64).tolist(),
    )
    given = NET(images).reshape(-1, 1, 10)
    assert (np.array(both) == given).all()
    page.close()


@pytest.mark.slow
def test_a_wrong_logit_is_seen(chromium, file):
    page = ready(chromium, file.as_uri())
    page.evaluate("data.net.layers.at(-1).bits = 'AAAA' + data.net.layers.at(-1).bits.slice(4)")
    page.click("#samples >> text=3")
    finish(page)
    _, verdict, machine, reference = shown(page)
    assert machine == NET(np.array(page.evaluate("pixels")).reshape(1, 8, 8, 1)).ravel().tolist()
    wrong = [a != b for a, b in zip(machine, reference, strict=True)]
    assert wrong == [True] + 9 * [False]
    assert verdict == "9 of 10 logits equal"
    assert page.get_attribute("#verdict", "class") == "wrong"
    assert page.locator("#logits tr.wrong").count() == 1
    page.close()


@pytest.mark.slow
def test_streams_are_shown_as_they_move(chromium, file):
    """What each unit did in each part of the run is what the simulation of the same Verilog finds."""
    page = ready(chromium, file.as_uri())
    image = np.array(page.evaluate("data.samples[7]")).reshape(1, 8, 8, 1)
    page.evaluate("begin(data.samples[7]); halt()")
    found = observe(NET, bitfold.balance(NET, cycles=2400), image, bins=1)
    cycles, parts = page.evaluate("whole"), []
    while not page.evaluate("done()"):
        parts.append(page.evaluate("(advance(500), paint(), [...slice])"))
        states = np.array(parts[-1]).reshape(-1, 4)
        wires = page.evaluate("parts.filter(each => each.wire).map(each => [each.rank, each.part.matches('.moves')])")
        assert len(wires) >= len(found.units)
        assert [(rank, moves) for rank, moves in wires if moves != (states[rank][TRANSFER] > 0)] == []
        assert (states.sum(axis=1) == min(500, cycles - 500 * (len(parts) - 1))).all()
    total = np.array(parts).reshape(len(parts), -1, 4).sum(axis=0)[1:]
    assert cycles == found.run.cycles
    for unit, states in zip(found.units, total, strict=True):
        counts = unit.counts.sum(axis=1)
        assert states[TRANSFER] == counts[TRANSFER] == unit.words
        # A window's step is seen a few cycles late.
        assert abs(states[COMPUTE] - counts[COMPUTE]) <= 4, unit.name
    assert page.inner_text("#cycle") == f"cycle {cycles:,}"
    assert set(page.locator(".unit .use").all_text_contents()) == {"100 %"}
    page.close()


@pytest.mark.slow
def test_it_plays_halts_and_goes_on(chromium, file):
    page = ready(chromium, file.as_uri())
    assert page.is_disabled("#play")
    page.select_option("#speed", label="100 cycles a second")
    draw(page, DIGITS[4])
    page.wait_for_function("machine.cycles() > 10")
    page.click("#play")
    halted = page.evaluate("machine.cycles()")
    assert 10 < halted < page.evaluate("whole")
    page.click("#step")
    assert page.evaluate("machine.cycles()") == halted + 1
    page.select_option("#speed", label="as fast as it goes")
    page.click("#play")
    page.wait_for_function("done()")
    assert page.inner_text("#class") == "4"
    assert page.inner_text("#play") == "Again"
    page.click("#clear")
    assert page.inner_text("#class") == "–"
    assert page.evaluate("pixels.some(Boolean)") is False
    page.close()


@pytest.mark.slow
def test_a_finger_draws_and_does_not_scroll(chromium, file):
    page = ready(chromium, file.as_uri(), 390, has_touch=True)
    box, touch = page.locator("#sheet").bounding_box(), page.context.new_cdp_session(page)
    for kind, points in [("Start", [0.1]), *(("Move", [0.1 + 0.04 * k]) for k in range(20)), ("End", [])]:
        at = [{"x": box["x"] + box["width"] / 2, "y": box["y"] + y * box["height"]} for y in points]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": at})
    assert page.evaluate("scrollY") == 0
    [stroke] = page.evaluate("strokes")
    assert stroke[-1] == pytest.approx([0.5, 0.86], abs=0.01)
    finish(page)
    assert page.inner_text("#class") == "1"
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_nothing_is_wider_than_its_place(chromium, file, width, scheme):
    page = ready(chromium, file.as_uri(), width, scheme)
    assert page.evaluate(MISPLACED) == []
    draw(page, DIGITS[8])
    finish(page)
    assert page.evaluate(MISPLACED) == []
    page.close()


def test_what_is_missing_is_said(monkeypatch):
    example = runpy.run_path(str(EXAMPLE))
    scope = example["compile_machine"].__globals__
    monkeypatch.setitem(scope, "find_spec", lambda name: None)
    with pytest.raises(bitfold.BadInput, match=r"^the Python package ziglang is missing; in bitfold's folder: pip"):
        example["compile_machine"](NET, bitfold.balance(NET, cycles=2400), {})


def test_the_command_refuses_a_place_that_is_none(tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "-o", "no/page.html"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "draw_a_digit.py: no/page.html cannot be written: No such file or directory; choose another place\n"
    )


def test_a_layer_that_the_page_does_not_know_is_none_of_its_reference():
    told = runpy.run_path(str(EXAMPLE))["told"]
    assert [layer["kind"] for layer in told(NET.body)["layers"]] == [type(layer).__name__ for layer in NET.body.layers]
    with pytest.raises(TypeError, match="knows no MaxPool"):
        told(Chain((MaxPool(2, 2),)))
