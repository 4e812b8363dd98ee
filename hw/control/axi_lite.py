"""The registers on AXI4-Lite."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bank import RegisterBank
from .registers import BITS, WORDS

BYTES = WORDS * BITS // 8

MEMBERS = {
    "s_axi_awaddr": In(range(BYTES)),
    "s_axi_awvalid": In(1),
    "s_axi_awready": Out(1),
    "s_axi_wdata": In(BITS),
    "s_axi_wstrb": In(BITS // 8),
    "s_axi_wvalid": In(1),
    "s_axi_wready": Out(1),
    "s_axi_bresp": Out(2),
    "s_axi_bvalid": Out(1),
    "s_axi_bready": In(1),
    "s_axi_araddr": In(range(BYTES)),
    "s_axi_arvalid": In(1),
    "s_axi_arready": Out(1),
    "s_axi_rdata": Out(BITS),
    "s_axi_rresp": Out(2),
    "s_axi_rvalid": Out(1),
    "s_axi_rready": In(1),
}


class AxiLite(wiring.Component):
    """AXI4-Lite in front of a RegisterBank, all in the domain `bus`; each answer is OKAY.

    A write waits for both its address and its data. One read and one write are under way at the most; no output
    depends on an input of the same cycle.
    """

    def __init__(self, bank: RegisterBank):
        self.bank = bank
        super().__init__(MEMBERS)

    def elaborate(self, platform):
        m = Module()
        bank = self.bank
        taken = self.s_axi_awready
        m.d.comb += [
            self.s_axi_wready.eq(taken),
            bank.write_address.eq(self.s_axi_awaddr[2:]),
            bank.write_data.eq(self.s_axi_wdata),
            bank.read_address.eq(self.s_axi_araddr[2:]),
            self.s_axi_arready.eq(~self.s_axi_rvalid),
        ]
        m.d.bus += taken.eq(self.s_axi_awvalid & self.s_axi_wvalid & ~taken & ~self.s_axi_bvalid)
        with m.If(self.s_axi_bready):
            m.d.bus += self.s_axi_bvalid.eq(0)
        with m.If(taken):
            m.d.comb += bank.write.eq(self.s_axi_wstrb)
            m.d.bus += self.s_axi_bvalid.eq(1)
        with m.If(self.s_axi_rready):
            m.d.bus += self.s_axi_rvalid.eq(0)
        with m.If(self.s_axi_arvalid & self.s_axi_arready):
            m.d.bus += [self.s_axi_rvalid.eq(1), self.s_axi_rdata.eq(bank.read_data)]
        return m
