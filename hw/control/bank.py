"""The registers themselves, whatever the bus."""

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .registers import BITS, LOADABLE, SOFT_RESET, UPSETS, WORDS, Register


class RegisterBank(wiring.Component):
    """All registers of a table.

    Members
    -------
    read_address : In, a word's index; read_data : Out, what that register reads in the same cycle
    write : In, which bytes of write_data are written to the word at write_address
    short_frames, long_frames : In, the machine's counters; answered : In, a frame's last beat leaves
    loaded, refused : In, the state of loads, where weights are loaded
    upsets_corrected, upsets_detected : In, the machine's counters of these, where the table has them
    soft_reset : Out, high for the cycle after it was asked for

    Domain `sync` is the machine's, and its reset clears `frames` and `cycles`; that of `bus`, with the same clock, is
    reset from outside alone.
    """

    def __init__(self, table: Sequence[Register], counter_bits: int):
        self.table = table
        address = range(WORDS)
        self.upsets = [register.name for register in table if register.name in UPSETS]
        super().__init__(
            {
                "read_address": In(address),
                "read_data": Out(BITS),
                "write_address": In(address),
                "write_data": In(BITS),
                "write": In(BITS // 8),
                "short_frames": In(counter_bits),
                "long_frames": In(counter_bits),
                "answered": In(1),
                "loaded": In(1),
                "refused": In(1),
                "soft_reset": Out(1),
            }
            | dict.fromkeys(self.upsets, In(counter_bits))
        )

    def elaborate(self, platform):
        m = Module()
        frames, cycles = Signal(BITS), Signal(BITS)
        m.d.sync += [cycles.eq(cycles + 1), frames.eq(frames + self.answered)]
        seen = {
            "frames": frames,
            "short_frames": self.short_frames,
            "long_frames": self.long_frames,
            "cycles": cycles,
            "load_status": Cat(Const(LOADABLE), self.loaded, self.refused),
        } | {name: getattr(self, name) for name in self.upsets}
        m.d.bus += self.soft_reset.eq(0)
        with m.Switch(self.read_address):
            for register in self.table:
                with m.Case(register.offset // 4):
                    if not register.writable:
                        value = seen[register.name] if register.value is None else register.value
                        m.d.comb += self.read_data.eq(value)
        (control,) = (register for register in self.table if register.writable)
        with m.If((self.write_address == control.offset // 4) & self.write[0]):
            m.d.bus += self.soft_reset.eq((self.write_data & SOFT_RESET).any())
        return m
