"""That a window gives its taps: any one word of the map is followed to wherever the layer reads it.

The order of taps is counted by registers of the proof's own, from the layer's geometry alone. Places are words relative
to the first one of the frame whose windows are given. So the claim knows nothing of addresses, of how far the input has
come, or of the loops that the hardware counts down; these are told from the proof's registers in what is proven beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ...hw.device.ring import PairRing
from ...hw.stages.windowed import WindowedStage
from ...hw.stream.flow import Flow
from ...hw.window.window import Window
from .circuit import Bits, Circuit
from .claims import Claim
from .order import stored_at, stored_in
from .rows import Kind
from .streams import GHOST, WORD, Subject

TAPS = Kind(
    "taps",
    "the window gives each tap in its turn, with the flags of its place: on the map the word that came there in the "
    "frame, beside it the padding",
    "when it does, and what is made of it",
)


def taps(stage: WindowedStage, subject: Subject) -> tuple[Claim, list[list[Bits]]]:
    """The claim of a window that is read in place, and what is to be proven before it, one list after the other."""
    assert isinstance(stage.window, Window)
    kind = _ReadingPairs if isinstance(stage.window.ring, PairRing) else _Reading
    reading = kind(subject.circuit, stage.window, stage.groups)
    return Claim(TAPS, reading.claim(), stage.window.latency + 1), reading.beside()


@dataclass(frozen=True)
class _Tap:
    """Places in all loops, the innermost first: of the tap whose turn it is, or of the next one."""

    at: dict[str, Bits]
    counts: dict[str, int]

    @cached_property
    def _circuit(self) -> Circuit:
        return next(iter(self.at.values())).circuit

    def opens(self, loops: Iterable[str]) -> Bits:
        """These loops are in their first rounds."""
        return self._circuit.all_of(self.at[loop].equals(0) for loop in loops)

    def closes(self, loops: Iterable[str]) -> Bits:
        """These loops are in their last rounds."""
        return self._circuit.all_of(self.at[loop].equals(self.counts[loop] - 1) for loop in loops)


class OwnRegisters:
    """What a proof adds to the circuit of a stage with a window.

    circuit : the stage's
    width : of numbers
    """

    circuit: Circuit
    width: int

    def _number(self, value: int) -> Bits:
        return self.circuit.const(value, self.width)

    def _state(self, name: str, width: int | None = None) -> Bits:
        return self.circuit.state(f"{name}{GHOST}tap{WORD}", width or self.width)

    def _given(self, name: str, value: Bits, cycles: int) -> Bits:
        """A value as many cycles later."""
        for cycle in range(1, cycles + 1):
            held = self._state(f"{name}{cycle}", value.width)
            self.circuit.drive(held, value)
            value = held
        return value

    def _holds(self, name: str, value: Bits, signed: bool = False) -> list[Bits]:
        """That a register of the window, where there is one, is `value`."""
        if f"window.{name}" not in self.circuit:
            return []
        return [self.circuit[f"window.{name}"].extend(value.width, signed).equals(value)]


class _Reading(OwnRegisters):
    """A window and the proof's registers that go with it."""

    def __init__(self, circuit: Circuit, window: Window, groups: int) -> None:
        self.circuit, self.window, self.geometry = circuit, window, window.geometry
        self.words, self.size = window.flow.words, window.ring.size
        self.width = max(4 * window.flow.frame_words, 4 * self.size, window.taps).bit_length() + 2
        self.step = circuit["window.step"]
        (kh, kw), self.turns = self.geometry.kernel, self.geometry.turns
        # The layer's order: a convolution reads all words of all taps, a pool each word of all taps.
        self.dot = ("channel", "kx", "ky") if groups else ("kx", "ky")
        self.repeat = "group" if groups else "channel"
        counts = {"channel": self.words, "kx": kw, "ky": kh, "group": groups, "turn": self.turns}
        counts |= {"column": self.geometry.out_width // self.turns, "row": self.geometry.out_height}
        turn = ["turn"] if self.turns > 1 else []
        self.loops = (*turn, *self.dot, self.repeat, "column", "row")
        self.tap, self.next, self.ends = self._count({loop: counts[loop] for loop in self.loops})
        self._follow()

    def _count(self, counts: dict[str, int]) -> tuple[_Tap, _Tap, list[Bits]]:
        """Counters that go on with each step; of each loop, whether it and all inside it are in their last round."""
        at, onward, ends = {"turn": self._number(0)}, {"turn": self._number(0)}, []
        carry = self.circuit.const(1, 1)
        for loop, count in counts.items():
            at[loop] = onward[loop] = self._number(0)
            if count > 1:
                held = self._state(loop, (count - 1).bit_length())
                last = held.equals(count - 1)
                following = carry.mux(last.mux(0, held + 1), held)
                self.circuit.drive(held, self.step.mux(following, held))
                at[loop], onward[loop] = held.extend(self.width), following.extend(self.width)
                carry = carry & last
            ends.append(carry)
        return _Tap(at, counts), _Tap(onward, counts), ends

    def _follow(self) -> None:
        """Where the next word that comes lies, and any one that came; negative places are of an earlier frame."""
        circuit = self.circuit
        take, chosen = circuit["window.take"], circuit.input(f"chosen{GHOST}tap", 1)
        moved = (self.step & self.ends[-1]).mux(self._number(self.window.flow.frame_words), 0)
        self.coming, self.where, self.slot = (self._state(name) for name in ("coming", "where", "slot"))
        self.followed, self.spent = self._state("follows", 1), self._state("spent", 1)
        self.word = self._state("word", self.window.read_flow.bits)
        starts = take & chosen & ~self.spent & ~self.coming.less(0)
        where = starts.mux(self.coming, self.where) - moved
        given = recoded(circuit["window.i__payload"], self.window.flow, self.window.read_flow)
        circuit.drive(self.coming, self.coming + take.extend(self.width) - moved)
        circuit.drive(self.spent, self.spent | starts)
        circuit.drive(self.where, where)
        circuit.drive(self.slot, starts.mux(self.row, self.slot))
        circuit.drive(self.word, starts.mux(given, self.word))
        circuit.drive(self.followed, (self.followed | starts) & ~where.less(0))

    def _place(self, tap: _Tap) -> tuple[Bits, Bits]:
        """Row and column of the map that a tap lies in."""
        g, at = self.geometry, tap.at
        x = (at["column"] * self.turns + at["turn"]) * g.stride + at["kx"] - g.padding[2]
        return at["row"] * g.stride + at["ky"] - g.padding[0], x

    def _on_map(self, tap: _Tap) -> Bits:
        y, x = self._place(tap)
        return ~y.less(0) & y.less(self.geometry.height) & ~x.less(0) & x.less(self.geometry.width)

    @cached_property
    def wanted(self) -> Bits:
        """The place of this tap's word."""
        y, x = self._place(self.tap)
        return (y * self.geometry.width + x) * self.words + self.tap.at["channel"]

    @cached_property
    def flags(self) -> dict[str, Bits]:
        """Of this tap."""
        return {
            "first": self.tap.opens(self.dot),
            "last": self.tap.closes(self.dot),
            "on_map": self._on_map(self.tap),
            "foremost": self.tap.opens(["turn"]),
        }

    @cached_property
    def meets(self) -> Bits:
        """This tap is the word that is followed."""
        return self.followed & self.flags["on_map"] & self.where.equals(self.wanted)

    def claim(self) -> Bits:
        """What the window gives, its latency after each step."""
        circuit, late = self.circuit, self.window.latency
        there, word = self._given("there", self.step, late), circuit["window.word"]
        meets = self.step & self.meets
        outside = self.step & ~self.flags["on_map"]
        said = [
            circuit["window.valid"].equals(there),
            self._given("meets", meets, late).implies(word.equals(self.word)),
            self._given("outside", outside, late).implies(word.equals(int(self.window.padding.value))),
        ]
        for name, flag in self.flags.items():
            if f"window.{name}" in circuit:
                said.append(there.implies(circuit[f"window.{name}"].equals(self._given(name, flag, late))))
        if "window.tap" in circuit.states:
            said += self._indexed()
        return circuit.all_of(said)

    @cached_property
    def place(self) -> Bits:
        """This tap's place in its window."""
        place, each = self._number(0), 1
        for loop in self.loops[: self.window.tap_loops]:
            place = place + self.tap.at[loop] * each
            each *= self.tap.counts[loop]
        return place

    def _ahead_of(self, tap: Bits) -> Bits:
        """Where windows take turns a place is `turns` taps ahead of this tap's; first it goes through those before."""
        primes, ahead = self.circuit["window.primes"], self.place + self.turns
        right = primes.equals(0) & (tap.equals(ahead) | (tap + self.window.taps).equals(ahead))
        for left in range(1, self.turns + 1):
            begins = self.place.equals(0) & tap.equals(self.turns - left)
            right = right | (primes.equals((1 << left) - 1) & begins)
        return right

    def _indexed(self) -> list[Bits]:
        """An index is its tap's place, two cycles ahead; that of a later tap where windows take turns."""
        circuit, late = self.circuit, self.window.latency
        index, tap = (circuit[f"window.{name}"].extend(self.width) for name in ("index", "tap"))
        if self.turns == 1:
            asked, place = self._given("asked", self.step, late - 2), self._given("place", self.place, late - 2)
            return [asked.implies(index.equals(place))]
        fetched = self._given("fetched", self.step | circuit["window.primes"].bits(0, 1), late)
        later = index.equals(self._given("tap", tap, late - 2))
        return [self._ahead_of(tap), later, circuit["window.fetched"].equals(fetched)]

    def beside(self) -> list[list[Bits]]:
        """What the window's registers hold, told from the order of taps and from how far the input has come."""
        return [self._loops(), self._ahead(), self._addresses(), self._kept()]

    def _choice(self, values: Sequence[int]) -> Bits:
        """The value of the innermost loop that goes on after this tap; the last one where the frame ends."""
        found = self._number(values[-1])
        for ends, value in reversed(list(zip(self.ends, values, strict=False))):
            found = ends.mux(found, value)
        return found

    def _loops(self) -> list[Bits]:
        """The loops, which are one tap ahead and count down past 0, and what hangs on them."""
        g, found = self.geometry, []
        for level, loop in enumerate(self.loops):
            count = self.tap.counts[loop]
            found.append(self.tap.at[loop] < count)
            left = self._number(max(count - 2, -1)) - self.next.at[loop]
            found += self._holds(f"loop{level}", left, signed=True)
        distances, _, _, freed = self.window.jumps().T.tolist()
        for name, values in (
            ("behind", [-distance for distance in distances]),
            ("onward", [distance % self.size for distance in distances]),
            ("wrapped", [distance % self.size - self.size for distance in distances]),
            ("given_up", [-distance for distance in freed]),
        ):
            found += self._holds(name, self._choice(values), signed=min(values) < 0)
        y, x = self._place(self.next)
        found += self._holds("x", x, signed=g.columns.start < 0) + self._holds("y", y, signed=g.rows.start < 0)
        for name, flag in (
            ("opens", self.flags["first"]),
            ("closes", self.flags["last"]),
            ("waits", self.flags["on_map"]),
            ("turn", self.flags["foremost"]),
            ("turned", self.next.opens(["turn"])),
            ("over", self.ends[self.window.tap_loops - 1]),
        ):
            found += self._holds(name, flag)
        if "window.tap" in self.circuit.states:
            tap = self.circuit["window.tap"].extend(self.width)
            found += [tap < self.window.taps, self._ahead_of(tap) if self.turns > 1 else tap.equals(self.place)]
            found += self._holds("wraps", tap.equals(self.window.taps - 1))
        return found

    def _ahead(self) -> list[Bits]:
        """How far the input is ahead of this tap, and of the base of its window."""
        g, at = self.geometry, self.tap.at
        top = at["row"] * g.stride - g.padding[0]
        lefts = [(at["column"] * self.turns + turn) * g.stride - g.padding[2] for turn in range(self.turns)]
        ahead = self.coming - (top * g.width + lefts[0]) * self.words
        found = self._holds("ahead", self.coming - self.on_the_way - self.wanted - 1, signed=True)
        found += self._holds("full", ahead - self.size, signed=True)
        # Once the first tap has been read that lies on the map, the input is beyond the base.
        ky, kx = (corner.less(0).mux(self._number(0) - corner, 0) for corner in (top, lefts[-1]))
        turn = self._number(self.turns - 1)
        for earlier in reversed(range(self.turns - 1)):
            turn = (lefts[earlier] + kx).less(0).mux(turn, earlier)
        passed, firsts = turn < at["turn"], {"channel": self._number(0), "kx": kx, "ky": ky}
        for loop in self.dot:
            passed = (firsts[loop] < at[loop]) | (firsts[loop].equals(at[loop]) & passed)
        passed = passed | ~at[self.repeat].equals(0)
        # A row's first base may lie before the last one of the row above, but no tap on the map does.
        back = max(0, -min(self.window.jumps()[:, 3].tolist()))
        beside = lefts[0].less(0).mux(self._number(0) - lefts[0], 0) * self.words
        found += [ahead.less(self.size + back + 1), (ahead - beside).less(self.size + 1)]
        here = ahead - self.on_the_way
        return [*found, ~here.less(-self._freed), passed.implies(~here.less(1))]

    @property
    def _freed(self) -> int:
        """Words that a window's base is ahead of the last one's, at the most."""
        return max(1, *self.window.jumps()[:, 3].tolist())

    @property
    def on_the_way(self) -> Bits:
        """Words that have been taken and cannot be read yet."""
        return self._number(0)

    @property
    def row(self) -> Bits:
        """The address of the next word that comes."""
        return self.circuit["window.ring.row"].extend(self.width)

    def _addresses(self) -> list[Bits]:
        """This tap's address is as far behind the way in, round the memory, as the input is ahead of the tap."""
        size, address = self.size, self.circuit["window.address"].extend(self.width)
        # What is known of how far that is makes this a sum without products.
        ahead = address + self.circuit["window.ahead"].extend(self.width, signed=True) + 1 + self.on_the_way
        reach = sum((loop.count - 1) * loop.words for loop in self.window.loops[: self.window.tap_loops])
        same = self._number(0).less(0)
        for rounds in range(-((self._freed + reach) // size) - 2, 3):
            same = same | ahead.equals(self.row + rounds * size)
        return [address < size, self.row < size, same]

    def _kept(self) -> list[Bits]:
        """Where the word that is followed lies, until another is written there."""
        since = self.coming - self.where
        most = self.window.flow.frame_words + self.size + 1
        kept, row = self.followed & since.less(self.size + 1), self.slot + since
        return [
            self.followed.implies(self.spent),
            self.followed.implies(~since.less(1) & ~self.where.less(0) & self.where.less(most)),
            self.followed.implies(self.slot < self.size),
            kept.implies(row.equals(self.row) | row.equals(self.row + self.size)),
            *self._stored(kept, since),
        ]

    def _stored(self, kept: Bits, since: Bits) -> list[Bits]:
        """While it is kept it is in the memory; `since` as many words have come, itself among them."""
        stored = stored_in(self.circuit, "window.ring", self.window.ring, self.slot)
        return [kept.implies(stored.equals(self.word))]


class _ReadingPairs(_Reading):
    """The same where the words lie in pairs."""

    def __init__(self, circuit: Circuit, window: Window, groups: int) -> None:
        self.odd, self.due, self.fresh = (circuit[f"window.ring.{name}"] for name in ("odd", "due", "fresh"))
        self.late = [circuit["window.ring.late"].bits(k, k + 1) for k in range(3)]
        super().__init__(circuit, window, groups)

    @property
    def on_the_way(self) -> Bits:
        pairs = self.late[0].extend(self.width) + self.late[1].extend(self.width)
        return self.odd.extend(self.width) + pairs * 2 + self.late[2].extend(self.width)

    @property
    def row(self) -> Bits:
        pair, pairs = self.circuit["window.ring.place"].extend(self.width), self.size // 2
        return pair.equals(pairs - 1).mux(0, pair + 1) * 2 + self.odd.extend(self.width)

    def _ahead(self) -> list[Bits]:
        """Pairs come a cycle apart at least, and hold an even word and the odd one behind it."""
        soon, sooner, now = self.late
        apart = [soon.implies(~self.odd & ~sooner), sooner.implies(~now)]
        return [*super()._ahead(), *apart, self.coming.bits(0, 1).equals(self.odd)]

    def _addresses(self) -> list[Bits]:
        """An even word is read before its odd one, and then the way in is free."""
        (soon, sooner, _), second = self.late, self.tap.at["channel"].bits(0, 1)
        place = self.circuit["window.ring.place"].extend(self.width)
        return [
            *super()._addresses(),
            place < self.size // 2,
            self.due.implies(soon | (sooner & self.fresh)),
            self.fresh.implies(second),
            (second & self.flags["on_map"]).implies(self.wanted.less(self.coming)),
        ]

    def _halves(self, pair: Bits) -> tuple[Bits, Bits]:
        bits = pair.width // 2
        return pair.bits(0, bits), pair.bits(bits, 2 * bits)

    def _stored(self, kept: Bits, since: Bits) -> list[Bits]:
        circuit, second = self.circuit, self.slot.bits(0, 1)
        even_word, pair, held = (circuit[f"window.ring.{name}"] for name in ("even_word", "pair", "held"))
        memory = stored_at(circuit, ["window.ring.port.words"], self.slot.bits(1, self.width), self.size // 2)
        got = circuit["window.ring.got"]

        def mine(pair: Bits) -> Bits:
            even, odd = self._halves(pair)
            return second.mux(odd, even).equals(self.word)

        waits, pairs = self.odd & since.equals(1), since - self.odd.extend(self.width)
        where = waits.mux(even_word.equals(self.word), (self.due & pairs.less(3)).mux(mine(pair), mine(memory)))
        _, odd = self._halves(self.fresh.mux(got, held))
        return [
            self.followed.implies(self.where.bits(0, 1).equals(second)),
            kept.implies(where),
            (self.meets & second).implies(odd.equals(self.word)),
        ]


def recoded(word: Bits, source: Flow, sink: Flow) -> Bits:
    """The same values as codes of another flow whose interval holds this one's."""
    bits, shift = source.tensor.bits, source.tensor.lo - sink.tensor.lo
    lanes = [word.bits(lane * bits, (lane + 1) * bits).extend(sink.tensor.bits) + shift for lane in range(source.lanes)]
    return word.circuit.concat(lanes)
