# amaranth: UnusedElaboratable=no
"""`bitfold classify`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from ..boards import record as records
from ..boards.flow import NETLIST_VERILOG, TOP_VERILOG, modules_among
from ..boards.host import Answer, Link, Port, open_port, pixels
from ..boards.netlist import flattened
from ..boards.protocol import Identity
from ..hw.accelerator import Accelerator
from ..hw.device.target import TARGETS
from ..hw.load import words
from ..hw.plan import Plan
from ..model import places, zoo
from ..model.card import SUFFIX
from ..model.error import BadInput
from ..model.net import Net
from ..model.picture import picture
from ..model.read import ARRAY, kind_of
from ..model.shape import shape
from .arguments import CacheOption, DataOption, JsonOption, check_range, load_images, load_net
from .progress import bar
from .tell import err, out, show, tell, text

VIRTUAL = "virtual:"
"""What begins the name of a port without a board."""

PATIENCE, VIRTUAL_PATIENCE = 1.0, 60.0
"""Seconds of silence after which a frame counts as lost; a model is slower than a board."""


def classify(
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE...", help="Picture files, or .npy files of integers [N, height, width, channels]."
        ),
    ] = None,
    port: Annotated[
        str,
        typer.Option(metavar="PORT", help="The board's serial port; virtual:DIR runs what bitfold build made in DIR."),
    ] = "",
    net: Annotated[
        str | None,
        typer.Option("--net", metavar="NET", help="The board's network, where it is none that ships and none in DIR."),
    ] = None,
    data: DataOption = None,
    data_name: Annotated[
        str | None, typer.Option("--set", metavar="NAME", help="Instead of images: the test images of a data set.")
    ] = None,
    count: Annotated[int | None, typer.Option(metavar="N", help="Of the data set: the first N images.")] = None,
    baud: Annotated[int, typer.Option(help="Bits a second of a serial port.")] = 3_000_000,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="PLAN", help="Of a board whose weights are loaded: its plan. Virtual boards know theirs."),
    ] = None,
    netlist: Annotated[
        bool, typer.Option("--netlist", help="With virtual:DIR: run the synthesised netlist, not the Verilog.")
    ] = False,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send images to a board, or to its model, and hold each answer against the network."""
    if not port:
        raise BadInput("name the board's port: --port /dev/ttyUSB0, or --port virtual:DIR for what bitfold build made")
    if bool(images) == bool(data_name):
        raise BadInput("give picture files, or a data set by --set NAME")
    if data_name is None and count is not None:
        raise BadInput("--count is of a data set: name one by --set")
    if count is not None:
        check_range("--count", count, 1, 10**9)
    check_range("--baud", baud, 300, 100_000_000)
    if netlist and not port.startswith(VIRTUAL):
        raise BadInput("--netlist runs a model: give --port virtual:DIR")
    own = load_net(net) if net else None
    own_plan = Plan.load(plan) if plan else None
    with _open(port, baud, netlist, own, own_plan, cache) as (wire, known, patience), Link(wire, patience) as link:
        identity = link.identify()
        network, load = known.settle(port, identity)
        named, labels = _images(network, images or [], data_name, data, count)
        link.reset()
        if load:
            with err().status("loading weights"):
                link.load(load)
        began = time.monotonic()
        with bar(err(), "sending", "images") as progress:
            answers: list[Answer] = []
            for answer in link.classify(identity, pixels(identity, named.pixels), load):
                answers.append(answer)
                progress(len(answers), len(named.pixels))
        seconds = time.monotonic() - began
        counts = link.counts()
    answers.sort(key=lambda answer: answer.index)
    wanted = network(named.pixels)
    wrong = [answer.index for answer in answers if not _right(answer, wanted[answer.index])]
    latencies = sorted(answer.seconds for answer in answers)
    given = np.array([answer.best for answer in answers])
    figures: dict[str, Any] = {
        "board": identity.board,
        "port": port,
        "clock": identity.clock,
        "images": len(answers),
        "differing_from_the_network": len(wrong),
        "sent_again": sum(answer.tries - 1 for answer in answers),
        "images_per_second": round(len(answers) / seconds, 1),
        "latency_median_ms": round(1e3 * latencies[len(latencies) // 2], 3),
        "latency_largest_ms": round(1e3 * latencies[-1], 3),
    }
    if labels is not None:
        figures["test_error"] = float((given != labels).mean())
    if as_json:
        classes = [] if labels is not None else _classes(network, named.names, given)
        print(json.dumps({**figures, "classes": classes, "identity": asdict(identity), "counts": asdict(counts)}))
    else:
        if labels is None:
            table = Table(box=None, show_header=False)
            for entry in _classes(network, named.names, given):
                table.add_row(text(entry["image"]), text(entry["class"]))
            show(table, out())
        tell(figures, False)
    if wrong:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Known:
    """The network and the plan that should be behind a port, where they are known."""

    network: Net | None
    plan: Plan | None

    def settle(self, port: str, identity: Identity) -> tuple[Net, bytes]:
        """The network, and what has to be loaded first, if anything; BadInput where the board is another's."""
        if identity.load_words:
            return self._loaded(port, identity)
        if self.plan:
            raise BadInput(f"the board at {port} has fixed weights: leave out --plan")
        network = self.network or shipped(identity)
        if identity.network != network.digest():
            raise BadInput(
                f"the board at {port} has network {identity.network[:12]}, not {network.digest()[:12]}; "
                "name its network by --net, or build and program it again"
            )
        return network, b""

    def _loaded(self, port: str, identity: Identity) -> tuple[Net, bytes]:
        if not self.network or not self.plan:
            raise BadInput(
                f"the board at {port} has weights that are loaded: name its plan by --plan, a network by --net"
            )
        if self.plan.digest() != identity.plan:
            raise BadInput(
                f"the board at {port} has plan {identity.plan[:12]}, not {self.plan.digest()[:12]}; name the plan "
                "beside its build.json by --plan"
            )
        if shape(self.network).digest() != identity.network:
            raise BadInput(
                f"the board at {port} is for networks of shape {identity.network[:12]}, and this one has "
                f"{shape(self.network).digest()[:12]}; name one whose layers and intervals are the same by --net"
            )
        return self.network, words(self.network, Accelerator(self.network, self.plan)).tobytes()


@dataclass(frozen=True)
class _Named:
    """Images int [N, height, width, channels] of a network's input, and what each is called."""

    pixels: NDArray[np.integer[Any]]
    names: list[str]


def _right(answer: Answer, wanted: NDArray[np.integer[Any]]) -> bool:
    """Whether an answer is the network's: every value, and the last pixel's class."""
    return np.array_equal(answer.values, wanted) and answer.best == int(np.argmax(wanted[-1, -1]))


def _classes(network: Net, names: list[str], given: NDArray[np.int64]) -> list[dict[str, str]]:
    """The class of each image, by its name where the network has names."""
    called = network.classes or tuple(map(str, range(network.output.channels)))
    return [{"image": name, "class": called[best]} for name, best in zip(names, given, strict=True)]


def shipped(identity: Identity) -> Net:
    """The shipped network that a board says it has; BadInput where it is none of them."""
    for name in zoo.names():
        if zoo.card(name).digest == identity.network:
            return zoo.load(name)
    raise BadInput(f"the board's network {identity.network[:12]} is none that ships: name its file by --net")


def _images(
    network: Net, files: list[Path], data_name: str | None, folder: Path | None, count: int | None
) -> tuple[_Named, NDArray[np.int64] | None]:
    """The images asked for, and their classes where a data set gives them."""
    if data_name:
        from ..model.train.data import open_data  # here, because no other way needs its libraries

        test = open_data(data_name, folder, network.input.shape).test()
        chosen = np.arange(min(count or len(test), len(test)))
        return _Named(network.input.check(test.batch(chosen)), []), test.labels[chosen]
    found, names = [], []
    for file in files:
        if _is_array(file):
            several = network.input.check(load_images(file))
            found.append(several)
            names += [f"{file}[{index}]" for index in range(len(several))]
        else:
            found.append(picture(file, network)[None])
            names.append(str(file))
    return _Named(np.concatenate(found), names), None


def _is_array(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return kind_of(opened.read(4096)) == ARRAY
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from None


@contextmanager
def _open(
    name: str, baud: int, netlist: bool, own: Net | None, own_plan: Plan | None, cache: Path | None
) -> Iterator[tuple[Port, _Known, float]]:
    """The port, what is known to be behind it, and the patience it takes."""
    if not name.startswith(VIRTUAL):
        with open_port(name, baud) as port:
            yield port, _Known(own, own_plan), PATIENCE
        return
    from ..sim.blocks import with_blocks
    from ..sim.virtual import Pins, virtual_board

    folder = Path(name.removeprefix(VIRTUAL))
    record = records.load(folder)
    file, plan_file = f"{record.network}{SUFFIX}", f"{record.network}.toml"
    verilogs = [NETLIST_VERILOG] if netlist else [TOP_VERILOG, *modules_among(record.files)]
    for each in (file, plan_file, *verilogs):
        records.check(folder, record, each)
    plan = own_plan
    if plan is None and (built := Plan.load(folder / plan_file)).loadable:
        plan = built
    known = _Known(own or Net.load(folder / file), plan)
    kept = places.cache(cache)
    if netlist:
        family = TARGETS[record.target].family.name
        verilog = with_blocks(flattened(folder, family, kept), family)
    else:
        verilog = "".join((folder / each).read_text(encoding="utf-8") for each in verilogs)
    reset = record.ports["reset"]
    pins = Pins(
        record.ports["clock"].name, record.ports["rx"].name, record.ports["tx"].name, reset.name, reset.active_low
    )
    with ExitStack() as stack:
        with err().status("compiling the virtual board"):
            board = stack.enter_context(
                virtual_board(verilog, pins, clock=record.clock, baud=record.baud, cycles=4 * record.cycles, cache=kept)
            )
        yield stack.enter_context(open_port(board.port, record.baud)), known, VIRTUAL_PATIENCE
