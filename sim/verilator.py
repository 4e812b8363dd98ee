"""The fast engine: Verilator's C++ model of the generated Verilog and a small driver in C++."""

from __future__ import annotations

import os
import platform
import re
import shutil
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..model import kept
from ..model.places import cache, held, scratch, sweep
from ..model.processes import call, end, start
from .contents import bring
from .stimulus import Broken, Capture, Progress, Stimulus, out_dtype
from .tools import module, program

DRIVER, PORTS = (Path(__file__).with_name(name) for name in ("driver.cpp", "ports.h"))
COUNTERS, WEIGHTS = (Path(__file__).with_name(name) for name in ("counters.vlt", "upsets.vlt"))
"""Let the driver set the counters of bad frames, which nobody would count up to their end; and flip bits of weights."""
NUMBERS = ("in_beats", "out_beats", "out_bytes", "seed", "patient", "watchdog", "drain", "cut_in", "cut_out", "preset")
"""The parts of a stimulus that are integers."""
SILENCE = 300.0
"""Seconds without a sign of life after which the simulation is ended."""
UNIT = 1_000_000
"""Bytes of C++ compiled at once: few units share what all include, several keep all cores busy."""

_WORK = re.compile("build-[0-9a-f]{32}")


class Ended(RuntimeError):  # noqa: N818
    """Somebody has ended the simulation, such as a system that lacks memory."""


@dataclass(frozen=True)
class Program:
    """What is compiled around a model.

    driver : C++, with the program's `main`; the model's class is Vtop
    top : the module that is simulated
    beside : files that Verilator reads before the module's own
    """

    driver: Path
    top: str
    beside: tuple[Path, ...] = ()


MACHINE = Program(DRIVER, "bitfold", (COUNTERS,))
UPSET = Program(DRIVER, "bitfold", (COUNTERS, WEIGHTS))
"""A machine whose weights can be flipped."""


def build(verilog: Path, around: Program = MACHINE, *, waveform: bool = False, folder: Path | None = None) -> Path:
    """Compile `verilog` to an executable and return its path; the same content is compiled once.

    Parameters
    ----------
    around : what is compiled around it
    waveform : a model that can write waveforms
    folder : where compiled models are kept; None is the user's cache

    BadInput when Verilator or g++ are missing; RuntimeError with their output when they fail.
    """
    root, gcc = module("verilator"), program("g++", "g++")
    verilate = [
        "--cc", "--exe", "-O3", "--no-assert", "--x-assign", "fast", "--x-initial", "fast",
        "-Wno-lint", "-Wno-style", "-Wno-fatal", "--output-split", "3000",
        "--prefix", "Vtop", "--top-module", around.top, "--make", "json", "-Mdir", ".",
        *(path.name for path in around.beside), "design.v",
    ]  # fmt: skip
    if waveform:
        verilate += ["--trace-vcd", "--trace-max-width", "0"]
    # Make would not work in every folder. Paths are relative, to links where need be, for the same reason.
    compile_ = [gcc, "-pthread", "-DVERILATOR=1", "-I.", "-Iverilator/include", "-Iverilator/include/vltstd"]
    traces = {"COVERAGE": 0, "SC": 0, "TIMING": 0, "TRACE": waveform, "TRACE_VCD": waveform, "TRACE_FST": 0,
              "TRACE_SAIF": 0}  # fmt: skip
    compile_ += [f"-DVM_{name}={value:d}" for name, value in traces.items()]
    machine = platform.machine(), platform.libc_ver(), call([gcc, "--version"])
    setting = repr((verilate, compile_, machine)).encode(), (root / "__init__.py").read_bytes()
    model = kept.key(*setting, *(path.read_bytes() for path in (around.driver, PORTS, *around.beside, verilog)))
    folder = (cache() if folder is None else folder).resolve() / "verilator"
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder, _WORK)
    if found := kept.find(folder, model):
        return found
    with held(folder / f"build-{model}") as work:
        if found := kept.find(folder, model):  # made by the process that was waited for
            return found
        units, parts = _verilate(verilate, root, around, verilog, work)
        runtime = kept.key(*setting, repr(parts).encode())
        known = kept.find(folder, runtime)
        made = units if known else units + parts
        levels = ["-O0" if unit.startswith("slow") else "-O2" for unit in made]
        _call_all(
            [[*compile_, level, "-c", f"{unit}.cpp"] for unit, level in zip(made, levels, strict=True)], work, "g++"
        )
        if known is None:
            _call([gcc, "-r", "-nostdlib", "-o", "runtime", *(f"{part}.o" for part in parts)], work, "g++")
            known = kept.keep(folder, runtime, work / "runtime")
        _call([gcc, "-pthread", "-o", "model", *(f"{unit}.o" for unit in units), known], work, "g++")
        return kept.keep(folder, model, work / "model")


def _verilate(
    options: Sequence[str], root: Path, around: Program, verilog: Path, work: Path
) -> tuple[list[str], list[str]]:
    """Write C++ to `work`; the names of what the design alone needs, and of what is the same for others."""
    shutil.copyfile(verilog, work / "design.v")
    for path in (PORTS, *around.beside):
        shutil.copyfile(path, work / path.name)
    (work / "verilator").symlink_to(root)
    _call(["verilator/bin/verilator_bin", *options], work, "Verilator", VERILATOR_ROOT="verilator")
    slow = sorted(work.glob("*__Slow.cpp"))
    fast = sorted(set(work.glob("*.cpp")) - set(slow))
    listed = (work / "Vtop.json").read_text(encoding="utf-8", errors="replace")
    parts = sorted(set(re.findall(r"/include/(verilated\w*)\.cpp\b", listed)))
    for part in parts:
        (work / f"{part}.cpp").symlink_to(f"verilator/include/{part}.cpp")
    shutil.copyfile(around.driver, work / "driver.cpp")
    return [*_units(work, "fast", fast), *_units(work, "slow", slow), "driver"], parts


def _units(work: Path, name: str, sources: Iterable[Path]) -> list[str]:
    """Names of C++ files that include the `sources`, UNIT bytes or one file of them each."""
    groups: list[list[str]] = []
    room = 0
    for source in sources:
        size = source.stat().st_size
        if not groups or size > room:
            groups.append([])
            room = UNIT
        groups[-1].append(f'#include "{source.name}"\n')
        room -= size
    units = {f"{name}{index}": "".join(group) for index, group in enumerate(groups)}
    for unit, text in units.items():
        (work / f"{unit}.cpp").write_text(text, encoding="utf-8")
    return list(units)


def _call(command: Sequence[str | Path], work: Path, name: str, **env: str) -> None:
    status, words = call(command, cwd=work, env=os.environ | env)
    if status:
        raise RuntimeError(f"{name} failed:\n{words[-8000:]}")


def _call_all(commands: Sequence[Sequence[str | Path]], work: Path, name: str) -> None:
    """As many of the commands at once as there are cores."""
    waiting, running = list(commands), []
    with ExitStack() as stack:
        log = stack.enter_context((work / "log").open("w+", encoding="utf-8", errors="replace"))
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                running.append(stack.enter_context(start(waiting.pop(0), cwd=work, stdout=log)))
            time.sleep(0.01)
            if any(process.poll() for process in running):
                log.seek(0)
                raise RuntimeError(f"{name} failed:\n{log.read()[-8000:]}")
            running = [process for process in running if process.poll() is None]


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
    Ended when it is killed, and RuntimeError when it fails.
    """
    around = UPSET if any(stimulus.flips for stimulus in stimuli) else MACHINE
    model = build(verilog, around, waveform=waveform is not None, folder=folder)
    with scratch() as work:
        with (work / "in").open("wb") as file:
            for stimulus in stimuli:
                stimulus.beats.tofile(file)
        stimuli[0].load.tofile(work / "load")
        vcd = "" if waveform is None else waveform.resolve()
        command = [str(model), f"in={work / 'in'}", f"out={work / 'out'}", f"frames={work / 'frames'}", f"vcd={vcd}"]
        command.append(f"load={work / 'load'}")
        for number, stimulus in enumerate(stimuli):
            command += ["stimulus=", f"inputs={len(stimulus.beats)}", f"in_bytes={stimulus.in_bytes}"]
            command += [f"{key}={getattr(stimulus, key):d}" for key in NUMBERS] + [f"pauses={stimulus.pauses!r}"]
            if stimulus.flips:
                (work / f"flips{number}").write_text(
                    "".join(f"{' '.join(map(str, flip))}\n" for flip in stimulus.flips)
                )
                command.append(f"flips={work / f'flips{number}'}")
        bring(verilog, work)
        results = _watch(command, work, progress, expected)
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
                numbers["corrected"],
                numbers["detected"],
            )
        )
        beat, frame = beat + received, frame + in_frames
    return captures


def _watch(
    command: list[str], work: Path, progress: Progress | None, expected: int
) -> list[tuple[dict[str, int], str]]:
    """Run the driver in `work`, pass its progress on: each stimulus' results and what it broke. Ends a silent one."""
    results: list[tuple[dict[str, int], str]] = []
    text = []
    silent = threading.Event()

    def give_up() -> None:
        silent.set()
        end(process)

    with start(command, cwd=work) as process:
        assert process.stdout is not None
        while True:
            alarm = threading.Timer(SILENCE, give_up)
            alarm.start()
            try:
                line = process.stdout.readline()
            finally:
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
        process.wait()
    if silent.is_set():
        raise Broken(f"the simulation gave no sign of life for {SILENCE:.0f} seconds and was ended")
    if process.returncode > 128:
        raise Ended(f"the simulation was ended by signal {process.returncode - 128}")
    if process.returncode or text:
        raise RuntimeError(f"the simulation failed with status {process.returncode}: {' '.join(text)}")
    return results
