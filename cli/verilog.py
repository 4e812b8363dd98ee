# amaranth: UnusedElaboratable=no
"""`bitfold verilog`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ..hw.accelerator import Accelerator
from ..hw.device.target import clock_of
from ..hw.verilog.formats import CONTROL, OUT, Interface
from ..hw.verilog.ip_xact import FILE
from ..hw.verilog.names import check_name
from ..hw.verilog.write import file_names, write_machine
from ..model import places
from ..model.error import BadInput
from ..model.net import Net
from ..model.write import check_folder
from ..sim.check import FILES, FOLDER, write_check
from .arguments import (
    CacheOption,
    ClockOption,
    CyclesOption,
    DeviceOption,
    FpsOption,
    JsonOption,
    LoadableOption,
    NetArgument,
    PlanOption,
    TargetOption,
    Wanted,
    choose_plan,
    device_of,
    load_images,
    load_net,
    weights_of,
)
from .images import ImagesOption, random_images
from .tell import err, tell

RANDOM = 8
"""Images of a check, where none are given."""


def verilog(
    net: NetArgument,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the files.")],
    plan: PlanOption = None,
    cycles: CyclesOption = None,
    fps: FpsOption = None,
    target: TargetOption = "generic",
    device: DeviceOption = None,
    clock: ClockOption = None,
    loadable: LoadableOption = False,
    out: Annotated[str, typer.Option(help="values, or class: the class of each pixel of the output alone.")] = OUT[0],
    padded: Annotated[
        bool, typer.Option("--padded", help="tdata of 8, 16, 32, ... bits, as DMA engines have it.")
    ] = False,
    counted: Annotated[
        bool, typer.Option("--counted", help="No tlast in: frames are counted off from reset on.")
    ] = False,
    aresetn: Annotated[bool, typer.Option("--aresetn", help="A reset that is active low, called aresetn.")] = False,
    control: Annotated[
        str, typer.Option(help="axi-lite or wishbone: registers on it, with a C header and a Python module; or none.")
    ] = CONTROL[0],
    name: Annotated[str, typer.Option(help="Name of the top module and of the files.")] = "bitfold",
    weights_file: Annotated[
        bool, typer.Option("--weights-file", help="Contents of memories as files beside the Verilog, for $readmemh.")
    ] = False,
    ip_xact: Annotated[
        bool, typer.Option("--ip-xact", help="A component.xml, by which Vivado takes the folder into its catalogue.")
    ] = False,
    bench: Annotated[
        bool, typer.Option("--bench", help="Also DIR/check: make there proves the files, with a simulator alone.")
    ] = False,
    images: ImagesOption = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write Verilog with AXI4-Stream in and out, its interface sheet and its plan."""
    interface = Interface(out, padded, counted, aresetn, control)
    check_name(name)
    check_folder(output, *file_names(name, interface, ip_xact))
    if bench:
        check_folder(output / FOLDER, *FILES)
    elif images is not None:
        raise BadInput("--images are of the check that ships: add --bench")
    weights = weights_of(loadable, plan)
    wanted = Wanted(fps, clock_of(target, clock), target, weights=weights, device=device_of(device, target))
    wanted.check(plan, cycles)
    network = load_net(net)
    vectors = _vectors(network, images) if bench else None
    kept = places.cache(cache)
    with err().status("planning"):
        folding = wanted.plan(network) if wanted.planned else choose_plan(network, plan, cycles, kept, weights=weights)
    with err().status("writing Verilog"):
        machine = Accelerator(network, folding)
        path = write_machine(
            machine,
            output,
            name,
            interface=interface,
            clock=clock,
            weights_file=weights_file,
            ip_xact=ip_xact,
            cache=kept,
        )
        if vectors is not None:
            write_check(output, network, machine, name, interface, vectors)
    figures = {
        "verilog": str(path),
        "sheet": str(path.with_suffix(".md")),
        "plan": str(path.with_suffix(".toml")),
        "cycles_per_frame": machine.cycles,
        "lanes": folding.lanes(network),
        "weights": network.weights,
    }
    if interface.registers:
        figures |= {"header": str(path.with_suffix(".h")), "registers": str(path.with_name(f"{name}_registers.py"))}
    if ip_xact:
        figures["ip_xact"] = str(path.with_name(FILE))
    if bench:
        figures["check"] = str(output / FOLDER)
    tell(figures, as_json)


def _vectors(network: Net, images: Path | None) -> NDArray[np.integer[Any]]:
    """The images of a file, or random ones."""
    chosen = random_images(network, RANDOM, 0) if images is None else network.input.check(load_images(images))
    if not len(chosen):
        raise BadInput("there are no images to make vectors of")
    return chosen
