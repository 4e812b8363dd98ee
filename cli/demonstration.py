# amaranth: UnusedElaboratable=no
"""The whole way on the shipped digits network, as a newcomer wants to see it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..hw.accelerator import Accelerator
from ..hw.planner import fit
from ..hw.verilog.formats import PLAIN
from ..hw.verilog.write import file_names, write_machine
from ..model import zoo
from ..model.error import printable
from ..model.net import Net
from ..model.train.data import open_data
from ..model.write import check_folder
from ..sim.simulate import Report, check, check_engine
from .arguments import DEFAULT_LANES
from .progress import bar
from .tell import show as show_table
from .tell import text

PAUSES = 0.3
"""Probability of a pause in each cycle of the second run."""


@dataclass(frozen=True)
class Demo:
    """What the demonstration measured.

    mismatching_logits_with_pauses : of a second run whose source and sink pause at random, with probability PAUSES
    exact : in both runs every logit and every class is the reference's
    ideal_cycles_per_frame : the slowest stage's cycles, as the plan predicts
    cycles_per_frame : measured in steady state, frames back to back
    accuracy : of the classes the Verilog gave, in [0, 1]
    """

    images: int
    mismatching_logits: int
    mismatching_logits_with_pauses: int
    exact: bool
    accuracy: float
    cycles_per_frame: float
    ideal_cycles_per_frame: int
    lanes: int
    weights: int
    verilog: str
    seconds: float


SHADES, PLAIN_SHADES = " ░▒▓█", " .:*#"


def picture(image: NDArray[np.integer[Any]], top: int, shades: str = SHADES) -> str:
    """An image [height, width, 1] of values 0..top in shades of ink, two characters a pixel."""
    inks = (image[..., 0].astype(int) * (len(shades) - 1) + top - 1) // top
    return "\n".join("".join(2 * shades[ink] for ink in row) for row in inks)


def run(folder: Path, cache: Path, console: Console) -> Demo:
    """Load, plan, write Verilog to `folder`, simulate it on the held-out digits, tell the console.

    Compiled models are kept in `cache`.
    """
    start = time.monotonic()
    check_engine("verilator")
    check_folder(folder, *file_names("bitfold", PLAIN))
    net = zoo.load("digits")
    data = open_data("digits", None).test()
    pixels = data.batch(np.arange(len(data)))
    size = f"{net.input.height}x{net.input.width} pixels to {len(net.classes)} classes"
    step(console, 1, f"network   {net.weights:,} one-bit weights, {size}")
    plan = fit(net, DEFAULT_LANES)
    accelerator = Accelerator(net, plan)
    ideal = accelerator.cycles
    step(console, 2, f"plan      {plan.lanes(net):,} lanes, a frame every {ideal:,} cycles")
    verilog = write_machine(accelerator, folder, cache=cache)
    step(console, 3, f"Verilog   {verilog} ({verilog.stat().st_size / 1e6:.1f} MB)")
    step(console, 4, "simulate  the Verilog, compiled by Verilator, on every held-out digit")
    with bar(console, "compiling", "frames") as progress:
        report = check(net, plan, pixels, build=folder, cache=cache, verilog=verilog, progress=progress)
    step(console, 5, f"again     with pauses in {PAUSES:.0%} of the cycles, at random, on both sides")
    with bar(console, "compiling", "frames") as progress:
        paused = check(net, plan, pixels, pauses=PAUSES, build=folder, cache=cache, verilog=verilog, progress=progress)
    measured = report.run.cycles_per_frame
    assert measured is not None  # there are hundreds of digits
    demo = Demo(
        images=report.images,
        mismatching_logits=report.mismatching_logits,
        mismatching_logits_with_pauses=paused.mismatching_logits,
        exact=report.exact and paused.exact,
        accuracy=float((report.run.classes == data.labels).mean()),
        cycles_per_frame=measured,
        ideal_cycles_per_frame=ideal,
        lanes=plan.lanes(net),
        weights=net.weights,
        verilog=str(verilog),
        seconds=round(time.monotonic() - start, 1),
    )
    show(demo, report, net, pixels[0], int(data.labels[0]), console)
    for difference in (report.first, paused.first):
        if difference:
            console.print(Text.assemble(("first difference", "bold red"), f" {difference}"))
    return demo


def step(console: Console, number: int, what: str) -> None:
    """Say what is done next."""
    console.print(Text.assemble((str(number), "bold"), f" {printable(what)}"))


def show(demo: Demo, report: Report, net: Net, image: NDArray[np.uint8], label: int, console: Console) -> None:
    """Print the first digit with its class, and what was measured."""
    seen = net.classes[int(report.run.classes[0])]
    shades = SHADES if console.encoding.startswith("utf") else PLAIN_SHADES
    drawn = picture(image, net.input.hi, shades)
    console.print(Panel.fit(drawn, title=f"class {seen}", subtitle=f"label {net.classes[label]}"))
    table = Table(show_header=False, box=None)
    table.add_row(
        "bit-exact",
        f"{report.images - report.mismatching_images} of {demo.images} images, {demo.mismatching_logits} logits differ",
    )
    table.add_row("with pauses", f"{demo.mismatching_logits_with_pauses} logits differ")
    table.add_row("accuracy", f"{100 * demo.accuracy:.2f} % of the held-out digits")
    table.add_row("cycles a frame", f"{demo.ideal_cycles_per_frame:,} predicted, {demo.cycles_per_frame:,.1f} measured")
    table.add_row("lanes", f"{demo.lanes:,}")
    table.add_row("weights", f"{demo.weights:,} bits")
    table.add_row("files", text(f"{Path(demo.verilog).parent}/ (Verilog, interface sheet, plan)"))
    table.add_row("time", f"{demo.seconds:.0f} s")
    show_table(table, console)
