# amaranth: UnusedElaboratable=no
"""What commands have in common: their arguments, and what these name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ..hw.device.protect import PROTECT
from ..hw.device.target import TARGETS, Clock, Target
from ..hw.plan import WEIGHTS, Plan
from ..hw.planner import Bound, Planner, balance, fastest_on_device, fit, fit_device, meet
from ..hw.verilog import known
from ..model import zoo
from ..model.card import SUFFIX, Card, card_path
from ..model.error import BadInput, short, suggest
from ..model.net import Net
from ..model.read import ARRAY, kind_of

DEFAULT_LANES = 1024
"""The plan where none is asked for: the fastest of at most so many lanes."""


def starting(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """For a shell's completion: those of the names that begin as what is typed; where none does, shells offer files."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


NetArgument = Annotated[
    str,
    typer.Argument(
        metavar="NET",
        help="A .bitfold file, or the name of a shipped network, such as digits.",
        autocompletion=starting(zoo.names),
    ),
]
PlanOption = Annotated[Path | None, typer.Option("--plan", help="Plan file to use.")]
FpsOption = Annotated[
    float | None, typer.Option("--fps", metavar="N", help="Frames a second: the smallest plan that gives them.")
]
TargetOption = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="DEVICE",
        help=f"generic, {', '.join(TARGETS)}; without --fps the fastest that fits.",
        autocompletion=starting(lambda: ("generic", *TARGETS)),
    ),
]
ClockOption = Annotated[
    float | None,
    typer.Option(
        "--clock", metavar="MHz", help="Of --fps and of rates.", show_default="what machines reach on the device"
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="luts=N,ffs=N,blocks=N",
        help="Another device of the --target's family, with so many of one or more of them.",
    ),
]
LoadableOption = Annotated[
    bool, typer.Option("--loadable", help="Weights are loaded at run time: one machine for all networks of the shape.")
]
CyclesOption = Annotated[
    int | None,
    typer.Option("--cycles", help="Instead of a plan: the smallest that takes at most so many cycles a frame."),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where the data set's official files are, or are downloaded to; of arrays the .npz file, or the folder.",
    ),
]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache", metavar="DIR", help="Where compiled models are kept; else in the user's cache, ~/.cache/bitfold."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


def net_path(name: str) -> Path:
    """The file of a network: itself, or that of a shipped one, even where a folder is called alike."""
    path, shipped = Path(name), zoo.names()
    if name in shipped and not path.is_file():
        return zoo.path(name)
    if not path.exists():
        near = suggest(path.name.removesuffix(SUFFIX), shipped)
        raise BadInput(
            f"there is no file {name} and no shipped network of that name; {near}"
            f"give a {SUFFIX} file or one of {', '.join(shipped)}"
        )
    return path


def load_net(name: str) -> Net:
    """The network of that name or file."""
    return Net.load(net_path(name))


def card_of(name: str, path: Path, net: Net) -> Card | None:
    """The card beside the network that people call `name`, which is in the file `path`; None without one."""
    file = card_path(path)
    if not file.exists():
        return None
    card = Card.load(file)
    check_card(card, name, path, net)
    return card


def check_card(card: Card, name: str, path: Path, net: Net) -> None:
    """BadInput where the card beside the file `path` is another network's."""
    if card.digest != net.digest():
        raise BadInput(
            f"{card_path(path)} is another network's card: make {name} again by the card's command, or remove the card"
        )


def choose_plan(
    net: Net, path: Path | None, cycles: int | None, cache: Path, target: str | None = None, weights: str = WEIGHTS[0]
) -> Plan:
    """The plan of a file, or the smallest for so many cycles a frame, or the default, which are kept in `cache`.

    With a `target`, a key of TARGETS, for that device: there the default is the fastest that fits. Without a file of
    the kind of `weights`.
    """
    if path is not None and cycles is not None:
        raise BadInput("--plan and --cycles exclude each other; give one of them")
    if path is not None:
        plan = Plan.load(path)
        return replace(plan, target=target) if target else plan
    if cycles is not None:
        check_range("--cycles", cycles, 1, 10**15)

    def make() -> Plan:
        if cycles is not None:
            return balance(net, cycles, target or "generic", weights)
        return fit_device(net, target, weights=weights) if target else fit(net, DEFAULT_LANES, weights)

    return known.plan(net, (cycles, target, weights, DEFAULT_LANES), make, cache)


def weights_of(loadable: bool, plan: Path | None) -> str:
    """The kind of a plan's weights, one of WEIGHTS; BadInput where a plan's file says already which."""
    if loadable and plan is not None:
        raise BadInput(
            '--loadable is for plans that are chosen: of a plan\'s file the line weights = "loadable" says it'
        )
    return WEIGHTS[loadable]


@dataclass(frozen=True)
class Wanted:
    """What a plan is asked for: a rate `fps` at a clock, or a device, or both; ``check`` says if it can be one.

    weights : one of plan.WEIGHTS
    device : of the target's family, where it is not the target itself
    protect : one of protect.PROTECT
    """

    fps: float | None
    clock: Clock
    target: str
    lut_share: float = 0.8
    weights: str = WEIGHTS[0]
    device: Target | None = None
    protect: str = PROTECT[0]

    @property
    def planned(self) -> bool:
        """Whether a rate or a device is asked for at all."""
        return self.fps is not None or self.target != "generic"

    def check(self, plan: Path | None = None, cycles: int | None = None) -> None:
        """BadInput where a number lies nowhere, and where a plan is named by its file or its cycles too."""
        if self.fps is not None:
            check_range("--fps", self.fps, 1e-6, 1e12)
        check_range("--clock", self.clock.mhz, 1e-3, 1e6)
        check_range("--lut-share", self.lut_share, 0.01, 1)
        if self.protect not in PROTECT:
            raise BadInput(f"--protect is one of {', '.join(PROTECT)}, not {short(self.protect)}")
        if self.protect != PROTECT[0] and self.weights != WEIGHTS[0]:
            raise BadInput("--protect is for read-only weights: leave out --protect or --loadable")
        if self.planned and (plan is not None or cycles is not None):
            raise BadInput("--fps and --target choose a plan, and --plan and --cycles another; give one of them")

    def plan(self, net: Net) -> Plan:
        """The smallest plan that gives the rate, or the fastest that fits the device."""
        how = self.target, self.lut_share, self.weights, self.device, self.protect
        return fit_device(net, *how) if self.fps is None else meet(net, self.fps, self.clock.mhz, *how)

    def bound_plan(self, net: Net) -> tuple[Plan, Bound | None]:
        """The plan, and what keeps the fastest that fits from being faster; None where a rate was asked for."""
        if self.fps is not None:
            return self.plan(net), None
        planner = Planner(net, self.target, self.weights, self.device, self.protect)
        machine = fastest_on_device(planner, self.lut_share)
        return machine.plan, planner.bound(machine, planner.limits(self.lut_share))

    @property
    def available(self) -> Target | None:
        """What the machine may take; None where it is for any device."""
        return self.device or TARGETS.get(self.target)


def device_of(text: str | None, target: str) -> Target | None:
    """The device of a --device, such as "luts=12000,blocks=32", of the target's family; None where none is asked for.

    What it does not say is the target's, but flip-flops and what can be memories are as many for each look-up table.
    """
    if text is None:
        return None
    if target not in TARGETS:
        raise BadInput(f"--device is of a family: name a device of it with --target, one of {', '.join(TARGETS)}")
    found, like = {}, TARGETS[target]
    for part in text.split(","):
        name, _, count = part.partition("=")
        if name not in ("luts", "ffs", "blocks") or name in found or not re.fullmatch("[1-9][0-9]{0,8}", count):
            raise BadInput(
                f"--device must be luts=N, ffs=N or blocks=N, or some of them with commas, not {short(text)}"
            )
        found[name] = int(count)
    luts = found.get("luts", like.luts)
    blocks = {**like.blocks, like.family.blocks[0].kind: found["blocks"]} if "blocks" in found else like.blocks
    return replace(
        like,
        name=f"{target} with {text}",
        luts=luts,
        ffs=found.get("ffs", like.ffs * luts // like.luts),
        blocks=blocks,
        lut_rams=None if like.lut_rams is None else like.lut_rams * luts // like.luts,
    )


def check_range(option: str, value: float, least: float, most: float) -> None:
    """BadInput unless the option's value lies between; what is no number lies nowhere."""
    if not least <= value <= most:
        shown = (f"{each:,}" if isinstance(each, int) else f"{each:g}" for each in (least, most, value))
        raise BadInput("{} must be a number from {} to {}, not {}".format(option, *shown))


def load_images(path: Path) -> NDArray[np.integer[Any]]:
    """The images of a .npy file; BadInput where it is none."""
    if path.is_file():
        with open(path, "rb") as file:
            found = kind_of(file.read(4096))
        if found != ARRAY:
            raise BadInput(f"{path} is not a .npy file of images{f' but {found}' if found else ''}; see numpy.save")
    try:
        # Mapped, because reading would allocate whatever size the header claims.
        images = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, TypeError, OverflowError, SyntaxError, TokenError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise BadInput(f"{path} is not a readable .npy file of images: {reason}") from None
    try:
        return np.array(images)
    except MemoryError:
        raise BadInput(f"{path}: {images.nbytes / 1e9:.1f} GB of images do not fit the memory") from None
