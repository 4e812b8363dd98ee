"""What pools make of the taps that their windows give: the largest, or the sum, in every lane."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...hw.stages.max_pool import MaxPoolStage, SlidingMaxPoolStage
from ...hw.stages.pool import PoolStage, SlidingPoolStage, SlidingSumPoolStage, SumPoolStage
from ...hw.window.slide import SLIDE_LATENCY
from .circuit import Bits, Circuit
from .claims import Claim, Told
from .rows import Kind
from .streams import WORD, Subject, later

POOLS = Kind(
    "pools",
    "of any taps of a window the largest, or the sum, is found in every lane, and no sum leaves its width; it is the "
    "result, or its product with the factor of as many pixels as were on the map",
    "which taps the window gives",
)

Join = Callable[[Bits, Bits], Bits]


def pools(stage: PoolStage | SlidingPoolStage, subject: Subject) -> Told:
    """The claims of a pool; the registers that they need are added to its circuit."""
    most = isinstance(stage, MaxPoolStage | SlidingMaxPoolStage)
    join: Join = (lambda one, other: (one < other).mux(other, one)) if most else Bits.__add__
    name = "largest" if most else "sum"
    circuit, flow = subject.circuit, stage.window.read_flow
    if isinstance(stage, SlidingPoolStage):
        found, length, taps = _at_once(stage, subject, name, join), stage.levels + 1, stage.area
        there = later(circuit, circuit["window.valid"], stage.levels, "there")
    else:
        found, length, taps = _one_by_one(stage, subject, name, join), 1, stage.dot_cycles
        there = circuit.const(1, 1)
    fits = most or taps * (flow.tensor.hi - flow.tensor.lo) < 1 << found[0][0].width
    right = circuit.all_of(held.equals(said) for held, said in found)
    claims = [Claim(POOLS, there.implies(right) & circuit.const(fits, 1), length)]
    comes, result = (
        (circuit["queue.w_en"], circuit["queue.w_data"]) if stage.credits > 1 else subject.ports["o"].payload.loads()
    )
    bits = stage.sink.tensor.bits
    given = [result.bits(lane * bits, (lane + 1) * bits) for lane in range(stage.sink.lanes)]
    whole = [held.extend(bits) if held.width <= bits else held.bits(0, bits) for held, _ in found]
    if not (isinstance(stage, SumPoolStage | SlidingSumPoolStage) and stage.factor.levels):
        right = circuit.all_of(one.equals(held) for one, held in zip(given, whole, strict=True))
        return Told([*claims, Claim(POOLS, comes.implies(right))], [])
    levels, divisor = stage.factor.levels, stage.divisor
    if isinstance(stage, SlidingPoolStage):
        early, facts = SLIDE_LATENCY - 1 + stage.levels, []
        counts = [later(circuit, count, early, f"pixels{at}_") for at, count in enumerate(_on_map(stage, circuit))]
    else:
        early, (count, facts) = 0, _counted(stage, circuit, divisor)
        counts = [count]
    said = []
    for lane, (one, total) in enumerate(zip(given, whole, strict=True)):
        count = counts[lane // stage.source.tensor.channels if len(counts) > 1 else 0]
        product, known = circuit.const(0, bits), circuit.const(0, 1)
        for factor in stage.factor.factors:
            mine = count.equals(divisor // factor)
            product, known = mine.mux(total * factor, product), known | mine
        product, known = (
            later(circuit, bit, levels, f"{word}{lane}_") for bit, word in ((product, "product"), (known, "known"))
        )
        said.append((comes & known).implies(one.equals(product)))
    fits = divisor * (flow.tensor.hi - flow.tensor.lo) < 1 << bits
    claims.append(Claim(POOLS, circuit.all_of(said) & circuit.const(fits, 1), early + levels + 1))
    return Told(claims, [facts])


def _counted(stage: SumPoolStage, circuit: Circuit, divisor: int) -> tuple[Bits, list[Bits]]:
    """How many of a window's pixels so far were on the map, and what the hardware's registers tell of it."""
    valid, first, on_map, key = (circuit[name] for name in ("valid", "first", "on_map", "key"))
    held = circuit["pixels"]
    count = circuit.state(f"pixels{WORD}", held.width)
    circuit.drive(count, valid.mux(first.mux(0, count) + on_map.extend(count.width), count))
    keys = [
        count.equals(divisor // factor).implies(key.equals(index)) for index, factor in enumerate(stage.factor.factors)
    ]
    return count, [held.equals(count), *keys]


def _on_map(stage: SlidingSumPoolStage, circuit: Circuit) -> Iterator[Bits]:
    """How many pixels of each window that begins are on the map, by the flags of its rows and columns."""
    geometry = stage.geometry.geometry
    kernel = geometry.kernel[0]
    bits = (kernel * kernel).bit_length()
    for at in range(stage.geometry.windows):
        lines = []
        for name, start in (("rows", 0), ("columns", at * geometry.stride)):
            flags = circuit[f"window.{name}"]
            count = circuit.const(0, bits)
            for place in range(start, start + kernel):
                count = count + flags.bits(place, place + 1).extend(bits)
            lines.append(count)
        yield lines[0] * lines[1]


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
        found.append((held, later(circuit, said, stage.levels, f"{name}{lane}_")))
    return found
