# amaranth: UnusedElaboratable=no
"""Which plan a board gets, and what to do where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..hw.accelerator import Accelerator
from ..hw.device.resources import Resources
from ..hw.device.target import Target
from ..hw.plan import WEIGHTS
from ..hw.planner import Limits, Planner
from ..model import zoo
from ..model.error import BadInput
from ..model.net import Net
from .board import BOARDS, Board
from .shell.shell import Shell


@dataclass(frozen=True)
class Share:
    """The part of a device's look-up tables and flip-flops that a machine and its shell may take, by their estimates.

    usual : that leaves place and route some room
    most : where nothing smaller fits
    """

    usual: float = 0.8
    most: float = 0.92


SHARES = {"gowin": Share(0.5, 0.6)}
"""Of families whose estimates are too low: Gowin's, by a quarter. On the Tang Nano 9K nextpnr finds no place for
digits-tiny where the estimates say 70 %."""

MOST_CELLS = 8_000
"""Look-up tables of a machine that is chosen for its speed: larger ones take place and route hours, and the serial line
feeds none of them. Where nothing so small holds the network, it is twice as many, and so on; a plan of one's own may
take what the device has."""


def shell_of(board: Board, machine: Accelerator, clock: int) -> Shell:
    """The shell of a machine on a board, at a clock in hertz."""
    return Shell(machine, clock=clock, baud=board.baud, board=board.name)


def limits(device: Target, shell: Resources, share: float) -> Limits:
    """What a device has for a machine beside its shell."""
    found = Limits.of(device, share)
    return replace(
        found,
        cells=found.cells - shell.cells(device.family),
        ffs=found.ffs - shell.ffs,
        blocks={kind: count - shell.blocks.get(kind, 0) for kind, count in device.blocks.items()},
        lut_rams=None if found.lut_rams is None else found.lut_rams - lut_rams(shell),
        most_blocks=found.most_blocks - sum(shell.blocks.values()),
    )


def share_for(device: Target) -> Share:
    """The part of a device that may be taken."""
    return SHARES.get(device.family.name, Share())


def lut_rams(resources: Resources) -> int:
    """Look-up tables that are memories."""
    return sum(memory.luts for memory in resources.memories if memory.kind == "LUT")


def chosen(net: Net, board: Board, weights: str = WEIGHTS[0]) -> Accelerator:
    """The fastest machine of a network that fits a board together with its shell, of few cells where that will do.

    `weights` is one of plan.WEIGHTS. BadInput says what it lacks, and names a board that would do or a shipped network
    that would.
    """
    planner = Planner(net, board.target, weights)
    # The shell's size depends on the beats of the machine it serves; the smallest machine's are the narrowest.
    shell = shell_of(board, planner.smallest, board.wanted).resources
    shares = share_for(board.device)
    sizes = [most for most in (MOST_CELLS << k for k in range(5)) if most < 2 * board.device.luts]
    tiers = (*((most, shares.usual) for most in sizes), (board.device.luts, shares.most))
    if planner.within(2**62, limits(board.device, shell, shares.most)) is None:
        tiers = ()
    for most, share in tiers:
        for _ in range(2):
            room = limits(board.device, shell, share)
            machine = planner.fastest(replace(room, cells=min(most, room.cells)))
            if machine is None:
                break
            shell = shell_of(board, machine, board.wanted).resources
            if not limits(board.device, shell, share).lacking(machine):
                return machine
    lacks = " and ".join(planner.lacking(limits(board.device, shell, shares.most))) or "more than is left"
    raise BadInput(
        f"{board.title} does not hold even the smallest plan beside its shell, which takes {lacks}; "
        f"{_instead(net, board, weights)}"
    )


def _instead(net: Net, board: Board, weights: str) -> str:
    """What would do."""
    other = next((other.name for other in _larger(board) if _holds(net, other, weights)), None)
    smaller = next((name for name in _smaller(net) if _holds(zoo.load(name), board, weights)), None)
    found = [f"{other} holds it" if other else "", f"of the shipped networks it holds {smaller}" if smaller else ""]
    return ", ".join(filter(None, found)) or "narrow the network"


def _larger(board: Board) -> Iterator[Board]:
    """Boards with more look-up tables, the smallest first; those for which a bitstream is made before the others."""
    order = sorted(BOARDS.values(), key=lambda other: (other.makes != "bitstream", other.device.luts))
    return (other for other in order if other.device.luts > board.device.luts)


def _smaller(net: Net) -> list[str]:
    """Shipped networks of fewer weights, the largest first."""
    weights = {name: zoo.card(name).weights for name in zoo.names()}
    return sorted((name for name in weights if weights[name] < net.weights), key=lambda name: -weights[name])


def _holds(net: Net, board: Board, weights: str) -> bool:
    """Whether a board has room for the smallest plan."""
    ram = board.device.family.blocks[0]
    if net.weights > board.device.blocks[ram.kind] * ram.bits + 64 * board.device.luts:
        return False
    planner = Planner(net, board.target, weights)
    shell = shell_of(board, planner.smallest, board.wanted).resources
    return planner.within(2**62, limits(board.device, shell, share_for(board.device).most)) is not None
