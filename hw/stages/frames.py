# amaranth: UnusedElaboratable=no
"""Where frames are checked: the way in, the way out, and the class.

The pipeline counts pixels and knows no frame marker. FrameGuard sees to it that it always gets whole
frames: a frame that ends early is filled up, the rest of one that ends late is swallowed. For each frame
it hands a verdict past the pipeline to FrameGate, which lets only good frames out.
"""

from amaranth import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...model.tensor import Tensor
from ..device.resources import Resources, add_constant, adder, clip, counter, level
from ..device.target import Family
from ..stream.beat import sample_shape, value_shape
from ..stream.flow import Flow
from ..stream.queue import Queue
from ..stream.register import spare_register
from ..stream.stage import Stage
from .requantise import clip_code

COUNTER_BITS = 16
"""Width of the counters of bad frames; they stop at their largest value."""

VERDICT = Flow(Tensor(1, 1, 1, 0, 1), 1)
"""1 for a good frame, 0 for one to drop."""


def last_word(m: Module, flow: Flow, passed: Signal) -> Value:
    """Whether the next word of those that `passed` tells of is its frame's last: the sign of a count down past 0."""
    words = flow.frame_words
    index = Signal(range(-1, max(1, words - 1)), init=words - 2)
    with m.If(passed):
        m.d.sync += index.eq(Mux(index[-1], words - 2, index - 1))
    return index[-1]


def count(m: Module, counter: Signal) -> None:
    """One more, up to the largest value."""
    with m.If(~counter.all()):
        m.d.sync += counter.eq(counter + 1)


class FrameGuard(wiring.Component):
    """Turns samples into codes, and whatever frames come into whole ones.

    A sample outside the tensor's interval becomes the nearest value inside.

    Parameters
    ----------
    sink : what it gives: the input's type, a beat a word

    Members
    -------
    i : In, payload.pixel (the beat's samples) and payload.last (the frame's last beat)
    o : Out(sink.signature)
    verdict : Out, payload 1 for a good frame; given once the frame's last beat has passed
    short_frames, long_frames : Out, frames that ended early, late

    Attributes
    ----------
    beats : the signature of what comes in
    """

    def __init__(self, sink: Flow, family: Family):
        self.sink, self.family = sink, family
        pixel = data.ArrayLayout(sample_shape(sink.tensor), sink.lanes)
        self.beats = stream.Signature(data.StructLayout({"pixel": pixel, "last": 1}))
        super().__init__(
            {
                "i": In(self.beats),
                "o": Out(self.sink.signature),
                "verdict": Out(VERDICT.signature),
                "short_frames": Out(COUNTER_BITS),
                "long_frames": Out(COUNTER_BITS),
            }
        )

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        t = self.sink.tensor
        low, high = _limits(sample_shape(t))
        clipped = low < t.lo or high > t.hi
        each = clip(low - t.lo, high - t.lo, t.hi - t.lo, family) if clipped else t.bits
        control = Resources(33 if family.inputs == 6 else 76, 2 * COUNTER_BITS + 8)
        return control + counter(max(2, self.sink.frame_words), family) + Resources(self.sink.lanes * each, 1)

    def elaborate(self, platform):
        m = Module()
        t = self.sink.tensor
        low, high = _limits(sample_shape(t))
        codes = Cat(
            clip_code((sample - t.lo).as_signed(), low - t.lo, high - t.lo, t.hi - t.lo)[: t.bits]
            for sample in self.i.payload.pixel
        )
        ending = Signal()
        passed = Signal()
        # Two places keep verdict.ready from reaching o.valid, and o.ready from reaching verdict.valid.
        m.submodules.verdicts = verdicts = Queue(VERDICT, 2, self.family)
        wiring.connect(m, verdicts.o, wiring.flipped(self.verdict))
        m.d.comb += [
            ending.eq(last_word(m, self.sink, passed)),
            verdicts.i.valid.eq(passed & ending),
        ]

        with m.FSM(name="frame"):
            with m.State("pass"):
                m.d.comb += [
                    self.o.payload.eq(codes),
                    self.o.valid.eq(self.i.valid & (~ending | verdicts.i.ready)),
                    self.i.ready.eq(self.o.ready & (~ending | verdicts.i.ready)),
                    passed.eq(self.i.valid & self.i.ready),
                    verdicts.i.payload.eq(self.i.payload.last),
                ]
                with m.If(passed & ending & ~self.i.payload.last):
                    count(m, self.long_frames)
                    m.next = "drop"
                with m.If(passed & ~ending & self.i.payload.last):
                    count(m, self.short_frames)
                    m.next = "fill"
            with m.State("fill"):
                m.d.comb += [
                    self.o.valid.eq(~ending | verdicts.i.ready),
                    passed.eq(self.o.valid & self.o.ready),
                ]
                with m.If(passed & ending):
                    m.next = "pass"
            with m.State("drop"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & self.i.payload.last):
                    m.next = "pass"
        return m


class Admission(wiring.Component):
    """Lets frames begin while they may, and says whether any is on its way to the gate.

    One that has begun goes on, and so does one whose first word has been offered.

    Parameters
    ----------
    guard : what is behind it
    most : frames that can be inside

    Members
    -------
    i, o : In(guard.beats), Out(guard.beats)
    open : In(1), frames may begin
    entered : In(1), the guard gives a word; left : In(1), a frame has left the gate
    empty : Out(1), no frame is inside or has begun
    """

    def __init__(self, guard: FrameGuard, most: int):
        self.sink, self.most = guard.sink, most
        super().__init__(
            {
                "i": In(guard.beats),
                "o": Out(guard.beats),
                "open": In(1),
                "entered": In(1),
                "left": In(1),
                "empty": Out(1),
            }
        )

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        control = counter(max(2, self.sink.frame_words), family) + level(self.most, family) + Resources(6, 2)
        return control.named("loads")

    def elaborate(self, platform):
        m = Module()
        ending = last_word(m, self.sink, self.entered)
        begun = Signal()
        offered = Signal()
        inside = Signal(range(self.most + 1))
        admit = self.open | begun | offered
        with m.If(self.entered):
            m.d.sync += begun.eq(~ending)
        m.d.sync += [
            inside.eq(inside + (self.entered & ending) - self.left),
            offered.eq(self.o.valid & ~self.o.ready),
        ]
        m.d.comb += [
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid & admit),
            self.i.ready.eq(self.o.ready & admit),
            self.empty.eq(~begun & ~offered & (inside == 0)),
        ]
        return m


def _limits(shape) -> tuple[int, int]:
    if shape.signed:
        return -(1 << shape.width - 1), (1 << shape.width - 1) - 1
    return 0, (1 << shape.width) - 1


class FrameGate(Stage):
    """Holds each frame back until its verdict is there, then passes it or drops it.

    Members
    -------
    verdict : In, as FrameGuard gives it
    left : Out(1), a frame's last word has passed or was dropped in the cycle before
    """

    direct = True

    def __init__(self, flow: Flow):
        super().__init__(flow, flow, verdict=In(VERDICT.signature), left=Out(1))

    def resources(self, family: Family) -> Resources:
        return counter(max(2, self.source.frame_words), family) + Resources(6, 3)

    def elaborate(self, platform):
        m = Module()
        ending = Signal()
        passed = Signal()
        # The verdict on the frame that is here or comes next, out of the memory that it waited in.
        known = Signal()
        good = Signal()
        m.d.comb += [
            ending.eq(last_word(m, self.source, passed)),
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid & known & good),
            self.i.ready.eq(known & (self.o.ready | ~good)),
            passed.eq(self.i.valid & self.i.ready),
            self.verdict.ready.eq(~known | (passed & ending)),
        ]
        m.d.sync += self.left.eq(passed & ending)
        with m.If(self.verdict.ready):
            m.d.sync += [known.eq(self.verdict.valid), good.eq(self.verdict.payload)]
        return m


def beats(code: Value, lower: Value) -> Value:
    """Whether a code of a higher lane is the larger one."""
    return code > lower


class Classifier(wiring.Component):
    """Codes to signed values, with the index of the largest value of the pixel so far; ties to the lowest.

    Members
    -------
    i : In(source.signature)
    o : Out, payload.values (lanes signed values), payload.best (at the pixel's last word: its class),
        payload.last (the frame's last word)

    Attributes
    ----------
    latency : cycles from a word's being taken to its being offered
    """

    def __init__(self, source: Flow, family: Family):
        self.source, self.family = source, family
        self.latency = (source.lanes - 1).bit_length() + 3
        values = data.ArrayLayout(value_shape(source.tensor), source.lanes)
        best = unsigned(max(1, (source.tensor.channels - 1).bit_length()))
        payload = data.StructLayout({"values": values, "best": best, "last": 1})
        super().__init__({"i": In(source.signature), "o": Out(stream.Signature(payload))})

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        t, lanes, words = self.source.tensor, self.source.lanes, self.source.words
        index = len(self.o.payload.best)
        larger = adder(t.bits, family) if family.fabric == "ecp5" else -(-t.bits // (family.inputs // 3))
        duel = larger + (t.bits if lanes > 1 else 0)
        rounds = (lanes - 1).bit_length()
        value = Resources(add_constant(t.bits, family), value_shape(t).width)
        waits = Resources(0, rounds * (lanes * t.bits + 1) + (lanes - 1) * (t.bits + 1))
        counters = counter(max(2, words), family) + counter(max(2, t.pixels), family)
        best = Resources(larger + 2 * index + 6, t.bits + 2 * index + 2)
        offered = len(self.o.payload.as_value())
        ends = Resources(offered + 2, 2 * offered + 2) + counters + best
        return value * lanes + waits + Resources(duel * (lanes - 1)) + ends

    def elaborate(self, platform):
        m = Module()
        t, lanes, words = self.source.tensor, self.source.lanes, self.source.words
        held = Signal.like(self.o.payload, name="held")
        full = Signal()
        # A word stops all of them: what says so is a register, and o.ready does not reach i.ready.
        move = spare_register(m, self.o, held, full)
        m.d.comb += self.i.ready.eq(move)

        def register(value, name):
            held = Signal.like(value, name=name)
            with m.If(move):
                m.d.sync += held.eq(value)
            return held

        # A knockout over the word's lanes, a register at every round; only a larger code beats a lower lane's. Of a
        # winner's lane there are the bits that the rounds so far decide: its place among the winners has the others.
        word, valid = register(self.i.payload, "word"), register(self.i.valid, "valid")
        contenders = [(code, Const(0, 0)) for code in self.source.codes(word)]
        while len(contenders) > 1:
            rounds = (len(contenders) - 1).bit_length()
            winners = []
            for k, ((a, lane_a), (b, lane_b)) in enumerate(zip(contenders[0::2], contenders[1::2], strict=False)):
                wins = beats(b, a)
                code = register(Mux(wins, b, a), f"code{rounds}_{k}")
                # Of the first round no bit of a lane is known: Verilog has no signal of none.
                lane = Cat(Mux(wins, lane_b, lane_a), wins) if len(lane_a) else wins
                winners.append((code, register(lane, f"lane{rounds}_{k}")))
            if len(contenders) % 2:
                code, lane = contenders[-1]
                lane = register(lane, f"bye_lane{rounds}") if len(lane) else lane
                winners.append((register(code, f"bye{rounds}"), Cat(lane, Const(0, 1))))
            contenders = winners
            word = register(word, f"word{rounds}")
            valid = register(valid, f"valid{rounds}")

        # The word's best against the pixel's best so far.
        (code, lane) = contenders[0]
        index = Signal(range(max(2, words)))
        fresh = Signal(init=1)
        left = Signal(range(max(2, t.pixels)))
        channel = Signal.like(self.o.payload.best, name="channel")
        top = Signal(t.bits)
        with m.If(move):
            m.d.sync += full.eq(valid)
        with m.If(move & valid):
            m.d.sync += fresh.eq(index == words - 1)
            with m.If(fresh | (code > top)):
                m.d.sync += [held.best.eq(channel + lane), top.eq(code)]
            m.d.sync += [
                value.eq(code + t.lo) for value, code in zip(held.values, self.source.codes(word), strict=True)
            ]
            m.d.sync += [
                held.last.eq((index == words - 1) & (left == t.pixels - 1)),
                index.eq(Mux(index == words - 1, 0, index + 1)),
                channel.eq(Mux(index == words - 1, 0, channel + lanes)),
            ]
            with m.If(index == words - 1):
                m.d.sync += left.eq(Mux(left == t.pixels - 1, 0, left + 1))
        return m
