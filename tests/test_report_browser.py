# amaranth: UnusedElaboratable=no
"""The report in a browser, on a desk and on a phone: nothing is wider than its place, and what scrolls shows it."""

import dataclasses

import pytest
from browser import MISPLACED, SIZES, browser, opened
from sim_nets import INPUT
from test_report import MACHINES, NESTED, PATH, machine, placed, simulation

from bitfold.boards.implement import Implementation
from bitfold.boards.synth import Netlist
from bitfold.model import zoo
from bitfold.model.layers import Chain
from bitfold.model.net import Net
from bitfold.report.figures import gather
from bitfold.report.page import render


def synthesised(net, lanes=1024):
    """A machine with all that a page can have: measured cells, memory blocks, a clock."""
    accelerator = machine(net, lanes, target="ecp5-85")
    cells = {"LUT4": 12345, "CCU2C": 2345, "TRELLIS_FF": 23456, "DP16KD": 98}
    names = [f"bitfold__accelerator__{unit}" for unit in accelerator.pipeline.units]
    netlist = Netlist("ecp5", cells, {name: {"LUT4": 1234, "TRELLIS_FF": 2345, "DP16KD": 12} for name in names})
    return accelerator, Implementation(netlist, {seed: placed(100.0 + seed, PATH) for seed in (1, 2, 3)}, None)


PAGES = {
    "digits": lambda: synthesised(zoo.load("digits")),
    "nested": lambda: synthesised(Net(INPUT, Chain((NESTED,))), 16),
    "anywhere": lambda: (machine(zoo.load("digits"), 64), None),
    "pixels at once": lambda: (MACHINES["digits, pixels at once"](), None),
}


@pytest.fixture(scope="module", params=PAGES)
def report(request, tmp_path_factory):
    """The address of a report."""
    accelerator, implementation = PAGES[request.param]()
    figures = gather(request.param, accelerator, implementation)
    found = simulation([unit.name for unit in figures.units])
    file = tmp_path_factory.mktemp("report") / f"{request.param}.html"
    file.write_text(render(dataclasses.replace(figures, simulation=found), accelerator), "utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def chromium():
    with browser() as running:
        yield running


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_nothing_is_wider_than_its_place(chromium, report, width, scheme):
    page = opened(chromium, report, width, scheme)
    if width == 1280 and report.endswith("/digits.html"):
        wide = "panel => panel.scrollWidth > panel.clientWidth"
        assert not any(panel.evaluate(wide) for panel in page.locator(".panel").all())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.evaluate("document.querySelector('#moves').click()")
    assert page.evaluate(MISPLACED) == []
    assert page.errors == []
    page.close()


def test_what_lies_wrong_is_found(chromium, report):
    page = opened(chromium, report, 390)
    page.evaluate("document.querySelector('.unit .text').textContent = 'x'.repeat(60)")
    assert page.evaluate(MISPLACED)[0].startswith("outside its box: xxx")
    page.evaluate("document.querySelector('h1').style.minWidth = '500px'")
    assert "the page is 5" in page.evaluate(MISPLACED)[0]
    page.close()


def test_a_legend_shows_its_colours(chromium, report):
    page = opened(chromium, report)
    colours = page.evaluate(
        "[...document.querySelectorAll('.legend i:not([style*=border])')].map(each => getComputedStyle(each)).map("
        "style => style.backgroundImage + style.backgroundColor)"
    )
    assert len(colours) >= 5
    assert "nonergba(0, 0, 0, 0)" not in colours
    page.close()


def pixels(page, panel, side):
    """The sum of the colours of a strip 10 pixels wide at this side of a panel, between its rows."""
    box = panel.bounding_box()
    x = box["x"] + 1 if side == "left" else box["x"] + box["width"] - 11
    clip = {"x": x, "y": box["y"] + 2, "width": 10, "height": 4}
    return page.screenshot(clip=clip, full_page=True)


def test_an_edge_shows_that_more_is_behind_it(chromium, report):
    page = opened(chromium, report, 390)
    panel = page.locator(".panel:has(svg)").first
    begun = pixels(page, panel, "right")
    assert begun != pixels(page, panel, "left")
    panel.evaluate("panel => panel.scrollLeft = panel.scrollWidth")
    ended = pixels(page, panel, "left")
    assert ended != pixels(page, panel, "right")
    assert pixels(page, panel, "right") != begun
    page.close()
