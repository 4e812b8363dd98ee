# amaranth: UnusedElaboratable=no
"""The `bitfold` command: 0 on success, 1 when a check fails, 2 on bad input with one line about it."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from tokenize import TokenError
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from . import accuracy, plans
from . import demo as demonstration
from . import pareto as rate_against_area
from .hw.accelerator import Accelerator
from .hw.plan import Plan
from .hw.planner import balance, fit, fit_device, meet
from .hw.target import TARGETS
from .hw.verilog import write
from .model import zoo
from .model.error import BadInput
from .model.net import Net
from .model.write import check_place, write_beside
from .model.zoo.tables import percent
from .progress import bar
from .sim.simulate import ENGINES, check

DEFAULT_LANES = 1024
"""The plan where none is asked for: the fastest of at most so many lanes."""

USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""What typer raises for a wrong command line; it has no public name for it."""

app = typer.Typer(
    help="1-bit networks to Verilog, proven bit for bit.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

NetArgument = Annotated[
    str,
    typer.Argument(metavar="NET", help="A .bitfold file, or the name of a shipped network, such as digits."),
]
PlanOption = Annotated[Path | None, typer.Option("--plan", help="Plan file to use.")]
CyclesOption = Annotated[
    int | None,
    typer.Option("--cycles", help="Instead of a plan: the smallest that takes at most so many cycles a frame."),
]
DataOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where the data set's official files are, or are downloaded to."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        status = app(standalone_mode=False)
    except USAGE_ERROR as error:
        _fail(2, error.format_message().rstrip(".") + "; see bitfold --help")
    except typer.Abort:
        _fail(1, "stopped")
    except BadInput as error:
        _fail(2, str(error))
    except OSError as error:
        _fail(2, f"{error.filename or 'a file'}: {error.strerror or error}")
    except RuntimeError as error:  # Deadlock and Broken among them: the machine or a tool has failed
        _fail(1, str(error))
    raise SystemExit(status)


def _fail(status: int, message: str) -> None:
    print(f"bitfold: {message}", file=sys.stderr)
    raise SystemExit(status)


def _path(name: str) -> Path:
    path = Path(name)
    return zoo.path(name) if not path.exists() and name in zoo.names() else path


def _net(name: str) -> Net:
    return Net.load(_path(name))


def _plan(net: Net, path: Path | None, cycles: int | None) -> Plan:
    if path is not None and cycles is not None:
        raise BadInput("--plan and --cycles exclude each other; give one of them")
    if path is not None:
        return Plan.load(path)
    if cycles is None:
        return fit(net, DEFAULT_LANES)
    return balance(net, cycles)


def _images(path: Path) -> NDArray[np.integer[Any]]:
    try:
        # Mapped, because reading would allocate whatever size the header claims.
        images = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, TypeError, OverflowError, SyntaxError, TokenError) as error:
        raise BadInput(f"{path}: not a readable .npy file of images: {error}") from None
    try:
        return np.array(images)
    except MemoryError:
        raise BadInput(f"{path}: {images.nbytes / 1e9:.1f} GB of images do not fit the memory") from None


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the Verilog.")] = Path("bitfold-demo"),
    as_json: JsonOption = False,
) -> None:
    """The whole way on the shipped digits network: plan, Verilog, simulation, comparison."""
    found = demonstration.run(output, Console(stderr=as_json))
    if as_json:
        print(json.dumps(dataclasses.asdict(found)))
    if not found.exact:
        raise typer.Exit(1)


@app.command()
def plan(
    net: NetArgument,
    fps: Annotated[
        float | None, typer.Option(metavar="N", help="Frames a second: the smallest plan that gives them.")
    ] = None,
    clock: Annotated[float, typer.Option(metavar="MHz", help="The clock that rates are told for.")] = 100.0,
    target: Annotated[
        str, typer.Option(metavar="DEVICE", help=f"generic, {', '.join(TARGETS)}; without --fps the fastest that fits.")
    ] = "generic",
    lut_share: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="The part of the device's LUTs and flip-flops to use.")
    ] = 0.8,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="PLAN.toml", help="Where to write the plan.")
    ] = None,
    pareto: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw rate against LUTs, and write the points to FILE.csv.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Plan how far each layer is unrolled: the smallest machine for a rate, or the fastest for a device."""
    if fps is None and target == "generic" and pareto is None:
        raise BadInput(
            "say how fast with --fps and --clock, or where with --target, or ask for the choice with --pareto"
        )
    if clock <= 0 or (fps is not None and fps <= 0):
        raise BadInput("--fps and --clock must be more than 0")
    network = _net(net)
    for place in (output, pareto):
        if place is not None:
            check_place(place)
    console = Console(stderr=True)
    if pareto is not None:
        with console.status("planning"):
            rows = rate_against_area.write(network, target, clock, lut_share, pareto)
        if as_json:
            print(json.dumps(rows))
        else:
            Console().print(f"{len(rows)} plans drawn in {pareto}, their figures in {pareto.with_suffix('.csv')}")
        return
    with console.status("planning"):
        found = meet(network, fps, clock, target, lut_share) if fps else fit_device(network, target, lut_share)
        machine = Accelerator(network, found)
    if output is not None:
        found.save(output, plans.notes(machine))
    if as_json:
        print(json.dumps(plans.figures(machine, clock)))
    else:
        plans.show(machine, clock, Console())


@app.command()
def verilog(
    net: NetArgument,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the files.")],
    plan: PlanOption = None,
    cycles: CyclesOption = None,
    name: Annotated[str, typer.Option(help="Name of the top module and of the files.")] = "bitfold",
    as_json: JsonOption = False,
) -> None:
    """Write Verilog with AXI4-Stream in and out, its interface sheet and its plan."""
    network = _net(net)
    folding = _plan(network, plan, cycles)
    console = Console(stderr=True)
    with console.status("writing Verilog"):
        path = write(network, folding, output, name)
    figures = {
        "verilog": str(path),
        "sheet": str(path.with_suffix(".md")),
        "plan": str(path.with_suffix(".toml")),
        "cycles_per_frame": Accelerator(network, folding).cycles,
        "lanes": folding.lanes(network),
        "weights": network.weights,
    }
    _tell(figures, as_json)


@app.command()
def simulate(
    net: NetArgument,
    images: Annotated[Path, typer.Option(metavar="X.npy", help="Integers [N, height, width, channels].")],
    plan: PlanOption = None,
    cycles: CyclesOption = None,
    engine: Annotated[str, typer.Option(help=f"One of {', '.join(ENGINES)}.")] = ENGINES[0],
    pauses: Annotated[float, typer.Option(help="Probability of a pause in each cycle, on both sides.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the pauses.")] = 0,
    waveform: Annotated[Path | None, typer.Option(metavar="FILE.vcd", help="Write a waveform.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="LOGITS.npy", help="Save the logits the machine gave."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate the network's hardware on images and compare every logit with the network."""
    network = _net(net)
    folding = _plan(network, plan, cycles)
    pixels = _images(images)
    if waveform is not None:
        waveform.parent.mkdir(parents=True, exist_ok=True)
    with bar(Console(stderr=True), "compiling", "frames") as progress:
        report = check(
            network, folding, pixels, engine=engine, pauses=pauses, seed=seed, waveform=waveform,
            progress=progress,
        )  # fmt: skip
    if output is not None:
        _save_array(output, report.run.logits)
    figures = {
        "images": report.images,
        "mismatching_logits": report.mismatching_logits,
        "mismatching_classes": report.mismatching_classes,
        "cycles_per_frame": report.run.cycles_per_frame,
        "ideal_cycles_per_frame": Accelerator(network, folding).cycles,
        "cycles": report.run.cycles,
        "first_difference": str(report.first) if report.first else None,
    }
    _tell(figures, as_json)
    if not report.exact:
        raise typer.Exit(1)


@app.command()
def report(
    net: NetArgument,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="PAGE.html", help="The page; it needs no other file.")
    ] = Path("report.html"),
    plan: PlanOption = None,
    cycles: CyclesOption = None,
    frames: Annotated[
        int,
        typer.Option(min=0, help="Random frames to simulate, for each stage's occupancy over time; 0 leaves it out."),
    ] = 3,
    synth: Annotated[
        bool, typer.Option("--synth", help="Synthesise for the plan's target: measured resources beside the estimates.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML page about the machine: the pipeline drawn, cost and work of each stage, occupancy over time."""
    from .report import figures as figures_of  # here, because no other command needs its libraries
    from .report.page import render

    network = _net(net)
    accelerator = Accelerator(network, _plan(network, plan, cycles))
    figures_of.check(accelerator, frames, synth)
    check_place(output)
    console = Console(stderr=True)
    netlist = simulation = None
    if frames:
        with bar(console, "compiling", "frames") as progress:
            simulation = figures_of.simulate(accelerator, frames, progress)
    if synth:
        with console.status("synthesising"):
            netlist = figures_of.measure(accelerator)
    figures = figures_of.gather(Path(net).stem, accelerator, netlist, simulation)
    write_beside(output, render(figures, accelerator).encode())
    if as_json:
        print(json.dumps(dataclasses.asdict(figures)))
    else:
        told = {"report": str(output), "cycles_per_frame": figures.cycles, "lanes": figures.lanes}
        _tell({**told, "exact": str(simulation.exact)} if simulation else told, False)
    if simulation and not simulation.exact:
        raise typer.Exit(1)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A .toml file, or a shipped recipe's name.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="NET", help="The network's .bitfold file.")],
    data: DataOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides weights, order and augmentation.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Train so many, from that seed on, and compare them.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of a processor; each number gives another network.", show_default="all")
    ] = None,
    bf16: Annotated[
        bool | None, typer.Option("--bf16/--fp32", help="Precision of training.", show_default="what is faster")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a recipe's network to its integers; stopped at any moment, the same command goes on."""
    missing = [name for name in ("torch", "msgspec", "matplotlib", "tensorboard") if not find_spec(name)]
    if missing:
        raise BadInput(f"training needs {missing[0]}, which is not installed: pip install 'bitfold[train]'")
    from .model.train import command

    job = command.Job(recipe, data, output, seed, seeds, device, threads, bf16)
    found = command.train(job, Console(stderr=True))
    if as_json and found:
        print(json.dumps(found if seeds > 1 else found[0]))
        return
    for figures in found:
        _tell(figures, False)
    errors = [figures["test_error"] for figures in found if "test_error" in figures]
    if len(errors) > 1:
        mean = sum(errors) / len(errors)
        print(
            f"{len(errors)} seeds: mean {percent(mean)}, minimum {percent(min(errors))}, maximum {percent(max(errors))}"
        )


@app.command("check")
def check_accuracy(
    nets: Annotated[list[str], typer.Argument(metavar="NET...", help="As elsewhere; several are judged together too.")],
    data: DataOption = None,
    data_name: Annotated[
        str | None, typer.Option("--set", metavar="NAME", help="Data set; else the one named by the card beside NET.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge networks by a whole test set: accuracy, confusions, and their float twins beside them."""
    checked = accuracy.measure({name: _path(name) for name in nets}, data, data_name, Console(stderr=True))
    if as_json:
        print(json.dumps(dataclasses.asdict(checked if len(checked.nets) > 1 else checked.nets[0])))
    else:
        accuracy.show(checked, Console())


@app.command("zoo")
def list_zoo(as_json: JsonOption = False) -> None:
    """List the networks that ship with bitfold."""
    keys = ("name", "data", "bits", "weights", "bytes", "test_error", "float_test_error")
    rows = [{key: getattr(zoo.card(name), key) for key in keys} for name in zoo.names()]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(box=None)
    for key in keys:
        table.add_column(key.replace("_", " "), justify="left" if key in ("name", "data") else "right")
    for row in rows:
        table.add_row(*(percent(row[key]) if "error" in key else _text(row[key]) for key in keys))
    Console().print(table)


def _save_array(path: Path, array: NDArray[np.integer[Any]]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_beside(path, buffer.getvalue())


def _tell(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    table = Table(show_header=False, box=None)
    for key, value in figures.items():
        table.add_row(key.replace("_", " "), percent(value) if key.endswith("_error") else _text(value))
    Console().print(table)


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
