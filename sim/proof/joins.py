"""What pools make of the taps that their windows give: the largest, or the sum, in every lane."""

from __future__ import annotations

from collections.abc import Callable

from ...hw.stages.max_pool import MaxPoolStage, SlidingMaxPoolStage
from ...hw.stages.pool import PoolStage, SlidingPoolStage, SlidingSumPoolStage, SumPoolStage
from .circuit import Bits
from .claims import Claim
from .rows import Kind
from .streams import WORD, Subject

POOLS = Kind(
    "pools",
    "of any taps of a window the largest, or the sum, is found in every lane, and no sum leaves its width; it is the "
    "result, where no factor follows",
    "the factors of sums where only pixels on the map count",
)

Join = Callable[[Bits, Bits], Bits]


def pools(stage: PoolStage | SlidingPoolStage, subject: Subject) -> list[Claim]:
    """The claims of a pool; the registers that they need are added to its circuit."""
    most = isinstance(stage, MaxPoolStage | SlidingMaxPoolStage)
    join: Join = (lambda one, other: (one < other).mux(other, one)) if most else Bits.__add__
    name = "largest" if most else "sum"
    circuit, flow = subject.circuit, stage.window.read_flow
    if isinstance(stage, SlidingPoolStage):
        found, length, taps = _at_once(stage, subject, name, join), stage.levels + 1, stage.area
        there = circuit["window.valid"]
        for cycle in range(stage.levels):
            held = circuit.state(f"there{cycle}{WORD}", 1)
            circuit.drive(held, there)
            there = held
    else:
        found, length, taps = _one_by_one(stage, subject, name, join), 1, stage.dot_cycles
        there = circuit.const(1, 1)
    fits = most or taps * (flow.tensor.hi - flow.tensor.lo) < 1 << found[0][0].width
    right = circuit.all_of(held.equals(said) for held, said in found)
    claims = [Claim(POOLS, there.implies(right) & circuit.const(fits, 1), length)]
    if not (isinstance(stage, SumPoolStage | SlidingSumPoolStage) and stage.factor.levels):
        comes, result = (
            (circuit["queue.w_en"], circuit["queue.w_data"])
            if stage.credits > 1
            else subject.ports["o"].payload.loads()
        )
        bits = stage.sink.tensor.bits
        given = (result.bits(lane * bits, (lane + 1) * bits) for lane in range(stage.sink.lanes))
        whole = circuit.all_of(
            one.equals(held.extend(bits) if held.width <= bits else held.bits(0, bits))
            for one, (held, _) in zip(given, found, strict=True)
        )
        claims.append(Claim(POOLS, comes.implies(whole)))
    return claims


def _one_by_one(stage: PoolStage, subject: Subject, name: str, join: Join) -> list[tuple[Bits, Bits]]:
    """Each lane's register, and one that joins the taps that the window gives, from the first on."""
    circuit, bits = subject.circuit, stage.window.read_flow.tensor.bits
    word, valid, first = (circuit[part] for part in ("word", "valid", "first"))
    found = []
    for lane in range(stage.sink.lanes):
        held = circuit[f"{name}{lane}"]
        code = word.bits(lane * bits, (lane + 1) * bits).extend(held.width)
        said = circuit.state(f"{name}{lane}{WORD}", held.width)
        circuit.drive(said, valid.mux(first.mux(code, join(said, code)), said))
        found.append((held, said))
    return found


def _at_once(stage: SlidingPoolStage, subject: Subject, name: str, join: Join) -> list[tuple[Bits, Bits]]:
    """Each lane's last register, and all taps joined, as many cycles later."""
    circuit, bits = subject.circuit, stage.window.read_flow.tensor.bits
    channels, word = stage.source.tensor.channels, circuit["window.word"]
    found = []
    for lane in range(stage.sink.lanes):
        held = circuit[f"{name}{lane}_{stage.levels - 1}_0"]
        window, channel = divmod(lane, channels)
        places = (window * stage.area * channels + channel + tap * channels for tap in range(stage.area))
        taps = [word.bits(place * bits, (place + 1) * bits).extend(held.width) for place in places]
        while len(taps) > 1:
            pairs = [taps[k : k + 2] for k in range(0, len(taps), 2)]
            taps = [join(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        [said] = taps
        for cycle in range(stage.levels):
            later = circuit.state(f"{name}{lane}_{cycle}{WORD}", said.width)
            circuit.drive(later, said)
            said = later
        found.append((held, said))
    return found
