"""The pipeline and its occupancy laid out as a drawing: boxes, wires and strips, in pixels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import log2

from ..hw.accelerator import Accelerator
from ..hw.stages.residual import SaturatingAdd
from ..hw.stream.flow import Flow
from ..hw.stream.fork import Fork
from .figures import Figures, Simulation, States, Unit, links, outputs

WIDTH = 1160
"""Of a drawing, where no residual is wider."""
GAP = 46
"""Between two units at least; where a wire's label is longer, it has the room it needs."""
MARGIN = 32
"""Left and right of the rows: room for the wire from one row to the next."""
SMALL, DOT = 24, 10
"""Side of a unit that moves words; of a fork."""
LETTER, BOLD = 6.9, 8.8
"""Width of a letter in a box, on the average of a wide font; of its first line."""
LINE = 15
"""Height of a line in a box."""


@dataclass(frozen=True)
class Box:
    """A unit: its upper left corner, its size, and the lines written in it."""

    unit: str
    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wire:
    """A stream: an SVG path, the width of its line, a label, and where the label's middle stands.

    source : the unit that it leaves
    back : it leads from the end of a row to the start of the next
    """

    source: str
    path: str
    width: float
    label: str
    x: float
    y: float
    back: bool


@dataclass
class Drawing:
    """Boxes and wires, and the size that holds them."""

    width: float = 0
    height: float = 0
    boxes: list[Box] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)


@dataclass(frozen=True)
class Branch:
    """A residual: the units between its fork and its add."""

    fork: str
    body: tuple[Branch | str, ...]
    skip: tuple[Branch | str, ...]
    add: str


@dataclass(frozen=True)
class Size:
    """Of a drawn part: its width, and its height above and below the line it is strung on."""

    width: float
    above: float
    below: float


def structure(accelerator: Accelerator) -> tuple[Branch | str, ...]:
    """The pipeline from "input" to "output" as a series of units and of branches in parallel."""
    units = accelerator.pipeline.units
    after = {(giver, port): taker for giver, port, taker in links(accelerator)}

    def series(name: str) -> tuple[tuple[Branch | str, ...], str]:
        """From `name` to the output or to the add that closes the branch, and which of them it was."""
        parts: list[Branch | str] = []
        while name != "output" and not isinstance(units[name], SaturatingAdd):
            if isinstance(units[name], Fork):
                body, add = series(after[name, "o0"])
                skip, _ = series(after[name, "o1"])
                parts.append(Branch(name, body, skip, add))
                name = after[add, "o"]
            else:
                parts.append(name)
                name = after[name, "o"]
        return tuple(parts), name

    return ("input", *series(after["input", "o"])[0], "output")


class Layout:
    """Places a machine's units; `figures` say what is written in them."""

    def __init__(self, accelerator: Accelerator, figures: Figures):
        self.units: Mapping[str, Unit] = {unit.name: unit for unit in figures.units}
        self.flows: Mapping[str, Flow] = outputs(accelerator)
        self.ends = {"input": ("input", figures.input), "output": ("output", figures.output)}
        self.labels = {name: f"{flow.lanes}×{flow.tensor.bits}b" for name, flow in self.flows.items()}
        self.gap = max(GAP, 12 + LETTER * max(map(len, self.labels.values())))
        self.drawing = Drawing()

    def lines(self, name: str) -> tuple[str, ...]:
        """What is written in a unit's box."""
        if name in self.ends:
            title, t = self.ends[name]
            return title, f"{t.height}×{t.width}×{t.channels}"
        unit = self.units[name]
        if not unit.layer:
            return ()
        fold = unit.folding
        what, *then = unit.kind.split(", ")
        what, channels = what.rsplit(" ", 1) if "→" in what else (what, "")
        texts = [unit.label, what + " + rq" * bool(then)]
        texts.append(", ".join(filter(None, [channels, f"{unit.shape[0]}×{unit.shape[1]} map"])))
        if fold:
            texts.append(f"PE {fold.pe} · SIMD {fold.simd}")
            forms = [f"{fold.pixels} px"] * (fold.pixels > 1) + ["wired"] * fold.wired
            forms += [f"→ {fold.out}"] * bool(fold.out)
            texts += [" · ".join(forms)] if forms else []
        texts.append(f"{unit.cycles:,} cycles")
        cost = unit.measured or unit.estimated
        if cost and fold:
            texts.append(f"{cost.luts:,} LUT")
        return tuple(texts)

    def size(self, part: Branch | str) -> Size:
        """Of a unit or of a residual."""
        if isinstance(part, Branch):
            body, skip = self.sizes(part.body), self.sizes(part.skip)
            gap = 20 if skip.above + body.below else 0
            return Size(
                DOT + SMALL + max(body.width, skip.width) + 2 * self.gap,
                max(body.above, SMALL / 2),
                body.below + gap + skip.above + skip.below,
            )
        lines = self.lines(part)
        if not lines:
            side = DOT if self.units[part].kind == "fork" else SMALL
            return Size(side, side / 2, side / 2)
        # The first line shares its row with the utilisation.
        width = max(len(lines[0]) * BOLD + 5 * LETTER, *(len(line) * LETTER for line in lines[1:]))
        height = LINE * len(lines) + 20
        return Size(width + 20, height / 2, height / 2)

    def sizes(self, parts: Sequence[Branch | str]) -> Size:
        """Of a series."""
        found = [self.size(part) for part in parts] or [Size(0, 6, 6)]
        return Size(
            sum(size.width for size in found) + self.gap * (len(found) - 1),
            max(size.above for size in found),
            max(size.below for size in found),
        )

    def wire(self, source: str, points: Sequence[tuple[float, float]], label: bool = True, back: bool = False) -> None:
        """A stream from `source` along `points`, labelled where it ends."""
        flow = self.flows[source]
        (x0, _), (x1, y1) = points[-2:]
        text = self.labels[source] if label else ""
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        middle = max(x0, x1 - self.gap) / 2 + x1 / 2 if x1 > x0 else x0
        self.drawing.wires.append(Wire(source, path, 1 + log2(flow.bits) / 2.5, text, middle, y1 - 6, back))

    def place(self, part: Branch | str, x: float, y: float) -> str:
        """Draw a part from `x` on, strung on the line at `y`; gives the unit whose output leaves it."""
        size = self.size(part)
        if isinstance(part, str):
            self.drawing.boxes.append(
                Box(part, x, y - size.above, size.width, size.above + size.below, self.lines(part))
            )
            return part
        body, skip = self.sizes(part.body), self.sizes(part.skip)
        low = y + size.below - skip.below
        right = x + size.width - SMALL
        self.place(part.fork, x, y)
        self.place(part.add, right, y)
        for parts, level, wide in ((part.body, y, body.width), (part.skip, low, skip.width)):
            # A branch that is shorter than the other stands in the middle.
            start = (x + DOT + right - wide) / 2
            turn, join = x + DOT / 2, right + SMALL / 2
            first = [(turn, level)] if level == y else [(turn, y), (turn, level)]
            last = [(right, level)] if level == y else [(join, level), (join, y + SMALL / 2)]
            if not parts:
                self.wire(part.fork, [*first, ((x + right) / 2 + self.gap / 2, level)])
                self.wire(part.fork, [((x + right) / 2 + self.gap / 2, level), *last], label=False)
                continue
            self.wire(part.fork, [*first, (start, level)])
            given = self.series(parts, start, level)
            over = start + wide
            self.wire(given, [(over, level), *last], label=level == y)
            if level != y:
                self.wire(given, [(over, level), (over + self.gap, level)])
        return part.add

    def series(self, parts: Sequence[Branch | str], x: float, y: float) -> str:
        """Draw a series; gives the unit whose output leaves it."""
        given = ""
        for part in parts:
            if given:
                self.wire(given, [(x - self.gap, y), (x, y)])
            given = self.place(part, x, y)
            x += self.size(part).width + self.gap
        return given

    def rows(self, parts: Sequence[Branch | str]) -> Drawing:
        """Draw the whole pipeline, as many parts in a row as the width holds."""
        rows: list[list[Branch | str]] = [[]]
        for part in parts:
            if rows[-1] and self.sizes([*rows[-1], part]).width > WIDTH - 2 * MARGIN:
                rows.append([])
            rows[-1].append(part)
        top, given, last = 8.0, "", (0.0, 0.0)
        self.drawing.width = max(self.sizes(row).width for row in rows) + 2 * MARGIN
        for row in rows:
            size = self.sizes(row)
            y = top + size.above
            if given:
                middle, edge = top - 22, 8
                far = last[0] + MARGIN - edge
                self.wire(
                    given,
                    [last, (far, last[1]), (far, middle), (edge, middle), (edge, y), (MARGIN, y)],
                    label=False,
                    back=True,
                )
            given = self.series(row, MARGIN, y)
            last = (MARGIN + size.width, y)
            top = y + size.below + 44
        self.drawing.height = top - 36
        return self.drawing


def draw(accelerator: Accelerator, figures: Figures) -> Drawing:
    """The pipeline as a drawing."""
    return Layout(accelerator, figures).rows(structure(accelerator))


@dataclass(frozen=True)
class Strip:
    """A unit over time: three areas on each other, and what is left above them is starved.

    transfers, computing, stalled : SVG paths, as high in each bin as the state's share of its cycles
    ends : where frames end
    steady : where the unit's steady cycles begin and end
    """

    unit: str
    y: float
    transfers: str
    computing: str
    stalled: str
    ends: list[float]
    steady: tuple[float, float]
    shares: States


@dataclass(frozen=True)
class Chart:
    """All strips on one axis of time: marks at (x, cycle), and where each frame has entered."""

    left: float
    width: float
    height: float
    row: float
    strips: list[Strip]
    marks: list[tuple[float, int]]
    entered: list[float]


def chart(
    simulation: Simulation, units: Collection[str], *, left: float = 240, width: float = 730, row: float = 24
) -> Chart:
    """The occupancy of these units, a strip for each."""
    scale = width / simulation.cycles
    edges = [left + edge * scale for edge in simulation.edges]
    top = 26.0
    strips: list[Strip] = []
    for busy in simulation.units:
        if busy.unit not in units:
            continue
        y = top + len(strips) * row
        # What lies on each other: the share in none of the states, in the first, in the first two, in all three.
        states = ("transfers", "computing", "stalled")
        levels = [[cycles.share(*states[:n]) for cycles in busy.bins] for n in range(4)]
        transfers, computing, stalled = (_area(*pair, edges, y + row - 6, row - 8) for pair in pairwise(levels))
        begin, end = busy.steady_span
        steady = left + begin * scale, left + end * scale
        ends = [left + (end + 1) * scale for end in busy.ends]
        strips.append(Strip(busy.unit, y, transfers, computing, stalled, ends, steady, busy.steady))
    step = _round_step(simulation.cycles / 8)
    marks = [(left + at * scale, at) for at in range(0, simulation.cycles + 1, step)]
    entered = [left + (cycle + 1) * scale for cycle in simulation.entered]
    return Chart(left, width, top + len(strips) * row, row, strips, marks, entered)


def _area(
    floors: Sequence[float], ceilings: Sequence[float], edges: Sequence[float], bottom: float, height: float
) -> str:
    """A path around what lies between floors and ceilings, shares of `height` in each bin; empty where nothing does."""

    def line(shares: Sequence[float], starts: Sequence[float], ends: Sequence[float]) -> tuple[str, str]:
        """Where it begins, and the steps from there on; bins alike join."""
        heights = [f"{bottom - height * share:.1f}" for share in shares]
        turns = [k for k in range(len(heights)) if k == len(heights) - 1 or heights[k] != heights[k + 1]]
        return f"{starts[0]:.1f} {heights[0]}", "".join(f"V{heights[k]}H{ends[k]:.1f}" for k in turns)

    (start, forth), (_, back) = (
        line(ceilings, edges, edges[1:]),
        line(floors[::-1], edges[:0:-1], edges[-2::-1]),
    )
    return f"M{start}{forth}{back}z" if any(a < b for a, b in zip(floors, ceilings, strict=True)) else ""


def _round_step(least: float) -> int:
    """The first of 1, 2, 5, 10, 20, 50 ... that is not below `least`."""
    step = 1
    while step < least:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return step
