# amaranth: UnusedElaboratable=no
"""`bitfold info`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from ..hw.accelerator import Accelerator
from ..hw.device.target import clock_of
from ..model import places
from ..model.error import BadInput, printable
from ..model.layers import BinaryConv, Layer, walk
from ..model.net import Net
from ..model.tensor import Tensor
from ..report.one_bit import OneBit, columns, judged, notes, one_bit, rows, summary
from .arguments import (
    CacheOption,
    ClockOption,
    CyclesOption,
    DeviceOption,
    FpsOption,
    JsonOption,
    NetArgument,
    PlanOption,
    TargetOption,
    Wanted,
    card_of,
    choose_plan,
    device_of,
    load_net,
    net_path,
)
from .tell import err, out, show, tell, text


def info(
    net: NetArgument,
    plan: PlanOption = None,
    cycles: CyclesOption = None,
    fps: FpsOption = None,
    target: TargetOption = "generic",
    device: DeviceOption = None,
    clock: ClockOption = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a network is and how well it does; with a plan what one bit costs, beside weights of 8 bits."""
    wanted = Wanted(fps, clock_of(target, clock), target, device=device_of(device, target))
    wanted.check(plan, cycles)
    machine = wanted.planned or plan is not None or cycles is not None
    if clock is not None and not machine:
        raise BadInput("--clock is a machine's: name one with --target, --fps, --cycles or --plan")
    network = load_net(net)
    card = card_of(net, net_path(net), network)
    found: dict[str, Any] = facts(printable(Path(net).stem), network)
    answer = None
    if machine:
        with err().status("planning"):
            kept = places.cache(cache)
            chosen = wanted.plan(network) if wanted.planned else choose_plan(network, plan, cycles, kept)
            answer = one_bit(Accelerator(network, chosen), clock_of(chosen.target, clock), card, device=wanted.device)
    known = judged(card)
    if as_json:
        print(json.dumps({**found, "judged": known and asdict(known), "one_bit": answer and asdict(answer)}))
        return
    if known:
        found |= {"test_set": f"{known.images:,} images of {known.data}", "test_error": known.test_error}
        if known.float_test_error is not None:
            found["float_test_error"] = known.float_test_error
    tell(found, False)
    if answer:
        show_answer(answer)


def facts(name: str, net: Net) -> dict[str, Any]:
    """What a network is."""
    products = 0

    def count(path: str, layer: Layer, t: Tensor) -> None:
        nonlocal products
        if isinstance(layer, BinaryConv):
            products += layer.infer(t).pixels * layer.weights.size

    walk(net.body, net.input, count)
    return {
        "network": name,
        "digest": net.digest(),
        "input": _values(net.input),
        "output": _values(net.output),
        "weights": net.weights,
        "products_a_frame": products,
    }


def _values(t: Tensor) -> str:
    return f"{t.height}x{t.width}x{t.channels} values of {t.bits} bits"


def show_answer(answer: OneBit) -> None:
    """Print the table and what has to be said beside it."""
    console = out()
    console.print()
    table = Table(box=None)
    table.add_column("")
    for name in columns(answer):
        table.add_column(name, justify="right")
    for name, cells in rows(answer):
        table.add_row(text(name), *(text(cell.text) for cell in cells))
    show(table, console)
    for note in (summary(answer), *notes(answer)):
        console.print(note)
