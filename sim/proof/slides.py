"""That a window that slides gives its taps: any one word of the map is followed through the delay line into them.

As in `taps`, the order of windows is counted by registers of the proof's own and places are relative to a frame: that
of the windows that are whole next. What the claim says of a window is latched when it begins, and so is the place of
the word that is followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ...hw.stages.windowed import WindowedStage
from ...hw.window.slide import SlidingWindow
from .circuit import Bits, Circuit
from .claims import Claim
from .order import stored_at
from .streams import GHOST, WORD, Subject
from .taps import TAPS, OwnRegisters, recoded

LATENCY = 2
"""Cycles from a part's index to the part."""


def slides(stage: WindowedStage, subject: Subject) -> tuple[Claim, list[list[Bits]]]:
    """The claim of a window that slides, and what is to be proven before it, one list after the other."""
    assert isinstance(stage.window, SlidingWindow)
    line = _Line(subject.circuit, stage.window)
    return Claim(TAPS, line.claim(), LATENCY + 1), line.beside()


@dataclass(frozen=True)
class _Begun:
    """Windows: their row and column of steps, and the place of the word that is followed, if it is of their frame."""

    row: Bits
    column: Bits
    where: Bits
    followed: Bits

    @property
    def values(self) -> tuple[Bits, Bits, Bits, Bits]:
        return self.row, self.column, self.where, self.followed

    def same(self, other: _Begun) -> Bits:
        pairs = zip(self.values, other.values, strict=True)
        return self.row.circuit.all_of(one.equals(two) for one, two in pairs)


@dataclass(frozen=True)
class _Tap:
    """A pixel of the windows that are whole at once: its row and column in them, and which word of a step it is."""

    y: int
    x: int
    place: int
    lane: int


class _Line(OwnRegisters):
    """A sliding window and the proof's registers that go with it."""

    def __init__(self, circuit: Circuit, window: SlidingWindow) -> None:
        self.circuit, self.window, self.sweep, self.geometry = circuit, window, window.sweep, window.sweep.geometry
        sweep, g = self.sweep, self.geometry
        self.columns, self.frame, (self.kh, self.kw) = sweep.columns, sweep.frame_steps, g.kernel
        self.right = sweep.windows * g.stride // sweep.pixels
        self.held = -(-(sweep.reach + sweep.younger) // sweep.pixels)
        self.remembers = self.kh > 1 and self.columns > 1  # a memory holds the rows
        # Rows that a word has been in the line, beyond which nothing reads it.
        self.rows = self.kh + self.held // self.columns + 1
        self.width = (4 * self.frame + 4 * (self.rows + 1) * self.columns).bit_length() + 2
        self.begin, self.step = circuit["window.begins"], circuit["window.step"]
        self._count()
        self._follow()
        self._latch()

    def _round(self, name: str, count: int, goes: Bits) -> tuple[Bits, Bits]:
        """A counter from 0 to count - 1, round and round, and whether it ends a round."""
        if count == 1:
            return self._number(0), goes
        at = self._state(name)
        last = at.equals(count - 1)
        self.circuit.drive(at, goes.mux(last.mux(0, at + 1), at))
        return at, goes & last

    def _count(self) -> None:
        """Which windows are whole next, and which part of those that have begun is given."""
        self.column, row_ends = self._round("column", self.sweep.out_columns, self.begin)
        self.row, self.final = self._round("row", self.geometry.out_height, row_ends)
        self.part, group_goes = self._round("part", self.window.parts, self.step)
        self.group, self.given = self._round("group", self.window.groups, group_goes)
        self.opens = self.part.equals(0) & self.group.equals(0)

    def _follow(self) -> None:
        """Where the next word that comes lies, and any one that came; since when it has been in the line."""
        circuit, columns = self.circuit, self.columns
        take, chosen = circuit["window.i__valid"] & circuit["window.i__ready"], circuit.input(f"chosen{GHOST}tap", 1)
        moved = self.final.mux(self._number(self.frame), 0)
        self.coming, self.where, self.slot, self.lane, self.since = (
            self._state(name) for name in ("coming", "where", "slot", "lane", "since")
        )
        self.followed, self.spent, self.fresh = (self._state(name, 1) for name in ("follows", "spent", "fresh"))
        self.word = self._state("word", self.window.flow.bits)
        self.starts = take & chosen & ~self.spent
        self.now = self.starts.mux(self.coming, self.where)
        where = self.now - moved
        circuit.drive(self.coming, self.coming + take.extend(self.width) - moved)
        circuit.drive(self.spent, self.spent | self.starts)
        circuit.drive(self.fresh, self.starts)
        circuit.drive(self.where, where)
        circuit.drive(self.followed, (self.followed | self.starts) & ~where.less(0))
        circuit.drive(self.word, self.starts.mux(circuit["window.i__payload"], self.word))
        # Its column of the line, and how often all columns have passed since, and how many of them more.
        shift, last = circuit["window.shift"], self.since.equals(columns - 1)
        first = shift & self.fresh
        later = self.lane.equals(self.rows).mux(self.lane, self.lane + 1)
        circuit.drive(self.lane, first.mux(0, (shift & last).mux(later, self.lane)))
        circuit.drive(self.since, first.mux(0, shift.mux(last.mux(0, self.since + 1), self.since)))
        slot = circuit["window.write__addr"].extend(self.width) if self.remembers else self._number(0)
        circuit.drive(self.slot, first.mux(slot, self.slot))
        self.placed = self.spent & ~self.fresh

    def _latch(self) -> None:
        """The windows that have begun last; those a cycle and two later; and those whose taps are held."""
        values = (self.row, self.column, self.now, (self.followed | self.starts) & self.now.less(self.frame))

        def register(name: str) -> _Begun:
            return _Begun(*(self._state(f"{name}{k}", value.width) for k, value in enumerate(values)))

        self.begun, self.loading, self.later, self.holding = (register(f"{n}th") for n in range(4))
        load = self.circuit["window.load"]
        for held, changes, new in (
            (self.begun, self.begin, values),
            (self.loading, None, self.begun.values),
            (self.later, None, self.loading.values),
            (self.holding, load, self.loading.values),
        ):
            for one, value in zip(held.values, new, strict=True):
                self.circuit.drive(one, value if changes is None else changes.mux(value, one))
        self.turned = self._number(0)
        if self.window.parts > 1:
            self.turned = self._state("turned")
            ended = self.turned.equals(self.window.parts - 1)
            self.circuit.drive(self.turned, load.mux(0, ended.mux(0, self.turned + 1)))
        self.full = self._state("full", 1)
        self.circuit.drive(self.full, self.full | load)

    def _base(self, windows: _Begun) -> Bits:
        """The word in the map's row and column 0 of the windows' own, were there no padding."""
        return windows.row * (self.geometry.stride * self.columns) + windows.column * self.right

    def _ends(self, windows: _Begun) -> Bits:
        """The step that completes the windows."""
        row = self.kh - 1 - self.geometry.padding[0]
        return self._base(windows) + (row * self.columns + self.sweep.last_column // self.sweep.pixels)

    @cached_property
    def taps(self) -> list[_Tap]:
        """Of all windows that are whole at once, row by row."""
        left, pixels = self.geometry.padding[2], self.sweep.pixels
        return [
            _Tap(y, x, (y - self.geometry.padding[0]) * self.columns + (x - left) // pixels, (x - left) % pixels)
            for y in range(self.kh)
            for x in range(self.sweep.reach)
        ]

    def _inside(self, windows: _Begun, y: int, x: int) -> tuple[Bits, Bits]:
        """Whether a row and a column of the windows lie on the map."""
        g = self.geometry
        row = windows.row * g.stride + (y - g.padding[0])
        column = windows.column * (self.sweep.windows * g.stride) + (x - g.padding[2])
        return ~row.less(0) & row.less(g.height), ~column.less(0) & column.less(g.width)

    def _right(self, windows: _Begun, tap: _Tap, held: Bits) -> Bits:
        """That a tap of the windows is what it should be, as far as the word that is followed tells."""
        flow, taken = (
            each.over(self.window.flow.tensor.channels) for each in (self.window.flow, self.window.read_flow)
        )
        pixel = recoded(self.word.bits(tap.lane * flow.bits, (tap.lane + 1) * flow.bits), flow, taken)
        row, column = self._inside(windows, tap.y, tap.x)
        mine = windows.followed & windows.where.equals(self._base(windows) + tap.place)
        outside = held.equals(int(self.window.padding.value))
        return (row & column).mux(mine.implies(held.equals(pixel)), outside)

    def claim(self) -> Bits:
        """Windows begin in order, each is given whole before the next one is, and its taps are right."""
        circuit, window = self.circuit, self.window
        there, part = self._given("there", self.step, LATENCY), self._given("part", self.part, LATENCY)
        said = [
            self.begin.implies(~self.step | self.given),
            self._given("begin", self.begin, 1).implies(self.step & self.opens),
            (~self.opens).implies(self.step),
            self.step.implies(circuit["window.index"].extend(self.width).equals(self.group * window.parts + self.part)),
            circuit["window.valid"].equals(there),
        ]
        for name, flag in (("first", part.equals(0)), ("last", part.equals(window.parts - 1))):
            if f"window.{name}" in circuit:
                said.append(there.implies(circuit[f"window.{name}"].equals(flag)))
        rows, columns = circuit["window.rows"], circuit["window.columns"]
        for tap in self.taps:
            row, column = self._inside(self.begun, tap.y, tap.x)
            right = rows.bits(tap.y, tap.y + 1).equals(row) & columns.bits(tap.x, tap.x + 1).equals(column)
            said.append(circuit["window.begun"].implies(right))
        for tap, held, given in self._word():
            said.append((there & part.equals(given)).implies(self._right(self.later, tap, held)))
        return circuit.all_of(said)

    def _word(self) -> Iterator[tuple[_Tap, Bits, int]]:
        """Each pixel of the window's word: which tap it is, and in which part."""
        word, parts = self.circuit["window.word"], self.window.parts
        bits = len(self.window.padding)
        if parts > 1:
            size = len(self.taps) // parts
            for index, tap in enumerate(self.taps):
                part, at = divmod(index, size)
                yield tap, word.bits(at * bits, (at + 1) * bits), part
            return
        at = 0
        for start in range(0, self.sweep.reach - self.kw + 1, self.geometry.stride):
            for y in range(self.kh):
                for x in range(start, start + self.kw):
                    yield self.taps[y * self.sweep.reach + x], word.bits(at * bits, (at + 1) * bits), 0
                    at += 1

    def beside(self) -> list[list[Bits]]:
        """What the window's registers hold, told from the order of windows and from how far the input has come."""
        return [self._steps(), self._parts(), self._age(), self._contents(), self._loads(), self._taps()]

    def _read(self, name: str) -> Bits:
        """A register as a number; 0 where there is none."""
        name = f"window.{name}"
        return self.circuit[name].extend(self.width) if name in self.circuit else self._number(0)

    @cached_property
    def _next(self) -> _Begun:
        """The windows that are whole next."""
        return _Begun(self.row, self.column, self.now, self.followed)

    def _steps(self) -> list[Bits]:
        """When the next windows are whole."""
        g, sweep, coming, ghosts = self.geometry, self.sweep, self.coming, self._read("ghosts")
        wait = self._ends(self._next) - coming - ghosts
        found = [self.row < g.out_height, self.column < sweep.out_columns, ~wait.less(0), wait.less(2 * self.frame)]
        found += [~coming.less(0), coming.less(2 * self.frame), ghosts < sweep.lag + 1]
        for name, value in (("row", self.row), ("column", self.column), ("wait", wait), ("here", wait.equals(0))):
            found += self._holds(name, value)
        found += self._holds("top", self.row * g.stride - g.padding[0], signed=True)
        found += self._holds("left", self.column * (sweep.windows * g.stride) - g.padding[2], signed=True)
        if sweep.lag:
            over = ~coming.less(self.frame)
            place = over.mux(coming - self.frame, coming)
            found += self._holds("place", place) + self._holds("between", place.equals(0)) + self._holds("owing", over)
            found.append(ghosts.equals(0) | over)
        return found

    def _parts(self) -> list[Bits]:
        """Which part of the windows is given."""
        circuit, window = self.circuit, self.window
        index = self.group * window.parts + self.part
        left = self.step.mux(self._number(window.parts * window.groups - 1) - index, 0)
        begun, load = circuit["window.begun"], circuit["window.load"]
        found = [self.part < window.parts, self.group < window.groups, begun.implies(self.opens)]
        for name, value in (("index", index), ("part", self.part), ("busy", left)):
            found += self._holds(name, value)
        return [*found, begun.equals(self._given("began", self.begin, 1)), load.equals(self._given("loads", begun, 1))]

    def _age(self) -> list[Bits]:
        """Since when the word that is followed has been in the line, and where in it."""
        circuit, columns, since, ghosts = self.circuit, self.columns, self.since, self._read("ghosts")
        shift = circuit["window.shift"].extend(self.width)
        steps = self.coming - self.where - 1 + self.where.less(self.frame).mux(ghosts, 0)
        age, gone = self.lane * columns + since, self.lane.equals(self.rows)
        found = [
            since < columns,
            self.lane < self.rows + 1,
            self.followed.implies(self.spent & ~self.where.less(0) & self.where.less(self.coming)),
            self.fresh.implies(self.spent & circuit["window.shift"] & circuit["window.arrived"].equals(self.word)),
            (self.followed & self.fresh).implies(steps.equals(0)),
            (self.followed & self.placed).implies(
                gone.mux(~steps.less(self.rows * columns), steps.equals(age + shift)),
            ),
        ]
        if not self.remembers:
            return found
        address, before = self._read("read__addr"), self._read("write__addr")
        found += [address < columns, before < columns]
        on = before + shift
        found.append(on.equals(address) | on.equals(address + columns))
        on, found = self.slot + since + shift + 1, [*found, self.slot < columns]
        same = on.equals(address) | on.equals(address + columns) | on.equals(address + 2 * columns)
        return [*found, self.placed.implies(same)]

    def _contents(self) -> list[Bits]:
        """The word that is followed, in the columns, in the memory and behind it."""
        circuit, bits, columns, kh = self.circuit, self.window.flow.bits, self.columns, self.kh
        found = []
        for k in range(self.held):
            for j in range(kh):
                here = self.placed & self.lane.equals(j + k // columns) & self.since.equals(k % columns)
                lane = circuit[f"window.column{k}"].bits(j * bits, (j + 1) * bits)
                found.append(here.implies(lane.equals(self.word)))
        if kh == 1:
            return found
        if columns == 1:
            above = circuit["window.above"]
            places = [(above, self.placed)]
        else:
            stored = stored_at(circuit, ["window.lines"], self.slot, columns)
            behind = self._read("write__addr").equals(self.slot)
            places = [(stored, self.placed), (circuit["window.read__data"], self.placed & behind)]
        for word, here in places:
            for lane in range(kh - 1):
                kept = here & self.lane.equals(lane)
                found.append(kept.implies(word.bits(lane * bits, (lane + 1) * bits).equals(self.word)))
        return found

    def _loads(self) -> list[Bits]:
        """When windows that have begun are loaded their taps stand in the columns, with what lies on the map."""
        circuit, begun, loading = self.circuit, self.begun, self.loading
        starts, load = circuit["window.begun"], circuit["window.load"]
        age, gone = self.lane * self.columns + self.since, self.lane.equals(self.rows)
        found = [begun.row < self.geometry.out_height, begun.column < self.sweep.out_columns]
        found += [loading.row < self.geometry.out_height, loading.column < self.sweep.out_columns]
        for windows, now, pending in ((begun, starts, 1), (loading, load, 0)):
            steps = self._ends(windows) - windows.where
            right = gone.mux(~steps.less(self.rows * self.columns), steps.equals(age + pending))
            if pending:
                right = self.fresh.mux(steps.equals(0), right)
                found.append(now.implies(circuit["window.shift"]))
            else:
                right = right & ~self.fresh
            found.append((now & windows.followed).implies(self.spent & right & ~windows.where.less(0)))
        rows, columns = circuit["window.rows"], circuit["window.columns"]
        for tap in self.taps:
            row, column = self._inside(begun, tap.y, tap.x)
            found.append(starts.implies(rows.bits(tap.y, tap.y + 1).equals(row)))
            found.append(starts.implies(columns.bits(tap.x, tap.x + 1).equals(column)))
            name = f"window.inside{tap.y}_{tap.x}"
            if name in circuit:
                row, column = self._inside(loading, tap.y, tap.x)
                found.append(load.implies(circuit[name].equals(row & column)))
        return found

    def _taps(self) -> list[Bits]:
        """The taps that are held, and whose they are while their parts are given."""
        circuit, parts = self.circuit, self.window.parts
        begun, load, step = circuit["window.begun"], circuit["window.load"], self.step
        there1, there2 = self._named("there1"), self._named("there2")
        part1, part2 = self._named("part1"), self._named("part2")

        def following(part: Bits) -> Bits:
            return (part + 1).equals(parts).mux(0, part + 1)

        found = [
            self.turned < parts,
            self.holding.row < self.geometry.out_height,
            self.holding.column < self.sweep.out_columns,
            self.holding.followed.implies(self.spent),
            (step & ~begun).implies(load.mux(self.loading.same(self.begun), self.holding.same(self.begun))),
            (there1 & ~load).implies(self.holding.same(self.loading)),
            there2.implies(self.holding.same(self.later) & self.full & self.turned.equals(part2)),
            load.implies(there1 & part1.equals(0)),
            (there1 & ~load).implies(part1.equals(following(self.turned)) & self.full & there2),
            (step & ~begun).implies(there1 & self.part.equals(following(part1))),
            begun.implies(step),
        ]
        count, size = len(self.taps), len(self.taps) // parts
        for index, tap in enumerate(self.taps):
            for turned in range(parts):
                other = self.taps[(index - turned * size) % count]
                held = circuit[f"window.tap{other.y}_{other.x}"]
                now = self.full & self.turned.equals(turned)
                found.append(now.implies(self._right(self.holding, tap, held)))
        return found

    def _named(self, name: str) -> Bits:
        """A register of the proof's own."""
        return self.circuit[f"{name}{GHOST}tap{WORD}"]
