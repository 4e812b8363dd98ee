"""A machine held to its interface sheet, cycle by cycle; driver.cpp does the same in C++."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from .stimulus import Capture, Stimulus, out_dtype

COUNTER_TOP = 2**16 - 1
"""Where the counters of bad frames stop."""

Beat: TypeAlias = tuple[int, int, int]
"""tdata, tuser, tlast."""


class Contract:
    """One run, from the end of a reset on.

    `see` is told of every cycle what stands there just before its rising edge; `over` says when the run ends.
    """

    def __init__(self, stimulus: Stimulus, preset: int = 0) -> None:
        self.stimulus = stimulus
        self.cycle = self.sent = self.received = self.quiet = 0
        self.broken = ""
        self._good = 0
        self._bad = [preset, preset]
        self._in_frame = 0
        self._dropping = False
        self._held: Beat | None = None
        self._first = 0
        self._starting = True
        self._frame_cycles: list[tuple[int, int]] = []
        self._out: list[tuple[int, int, bytes]] = []
        self._sides = (False, False), (False, False)

    @property
    def complete(self) -> bool:
        """All beats have gone in, and all beats of good frames have come out."""
        s = self.stimulus
        return self.sent == len(s.beats) and self.received == self._good * s.out_beats

    @property
    def over(self) -> bool:
        """The run has come to its end, be it a good or a bad one."""
        s = self.stimulus
        if self.broken or self.quiet >= s.watchdog or (self.complete and self.quiet >= s.drain):
            return True
        return 0 < s.cut_in <= self.sent or 0 < s.cut_out <= self.received

    def fail(self, what: str) -> None:
        """The machine does what it must not; the first time counts."""
        self.broken = self.broken or f"in cycle {self.cycle} {what}"

    def see_reset(self, valid: bool, short_frames: int, long_frames: int) -> None:
        """What stands there after a rising edge with rst high."""
        named = {"m_axis_tvalid": valid, "short_frames": short_frames, "long_frames": long_frames}
        for name, value in named.items():
            if value and not self.broken:
                self.broken = f"{name} is not 0 after a rising edge of clk with rst high"

    def see(
        self, source: tuple[bool, bool], last: bool, sink: tuple[bool, bool], beat: Beat | None, bad: tuple[int, int]
    ) -> None:
        """A cycle: (valid, ready) of the machine's input, its tlast, the same of its output, the beat it offers, its
        counters of short and long frames."""
        taken, given = all(source), all(sink)
        self._sides = source, sink
        if list(bad) != self._bad:
            is_, want = " and ".join(map(str, bad)), " and ".join(map(str, self._bad))
            self.fail(f"short_frames and long_frames are {is_} and must be {want}")
        if self._held is not None and beat != self._held:
            self.fail(f"m_axis {'withdrew' if beat is None else 'changed'} a beat that was not yet taken")
        if beat is not None:
            self._check_place(beat)
        self._held = None if given else beat
        if given and beat is not None:
            self._out.append((self.cycle, beat[1], beat[0].to_bytes(self.stimulus.out_bytes, "little")))
            self.received += 1
        if taken:
            self._take(last)
        # A cycle in which the source or the sink is what the machine waits for says nothing.
        waiting = sink[0] > sink[1] or (source[1] > source[0] and self.sent < len(self.stimulus.beats))
        self.quiet = 0 if taken or given else self.quiet + (not waiting)
        self.cycle += 1

    def _check_place(self, beat: Beat) -> None:
        """An offered beat is of a good frame, with tlast where one ends."""
        beats = self.stimulus.out_beats
        number = self.received % beats + 1
        if self.received == self._good * beats:
            self.fail("m_axis offers a beat, and no good frame has gone in that has not come out")
        elif beat[2] != (number == beats):
            self.fail(f"m_axis_tlast is {beat[2]} with beat {number} of {beats}")

    def _take(self, last: bool) -> None:
        """A beat has gone in: which frame it ends, and how."""
        self.sent += 1
        if self._starting:
            self._first = self.cycle
        if last:
            self._frame_cycles.append((self._first, self.cycle))
        self._starting = last
        self._in_frame += 1
        whole = self._in_frame == self.stimulus.in_beats
        if self._dropping:
            self._dropping = not last
            self._in_frame = 0
        elif last or whole:
            if last and whole:
                self._good += 1
            else:
                self._bad[whole] = min(self._bad[whole] + 1, COUNTER_TOP)
            self._dropping = not last
            self._in_frame = 0

    def capture(self) -> Capture:
        """What was seen."""
        beats = np.zeros(len(self._out), out_dtype(self.stimulus.out_bytes))
        for beat, (cycle, user, data) in zip(beats, self._out, strict=True):
            beat["cycle"], beat["user"], beat["data"] = cycle, user, np.frombuffer(data, np.uint8)
        return Capture(
            beats,
            np.array(self._frame_cycles, np.uint64).reshape(-1, 2),
            self.cycle,
            *self._bad,
            self.quiet >= self.stimulus.watchdog and not self.complete,
            (*self._sides[0], self.sent),
            (*self._sides[1], self.received),
            self.broken,
        )
