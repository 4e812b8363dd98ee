"""Settings of PLLs: inside the ranges of the data sheets, the clock as their makers' formulas have it, the fastest."""

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitfold.boards.pll import ecp5, gowin, ice40, xc7
from bitfold.boards.pll.choose import FAMILIES, fastest
from bitfold.model.yowasp import tool

RANGES = {
    "ice40": ice40,
    "ecp5": ecp5,
    "xc7": xc7,
    "gw1nr-9c": gowin.GW1NR_9C,
    "gw2ar-18c": gowin.GW2AR_18C,
}
CRYSTALS = {"ice40": (10, 133), "ecp5": (8, 200), "xc7": (19, 400), "gw1nr-9c": (3, 200), "gw2ar-18c": (3, 200)}


def limits(family):
    """Ranges of phase detector, VCO and output, in hertz."""
    ranges = RANGES[family]
    if isinstance(ranges, gowin.Device):
        return ranges.pfd, ranges.vco, ranges.out
    return ranges.PFD, ranges.VCO, ranges.OUT


def made(setting):
    """(phase detector, VCO, clock) of the numbers that the primitive is given, in hertz."""
    match setting:
        case ice40.Setting(crystal=f, divr=r, divf=n, divq=q):
            return f / (r + 1), f * (n + 1) / (r + 1), f * (n + 1) / (r + 1) / 2**q
        case ecp5.Setting(crystal=f, clki=i, clkfb=b, clkop=o):
            return f / i, f * b * o / i, f * b / i
        case gowin.Setting(crystal=f, idiv=i, fbdiv=b, odiv=o):
            return f / (i + 1), f * (b + 1) * o / (i + 1), f * (b + 1) / (i + 1)
        case xc7.Setting(crystal=f, divclk=d, mult=n, clkout=o):
            return f / d, f * n / d, f * n / d / o


def test_every_family_is_looked_at():
    assert set(RANGES) == set(CRYSTALS) == set(FAMILIES)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_fastest_clock_is_inside_all_ranges(data):
    family = data.draw(st.sampled_from(sorted(FAMILIES)))
    low, high = CRYSTALS[family]
    crystal = data.draw(st.integers(4 * low, 4 * high)) * 250_000
    least, most = (data.draw(st.floats(1e6, 7e8)) for _ in range(2))
    found = fastest(family, crystal, least, most)
    rivals = [setting.clock for setting in FAMILIES[family](crystal) if least <= setting.clock <= most]
    if found is None:
        assert not rivals
        return
    assert found.clock == max(rivals)
    told = (found.pfd, found.vco, found.clock)
    for value, figure, (lo, hi) in zip(told, made(found), limits(family), strict=True):
        assert float(value) == pytest.approx(figure, rel=1e-12)
        assert lo <= value <= hi


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_every_setting_has_numbers_that_its_registers_hold(data):
    family = data.draw(st.sampled_from(sorted(FAMILIES)))
    crystal = data.draw(st.sampled_from([25, 27, 48, 100, 125])) * 1_000_000
    every = list(FAMILIES[family](crystal))
    assert every
    setting = data.draw(st.sampled_from(every))
    match setting:
        case ice40.Setting(divr=r, divf=n, divq=q):
            assert (r in range(16), n in range(128), q in range(1, 7)) == (True, True, True)
        case ecp5.Setting(clki=i, clkfb=b, clkop=o):
            assert (i in range(1, 129), b in range(1, 81), o in range(1, 129)) == (True, True, True)
        case gowin.Setting(idiv=i, fbdiv=b, odiv=o):
            assert (i in range(64), b in range(64), o in gowin.ODIVS) == (True, True, True)
        case xc7.Setting(divclk=d, mult=n, clkout=o):
            assert (d in range(1, 57), n in range(2, 65), o in range(1, 129)) == (True, True, True)


def asked(program, *words):
    done = subprocess.run(
        [sys.executable, tool(program), *words], capture_output=True, text=True, check=True, timeout=300
    )
    return done.stdout


@pytest.mark.parametrize("most", [30e6, 61.3e6, 187e6])
def test_icepll_makes_the_same_clock_of_the_same_numbers(most):
    setting = fastest("ice40", 12_000_000, 0, most)
    out = asked("yowasp-icepll", "-i", "12", "-o", str(setting.clock / 1e6))
    assert float(re.search(r"F_PLLOUT: +([\d.]+) MHz \(achieved\)", out)[1]) == setting.clock / 1e6
    numbers = [int(re.search(rf"{name}: +(\d+) ", out)[1]) for name in ("DIVR", "DIVF", "DIVQ")]
    same = ice40.Setting(12_000_000, *numbers)
    assert same.clock == setting.clock
    assert same in set(ice40.settings(12_000_000))
    ranges = [number for most, number in ice40.FILTERS if same.pfd <= most]
    assert int(re.search(r"FILTER_RANGE: (\d)", out)[1]) == ranges[0]


@pytest.mark.parametrize(("crystal", "most"), [(25, 61e6), (25, 110e6), (48, 133.3e6)])
def test_ecppll_makes_the_same_clock_of_the_same_numbers(crystal, most):
    setting = fastest("ecp5", crystal * 1_000_000, 0, most)
    out = asked("yowasp-ecppll", "-i", str(crystal), "-o", str(setting.clock / 1e6))
    names = ("Refclk divisor", "Feedback divisor", "clkout0 divisor")
    same = ecp5.Setting(crystal * 1_000_000, *(int(re.search(rf"{name}: (\d+)", out)[1]) for name in names))
    assert same.clock == setting.clock
    assert ecp5.VCO[0] <= same.vco <= ecp5.VCO[1]
