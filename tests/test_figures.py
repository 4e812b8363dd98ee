"""The figures of every commit: what counts as worse, files that are none, the page, and a run of a quick part."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import area as area_of_machines
import pytest
from figures import MARGINS, Figure, Figures, compare, differences, load, page, words

from bitfold.model.error import BadInput

ROOT = Path(__file__).parents[1]
ALL = ROOT / "benchmarks" / "all.py"
SPEC = importlib.util.spec_from_file_location("everything", ALL)
everything = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(everything)


def run(*given):
    done = subprocess.run([sys.executable, ALL, *map(str, given)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def measured(*figures, failed=(), processor="one", **versions):
    """A file's content, of these figures and no others."""
    parts = dict.fromkeys((figure.part for figure in figures), 1.0)
    return Figures(
        "0123456789abcdef", False, "2026-11-28T12:00:00+00:00", processor, versions, parts, dict(failed), figures
    )


def area(value, name="xc7", part="arrays"):
    return Figure(part, name, "LUTs", value)


def verdicts(old, new):
    return [row.verdict for row in compare(measured(*old), measured(*new))]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [(1000, 1010, "same"), (1000, 1011, "worse"), (1000, 990, "same"), (1000, 989, "better"), (100, 101, "same"),
     (4.2, 4.242, "same"), (4.2, 4.243, "worse"), (0, 0, "same"), (0, 1, "worse"), (1, 0, "better")],
)  # fmt: skip
def test_less_area_is_better_by_more_than_one_in_a_hundred(old, new, said):
    assert verdicts([area(old)], [area(new)]) == [said]


@pytest.mark.parametrize("kind", MARGINS)
def test_more_is_better_beyond_its_kinds_margin(kind):
    margin = float(MARGINS[kind])

    def rate(share):
        return Figure("simulation", "digits", "images/s", round(1000 * share), "more", kind)

    assert verdicts([rate(1)], [rate(1 - margin)]) == ["same"]
    assert verdicts([rate(1)], [rate(0.998 - margin)]) == ["worse"]
    assert verdicts([rate(1)], [rate(1.002 + margin)]) == ["better"]


def test_rates_of_two_processors_are_apart_and_ratios_are_not():
    rate, ratio = Figure("a", "r", "images/s", 8, "more", "rate"), Figure("a", "q", "times", 8, "more", "ratio")
    slow = [dataclasses.replace(each, value=1) for each in (rate, ratio)]
    rows = compare(measured(rate, ratio), measured(*slow, processor="two"))
    assert [row.verdict for row in rows] == ["apart", "worse"]
    assert [row.verdict for row in compare(measured(rate, ratio), measured(*slow))] == ["worse", "worse"]
    assert differences(measured(rate), measured(rate, processor="two")) == [
        "one before, two now: rates are not compared"
    ]


def test_a_figure_that_is_not_there_any_more_is_red():
    one, other, slow = area(1), area(2, "ecp5"), area(3, part="estimates")
    assert verdicts([one, other], [one]) == ["same", "gone"]
    assert verdicts([one], [one, other]) == ["same", "new"]
    assert verdicts([one], [one, slow]) == ["same"]  # a part that only one of them was asked for
    assert verdicts([one, slow], [one]) == ["same"]
    rows = compare(measured(one, slow), measured(one, failed={"estimates": "no Yosys"}))
    assert [row.verdict for row in rows] == ["same", "gone"]
    # What is measured in another unit is another figure.
    assert verdicts([one], [dataclasses.replace(one, unit="ALMs")]) == ["new", "gone"]
    with pytest.raises(BadInput, match="no part in common"):
        compare(measured(one), measured(slow))


def test_what_is_told_and_drawn():
    old = measured(area(100), area(50, "ecp5"), area(7, "gowin"), numpy="1")
    new = measured(area(150), area(25, "ecp5"), area(7, "<b>"), numpy="2", failed={"training": "no torch"})
    rows = compare(old, new)
    told = words(old, new, rows).splitlines()
    assert told[1].split() == ["worse", "arrays:", "xc7,", "LUTs", "100", "150", "+50.0", "%"]
    assert told[2].split()[0] == "gone"
    assert told[3].split()[0] == "better"
    assert told[-1] == "1 worse, 1 gone, 1 better, 0 same, 1 new, 0 apart"
    assert {"numpy 1 before, 2 now", "training failed: no torch"} < set(told)
    text = page(old, new, rows)
    assert text.count('<tr class="worse">') == 2  # above, and among its part
    assert text.count('<tr class="better">') == 1
    assert '<td class="l name">&lt;b&gt;<' in text
    assert "training failed: no torch" in text
    assert not any(word in text for word in ("http", "src=", "url(", "@import"))
    assert "Nothing got worse." in page(old, old, compare(old, old))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: "{", "no JSON"),
        (lambda found: "[" * 100_000, "no JSON"),
        (lambda found: "[]", 'has no "bitfold_figures": 1'),
        (lambda found: json.dumps(found | {"bitfold_figures": 2}), 'has no "bitfold_figures": 1'),
        (lambda found: json.dumps(found | {"more": 1}), "the file must have commit, changed, "),
        (lambda found: json.dumps(found | {"figures": {}}), "figures of the file is of the wrong type"),
        (lambda found: json.dumps(found | {"versions": {"numpy": 2}}), "numpy of versions is of the wrong type"),
        (lambda found: json.dumps(found | {"figures": [{}]}), "figure 0 must have part, name, "),
        (lambda found: json.dumps(found | {"figures": found["figures"] * 2}), "there are 2 figures 'xc7' of arrays"),
        *((lambda found, value=value: json.dumps(found | {"figures": [found["figures"][0] | value]}), said)
          for value, said in (({"value": float("nan")}, "figure 0 has the value nan"),
                              ({"value": -1}, "figure 0 has the value -1"),
                              ({"value": True}, "figure 0 has the value True"),
                              ({"value": "4"}, "value of figure 0 is of the wrong type"),
                              ({"better": "big"}, "better less or more"), ({"kind": "x"}, "of a kind of exact, "))),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_refused_in_a_line(change, said, tmp_path):
    file = tmp_path / "figures.json"
    file.write_text(measured(area(1)).text())
    assert load(file) == measured(area(1))
    file.write_text(change(json.loads(file.read_text())))
    with pytest.raises(BadInput) as refused:
        load(file)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_command_ends_with_its_status(tmp_path):
    old, new, none, html = (tmp_path / name for name in ("old.json", "new.json", "none.json", "page.html"))
    old.write_text(measured(area(100)).text())
    new.write_text(measured(area(102)).text())
    none.write_text("nothing")
    status, out, err = run("--compare", old, old, "-o", html)
    assert (status, out.splitlines()[-1], err) == (0, "0 worse, 0 gone, 0 better, 1 same, 0 new, 0 apart", "")
    assert run("--compare", old, new, "-o", html)[::2] == (1, "")
    assert '<tr class="worse">' in html.read_text()
    assert run("--compare", new, old)[0] == 0
    for words_, said in (
        (("--compare", old, none), f"all: {none} is not a file of figures: no JSON"),
        (("--compare", old, tmp_path / "x"), f"all: {tmp_path / 'x'} cannot be read: No such file"),
        (("--compare", old, new, "-o", tmp_path / "no" / "page"), f"all: {tmp_path / 'no' / 'page'}: No such file"),
        (("--compare", old, new, "arrays"), "all: --compare measures nothing"),
        (("-o", html), "all: -o is for the page of --compare"),
        (("arays",), "all: there is no part arays; did you mean arrays? there are arrays, "),
    ):
        status, out, err = run(*words_)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(said)


def test_a_quick_part_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(area_of_machines, "CASES", area_of_machines.CASES[:2])
    file = tmp_path / "figures.json"
    file.write_text(everything.measure(["networks"]).text())
    found = load(file)
    assert {figure.part for figure in found.figures} == {"networks"} == set(found.seconds)
    assert [figure.unit for figure in found.figures] == ["LUTs", "flip-flops", "memory blocks"] * 2
    assert all(figure.value > 0 for figure in found.figures)
    assert set(found.versions) >= {"python", "bitfold", "numpy"}
    assert {row.verdict for row in compare(found, found)} == {"same"}


def test_a_part_that_fails_leaves_the_others(monkeypatch, capsys):
    """As where a package is missing, or the machine is wrong; what a benchmark prints is not among the JSON."""

    def printing():
        print("something")
        yield Figure("cycles", "a", "cycles", 1)

    parts = {"training": lambda: iter([import_module("no_torch")]), "clock": lambda: sys.exit("a multiplier")}
    for name, part in (parts | {"cycles": printing}).items():
        monkeypatch.setitem(everything.PARTS, name, part)
    found = everything.measure(["training", "clock", "cycles"])
    assert found.failed == {"training": "No module named 'no_torch'", "clock": "a multiplier"}
    assert found.figures == (Figure("cycles", "a", "cycles", 1),)
    assert list(found.seconds) == ["cycles"]
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys, "argv", ["all.py", "clock", "cycles", "--json"])
    assert everything.main() == 1
    assert json.loads(capsys.readouterr().out)["failed"] == {"clock": "a multiplier"}


def test_a_program_that_fails_is_told_by_its_last_line():
    with pytest.raises(RuntimeError, match=r"^-c ended with status 1: ValueError: so$"):
        everything.told("-c", "raise ValueError('so')")
    assert everything.told("-c", "print('{}')") == {}
