"""The thorough engines: cocotb with cocotbext-axi on the generated Verilog, in Icarus Verilog or Verilator.

The simulator runs in a process of its own, so nothing of it stays behind in the caller's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .stimulus import Broken, Capture, Progress, Stimulus, out_dtype
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
    stimulus: Stimulus,
    *,
    simulator: str = "icarus",
    waveform: Path | None = None,
    signals: Sequence[str] = (),
    progress: Progress | None = None,
    expected: int = 0,
) -> Capture:
    """Simulate with `simulator` "icarus" or "verilator"; `waveform` is a VCD to write.

    Icarus restricts the waveform to the clock and `signals` (hierarchical names), if there are any.
    `progress` hears of the end only. Raises Broken when the output stream breaks its contract, BadInput when
    a program is missing, RuntimeError with the end of the log when the simulator fails.
    """
    module("cocotb")
    module("cocotbext.axi")
    path = os.environ.get("PATH", "")
    if simulator == "icarus":
        program("iverilog", "iverilog")
    else:
        path = f"{module('verilator') / 'bin'}{os.pathsep}{path}"
        program("g++", "g++ make")
        program("make", "g++ make")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stimulus.beats.tofile(folder / "in")
        np.savez(
            folder / "job.npz",
            in_bytes=stimulus.in_bytes,
            out_bytes=stimulus.out_bytes,
            outputs=stimulus.outputs,
            pauses=stimulus.pauses,
            seed=stimulus.seed,
            watchdog=stimulus.watchdog,
            drain=stimulus.drain,
        )
        env = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}
        env |= {
            "PATH": path,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "BITFOLD_JOB": str(folder),
            "COCOTB_RANDOM_SEED": str(stimulus.seed),
            "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0",
            "SIM_CMD_SUFFIX": "-vcd" if simulator == "icarus" and waveform is not None else "",
        }
        shown = ", ".join(["bitfold.clk", *signals]) if signals else "bitfold"
        (folder / "dump.v").write_text(DUMP.format(folder=folder, signals=shown))
        command = [sys.executable, "-m", __name__, simulator, str(verilog.resolve()), str(folder)]
        command.append("waves" if waveform is not None else "")
        log = folder / "log"
        cycles = stimulus.watchdog + 100 * (len(stimulus.beats) + stimulus.outputs)
        _call(command, env, log, BUILD_SECONDS + cycles / SLOWEST)
        if not (folder / "results.npz").exists():
            raise RuntimeError(f"{simulator} failed:\n{log.read_text(errors='replace')[-4000:]}")
        results = np.load(folder / "results.npz")
        if waveform is not None:
            _copy_waveform(folder / "dump.vcd", waveform)
        if broken := str(results["broken"]):
            raise Broken(broken)
        capture = Capture(
            np.fromfile(folder / "out", out_dtype(stimulus.out_bytes)),
            np.fromfile(folder / "frames", "<u8").reshape(-1, 2),
            int(results["cycles"]),
            int(results["short_frames"]),
            int(results["long_frames"]),
            bool(results["stuck"]),
            _state(results["input"]),
            _state(results["output"]),
        )
    if progress is not None:
        progress(int(capture.beats["last"].sum()), expected)
    return capture


def _state(values: NDArray[np.int64]) -> tuple[bool, bool, int]:
    valid, ready, transfers = values
    return bool(valid), bool(ready), int(transfers)


def _copy_waveform(source: Path, target: Path) -> None:
    """Copy a VCD; Verilator names the outermost scope $rootio under cocotb, which readers refuse."""
    with source.open("rb") as old, target.open("wb") as new:
        for line in old:
            new.write(line.replace(b"$rootio", b"TOP"))
            if b"$enddefinitions" in line:
                break
        shutil.copyfileobj(old, new)


def _call(command: list[str], env: dict[str, str], log: Path, timeout: float) -> None:
    """Run to the end, or end the whole process group after `timeout` seconds."""
    streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    with log.open("w") as file, subprocess.Popen(
        command, env=env, stdout=file, start_new_session=True, **streams
    ) as process:  # fmt: skip
        try:
            process.wait(timeout)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise Broken(f"the simulation did not end within {timeout:.0f} seconds") from None
            raise


def _main(simulator: str, verilog: str, folder: str, waves: str) -> None:
    from cocotb_tools.runner import get_runner

    runner = get_runner(simulator)
    common = {"hdl_toplevel": "bitfold", "build_dir": folder, "timescale": ("1ns", "1ps")}
    if simulator == "icarus":
        common["waves"] = False  # ours shows what we choose, and as VCD
        dump = [f"{folder}/dump.v"] if waves else []
        runner.build(sources=[verilog, *dump], build_args=["-s", "dump"] if waves else [], **common)
    else:
        common["waves"] = bool(waves)
        arguments = ["-Wno-lint", "-Wno-style", "-Wno-fatal", "-O3", "--trace-max-width", "0"]
        runner.build(sources=[verilog], build_args=arguments, **common)
    runner.test(test_module="bitfold.sim.bench", test_dir=folder, **common)


if __name__ == "__main__":
    _main(*sys.argv[1:])
