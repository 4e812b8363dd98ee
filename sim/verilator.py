"""The fast engine: Verilator's C++ model of the generated Verilog and a small driver in C++."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .stimulus import Broken, Capture, Progress, Stimulus, out_dtype
from .tools import cache, module, program

DRIVER = Path(__file__).with_name("driver.cpp")
COUNTERS = Path(__file__).with_name("counters.vlt")
"""Lets the driver set the counters of bad frames, which nobody would count up to their end."""
NUMBERS = ("in_beats", "out_beats", "out_bytes", "seed", "patient", "watchdog", "drain", "cut_in", "cut_out", "preset")
"""The parts of a stimulus that are integers."""
SILENCE = 300.0
"""Seconds without a sign of life after which the simulation is ended."""
KEEP = 64
"""Compiled models that the cache holds; the oldest go first."""


def build(verilog: Path, *, waveform: bool = False, folder: Path | None = None) -> Path:
    """Compile `verilog` to an executable and return its path; the same content is compiled once.

    Parameters
    ----------
    waveform : a model that can write waveforms
    folder : where compiled models are kept; None is the user's cache

    BadInput when Verilator, g++ or make are missing; RuntimeError with their output when they fail.
    """
    root = module("verilator")
    gcc, make = program("g++", "g++ make"), program("make", "g++ make")
    verilate = [
        str(root / "bin" / "verilator_bin"), "--cc", "--exe", "-O3", "--no-assert",
        "--x-assign", "fast", "--x-initial", "fast", "-Wno-lint", "-Wno-style", "-Wno-fatal",
        "--output-split", "3000", "--prefix", "Vtop", "--top-module", "bitfold",
    ]  # fmt: skip
    if waveform:
        verilate += ["--trace-vcd", "--trace-max-width", "0"]
    # A precompiled header that this wheel's makefile would not include breaks larger designs.
    compile_ = [
        make, "-s", "-f", "Vtop.mk", f"-j{os.cpu_count() or 1}",
        f"CXX={gcc}", "AR=ar", f"PYTHON3={sys.executable}",
        "CFG_CXXFLAGS_PCH_I=-include", "OPT_FAST=-O2", "OPT_SLOW=-O0", "OPT_GLOBAL=-O2",
    ]  # fmt: skip
    version = (root / "__init__.py").read_bytes()
    digest = hashlib.sha256(repr((verilate, compile_, version)).encode())
    runtime = f"runtime-{digest.hexdigest()[:16]}"
    digest.update(DRIVER.read_bytes())
    digest.update(COUNTERS.read_bytes())
    digest.update(verilog.read_bytes())
    folder = (folder or cache()).resolve() / "verilator"
    executable = folder / digest.hexdigest()[:32]
    if executable.exists():
        executable.touch()
        return executable

    folder.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "VERILATOR_ROOT": str(root)}
    with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as work:
        sources = [str(path.resolve()) for path in (COUNTERS, verilog, DRIVER)]
        _call([*verilate, "-Mdir", work, *sources], Path(work), env, "Verilator")
        known = folder / runtime
        for part in known.glob("*.o"):
            shutil.copyfile(part, Path(work) / part.name)
        _call(compile_, Path(work), env, "g++")
        if not known.exists():
            _keep_runtime(Path(work), known)
        (Path(work) / "Vtop").replace(executable)
    models = [path for path in folder.iterdir() if path.is_file()]
    for old in sorted(models, key=lambda path: path.stat().st_mtime)[:-KEEP]:
        old.unlink(missing_ok=True)
    return executable


def _keep_runtime(work: Path, known: Path) -> None:
    """Put Verilator's own objects, the same for every design, where the next build finds them."""
    fresh = work / "runtime"
    fresh.mkdir()
    for part in work.glob("verilated*.o"):
        shutil.copyfile(part, fresh / part.name)
    try:
        fresh.rename(known)
    except OSError:
        if not known.exists():
            raise


def _call(command: list[str], folder: Path, env: dict[str, str], name: str) -> None:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def run(
    verilog: Path,
    stimuli: Sequence[Stimulus],
    *,
    folder: Path | None = None,
    waveform: Path | None = None,
    progress: Progress | None = None,
    expected: int = 0,
) -> list[Capture]:
    """Simulate one stimulus after the other, up to the first that ends badly; `waveform` is a VCD to write.

    `expected` output frames of the first are what `progress` counts towards. Raises Broken when the model is silent,
    and RuntimeError when it fails.
    """
    model = build(verilog, waveform=waveform is not None, folder=folder)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        with (work / "in").open("wb") as file:
            for stimulus in stimuli:
                stimulus.beats.tofile(file)
        vcd = "" if waveform is None else waveform.resolve()
        command = [str(model), f"in={work / 'in'}", f"out={work / 'out'}", f"frames={work / 'frames'}", f"vcd={vcd}"]
        for stimulus in stimuli:
            command += ["stimulus=", f"inputs={len(stimulus.beats)}", f"in_bytes={stimulus.in_bytes}"]
            command += [f"{key}={getattr(stimulus, key):d}" for key in NUMBERS] + [f"pauses={stimulus.pauses!r}"]
        results = _watch(command, progress, expected)
        beats = np.fromfile(work / "out", out_dtype(stimuli[0].out_bytes))
        frames = np.fromfile(work / "frames", "<u8").reshape(-1, 2)
    captures, beat, frame = [], 0, 0
    for numbers, broken in results:
        received, in_frames = numbers["received"], numbers["in_frames"]
        captures.append(
            Capture(
                beats[beat : beat + received],
                frames[frame : frame + in_frames],
                numbers["cycles"],
                numbers["short_frames"],
                numbers["long_frames"],
                bool(numbers["stuck"]),
                (bool(numbers["s_valid"]), bool(numbers["s_ready"]), numbers["sent"]),
                (bool(numbers["m_valid"]), bool(numbers["m_ready"]), received),
                broken,
            )
        )
        beat, frame = beat + received, frame + in_frames
    return captures


def _watch(command: list[str], progress: Progress | None, expected: int) -> list[tuple[dict[str, int], str]]:
    """Run the driver, pass its progress on, return each stimulus' results and what it broke; a silent one is ended."""
    results: list[tuple[dict[str, int], str]] = []
    text = []
    silent = threading.Event()

    def end() -> None:
        silent.set()
        process.kill()

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            while True:
                alarm = threading.Timer(SILENCE, end)
                alarm.start()
                line = process.stdout.readline()
                alarm.cancel()
                match line.split():
                    case []:
                        break
                    case ["frames", n]:
                        if progress is not None and not results:
                            progress(int(n), expected)
                    case ["stimulus", _]:
                        results.append(({}, ""))
                    case ["broken", *words] if results:
                        results[-1] = results[-1][0], " ".join(words)
                    case [key, n] if n.isdigit() and results:
                        results[-1][0][key] = int(n)
                    case _:
                        text.append(line.strip())
        except BaseException:
            process.kill()
            raise
    if silent.is_set():
        raise Broken(f"the simulation gave no sign of life for {SILENCE:.0f} seconds and was ended")
    if process.returncode or text:
        raise RuntimeError(f"the simulation failed with status {process.returncode}: {' '.join(text)}")
    return results
