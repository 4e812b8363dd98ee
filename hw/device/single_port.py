# amaranth: UnusedElaboratable=no
"""Blocks with one port, which reads or writes, and no initial contents: SPRAM of iCE40 UltraPlus.

Amaranth's memories have initial contents, which such a block cannot take. Verilog that is written for synthesis
therefore has a module of its own for them.
"""

from amaranth import ClockSignal, Instance, Module, Signal, unsigned
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .component import Component
from .memory import in_blocks
from .resources import Resources, stored
from .target import Family, Ram

VERILOG = """
module MODULE #(parameter WIDTH = 1, parameter DEPTH = 2) (
    input clk, input enable, input write, input [$clog2(DEPTH) - 1:0] address, input [WIDTH - 1:0] put,
    output reg [WIDTH - 1:0] got
);
  (* ram_style = "huge" *)
  reg [WIDTH - 1:0] words [0:DEPTH - 1];
  always @(posedge clk)
    if (enable)
      if (write) begin
        words[address] <= put;
        got <= {WIDTH{1'bx}};
      end else
        got <= words[address];
endmodule
"""
"""The module that the Verilog of a machine needs beside its own."""


def takes_modules(platform) -> bool:
    """Whether a platform takes files: then it is given such modules."""
    return hasattr(platform, "add_file")


def add_module(platform, name: str, verilog: str) -> str:
    """Give a platform the text of module MODULE; what it is called there, `name` behind the platform's ``prefix``."""
    module = f"{getattr(platform, 'prefix', 'bitfold__')}{name}"
    platform.add_file(f"{module}.v", verilog.replace("MODULE", module))
    return module


class SinglePort(Component):
    """`depth` words, at least 2, of `width` bits, in blocks `ram`; in a cycle one is read or one is written.

    Members
    -------
    enable : In(1), something is done; write : In(1), namely `put` is written, else a word is read
    address : In(range(depth))
    put : In(width)
    got : Out(width), the word that was read, until the cycle after the next write; then nothing of use

    A platform that takes files (``add_file``) is given the module in Verilog; its name begins with the platform's
    ``prefix`` where it has one.
    """

    def __init__(self, width: int, depth: int, ram: Ram):
        self.width, self.depth, self.ram = width, depth, ram
        super().__init__(
            {
                "enable": In(1),
                "write": In(1),
                "address": In(range(depth)),
                "put": In(width),
                "got": Out(width),
            }
        )

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        return stored(in_blocks(self.width, self.depth, (self.ram,), family))

    def elaborate(self, platform):
        m = Module()
        if takes_modules(platform):
            module = add_module(platform, "single_port", VERILOG)
            m.submodules.block = Instance(
                module,
                p_WIDTH=self.width,
                p_DEPTH=self.depth,
                i_clk=ClockSignal(),
                i_enable=self.enable,
                i_write=self.write,
                i_address=self.address,
                i_put=self.put,
                o_got=self.got,
            )
            return m
        m.submodules.words = words = Memory(shape=unsigned(self.width), depth=self.depth, init=())
        write = words.write_port()
        read = words.read_port()
        spoiled = Signal()
        m.d.comb += [
            write.addr.eq(self.address),
            write.data.eq(self.put),
            write.en.eq(self.enable & self.write),
            read.addr.eq(self.address),
            read.en.eq(self.enable & ~self.write),
            self.got.eq(read.data ^ spoiled.replicate(self.width)),
        ]
        with m.If(self.enable):
            m.d.sync += spoiled.eq(self.write)
        return m
