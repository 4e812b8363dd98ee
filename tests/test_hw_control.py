# amaranth: UnusedElaboratable=no
"""The registers on both buses, by cocotb's masters; what C and Python are told of them."""

import re
import runpy
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from strategies import images
from test_hw_verilog import DESIGNS

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.control.registers import registers
from bitfold.hw.load import words
from bitfold.hw.verilog.formats import Interface
from bitfold.hw.verilog.write import write
from bitfold.sim.cosim import play

BUSES = ("axi-lite", "wishbone")
NET, PLAN = DESIGNS["everything"]
TABLE = registers(NET.digest(), PLAN.digest(), False)
CONSTANT = {register.name: register.value for register in TABLE if register.value is not None}


@pytest.fixture(params=BUSES)
def path(request, tmp_path):
    """The Verilog with the registers on a bus."""
    return write(NET, PLAN, tmp_path, interface=Interface(control=request.param))


def job():
    """Frames for the test bench."""
    frames = [image.astype(np.uint8).tobytes() for image in images(NET, 3)]
    return {
        "offsets": {register.name: register.offset for register in TABLE},
        "frames": frames,
        "long_frame": frames[0] + frames[1],
        "settle": 3000,
    }


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not on PATH")
def test_registers(path):
    found = play(path, job(), "control_bench")
    assert found["fresh"].items() >= CONSTANT.items()
    assert found["unmapped"] == found["fresh"]["control"] == 0
    after = found["after"]
    assert (after["frames"], after["short_frames"], after["long_frames"]) == (3, 1, 1)
    counters = after | {"cycles": 0}
    assert found["untouched"] | {"cycles": 0} == counters
    counted, passed = found["counted"]
    assert abs(counted - passed) < 20
    assert (found["waiting"], found["emptied"], found["left over"]) == (1, 0, 0)
    reset = found["reset"]
    assert (reset["frames"], reset["short_frames"], reset["long_frames"]) == (0, 0, 0)
    assert reset["cycles"] < 300
    assert found["again"] == found["values"][1]
    assert found["once"]["frames"] == 1
    assert found["once"]["short_frames"] == found["once"]["long_frames"] == 0
    expected = NET(images(NET, 3)).reshape(3, -1)
    size = len(found["again"]) // expected.shape[1]
    values = [np.frombuffer(value, f"<i{size}") for value in found["values"]]
    np.testing.assert_array_equal(values, expected)


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is not on PATH")
@pytest.mark.parametrize("bus", BUSES)
def test_load_status(bus, tmp_path):
    """Frames wait until a load has passed; the registers tell why, and a soft reset takes contents away."""
    plan = replace(PLAN, weights="loadable")
    path = write(NET, plan, tmp_path, interface=Interface(control=bus))
    good = words(NET, Accelerator(NET, plan))
    damaged = good.copy()
    damaged[-2] ^= 1 << 7
    loads = [load.tobytes() for load in (damaged, good, good)]
    frame = images(NET, 1)[0].astype(np.uint8).tobytes()
    offsets = {register.name: register.offset for register in TABLE}
    found = play(path, {"offsets": offsets, "loads": loads, "frame": frame, "settle": 3000}, "load_bench")
    expected = NET(images(NET, 1)).ravel()
    values = [np.frombuffer(beats, f"<i{len(beats) // len(expected)}") for *_, beats in found[2:4]]
    np.testing.assert_array_equal(values, [expected] * 2)
    assert [seen[:2] for seen in found] == [[1, 0], [5, 0], [3, 1], [3, 2], [1, 0]]
    assert found[1][2] is None


def test_python_and_c_name_the_registers(path):
    """A module that runs, a header that a compiler takes: the same constants."""
    named = runpy.run_path(str(path.with_name("bitfold_registers.py")))
    assert [named[register.name.upper()] for register in TABLE] == list(range(0, 4 * len(TABLE), 4))
    assert {name: named[f"{name.upper()}_VALUE"] for name in CONSTANT} == CONSTANT
    assert named["CONTROL_SOFT_RESET"] == 1
    constants = {f"BITFOLD_{key}": value for key, value in named.items() if key.isupper()}
    checks = "".join(f'static_assert({key} == {value}u, "{key}");\n' for key, value in constants.items())
    (path.parent / "checks.cpp").write_text(f'#include "bitfold.h"\n#include "bitfold.h"\n{checks}')
    subprocess.run(
        ["g++", "-std=c++17", "-Wall", "-Werror", "-fsyntax-only", "checks.cpp"], cwd=path.parent, check=True
    )
    defined = re.findall(r"^#define (\w+) ", path.with_suffix(".h").read_text(), re.MULTILINE)
    assert set(defined) == set(constants)


def test_the_sheet_has_all_registers(path):
    text = path.with_suffix(".md").read_text()
    rows = re.findall(r"^\| 0x(\w\w) \| `(\w+)` \|.*?(?:: 0x(\w{8}))? \|$", text, re.MULTILINE)
    assert [(int(offset, 16), name) for offset, name, _ in rows] == [(r.offset, r.name) for r in TABLE]
    assert {name: int(value, 16) for _, name, value in rows if value} == CONSTANT


def test_digests_are_those_of_network_and_plan():
    assert f"{CONSTANT['network_0']:08x}{CONSTANT['network_1']:08x}" == NET.digest()[:16]
    assert f"{CONSTANT['plan_0']:08x}{CONSTANT['plan_1']:08x}" == PLAN.digest()[:16]
    assert CONSTANT["identity"].to_bytes(4, "big") == b"bfld"


def test_without_a_bus_there_is_none_of_it(tmp_path):
    text = write(NET, PLAN, tmp_path).read_text()
    assert "s_axi_" not in text
    assert "wb_" not in text
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bitfold.md", "bitfold.toml", "bitfold.v"]
    assert "## Registers" not in (tmp_path / "bitfold.md").read_text()
