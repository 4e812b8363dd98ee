"""The registers on Wishbone."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bank import RegisterBank
from .registers import BITS, WORDS

MEMBERS = {
    "wb_cyc_i": In(1),
    "wb_stb_i": In(1),
    "wb_we_i": In(1),
    "wb_adr_i": In(range(WORDS)),
    "wb_dat_i": In(BITS),
    "wb_sel_i": In(BITS // 8),
    "wb_dat_o": Out(BITS),
    "wb_ack_o": Out(1),
}


class Wishbone(wiring.Component):
    """Wishbone B4, classic cycles, in front of a RegisterBank, all in the domain `bus`.

    Addresses count words. `wb_ack_o` comes a cycle after the strobe, for one cycle.
    """

    def __init__(self, bank: RegisterBank):
        self.bank = bank
        super().__init__(MEMBERS)

    def elaborate(self, platform):
        m = Module()
        bank = self.bank
        asked = self.wb_cyc_i & self.wb_stb_i & ~self.wb_ack_o
        m.d.comb += [
            bank.read_address.eq(self.wb_adr_i),
            bank.write_address.eq(self.wb_adr_i),
            bank.write_data.eq(self.wb_dat_i),
        ]
        m.d.bus += [self.wb_ack_o.eq(asked), self.wb_dat_o.eq(bank.read_data)]
        with m.If(asked & self.wb_we_i):
            m.d.comb += bank.write.eq(self.wb_sel_i)
        return m
