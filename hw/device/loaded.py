# amaranth: UnusedElaboratable=no
"""Memories without initial contents, which are written while a machine is loaded, 32 bits at a time.

A wide word is made of *columns*, memories of at most 32 bits beside each other, each with a write enable of its own: so
nothing collects whole words. All of a column's words come one after the other, then the next column's.
"""

from amaranth import Cat, ClockSignal, Instance, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .component import Component
from .memory import place, styles
from .resources import Resources, stored, total
from .single_port import SinglePort, add_module, takes_modules
from .target import Family, Ram

COLUMN = 32
"""Bits of a column, and of a word of a load."""

VERILOG = """
module MODULE #(parameter WIDTH = 1, parameter DEPTH = 2) (
    input clk, input write, input [$clog2(DEPTH) - 1:0] row, input [WIDTH - 1:0] word,
    input enable, input [$clog2(DEPTH) - 1:0] address, output reg [WIDTH - 1:0] data
);
ATTRIBUTES  reg [WIDTH - 1:0] words [0:DEPTH - 1];
  always @(posedge clk) begin
    if (write) words[row] <= word;
    if (enable) data <= words[address];
  end
endmodule
"""
"""The module of a column that the Verilog of a machine needs beside its own."""


def columns(width: int) -> int:
    """How many columns a word of `width` bits has."""
    return -(-width // COLUMN)


class Fill(wiring.Signature):
    """How a memory of `depth` words of `width` bits is written.

    Members
    -------
    write : Out(columns), those of word `row` that become `word`, the last one its lowest bits
    row : Out(range(depth))
    word : Out(32)
    """

    def __init__(self, width: int, depth: int):
        super().__init__({"write": Out(columns(width)), "row": Out(range(max(2, depth))), "word": Out(COLUMN)})


class LoadedMemory(Component):
    """`depth` words of `width` bits, in blocks with one port where the family has those.

    Members
    -------
    fill : In(Fill(width, depth))
    address : In(range(depth)), enable : In(1): a word is read
    data : Out(width), that word a cycle later; undefined where it was written in the same cycle
    """

    def __init__(self, width: int, depth: int, family: Family):
        self.width, self.depth, self.family = width, depth, family
        super().__init__(
            {
                "fill": In(Fill(width, depth)),
                "address": In(range(max(2, depth))),
                "enable": In(1, init=1),
                "data": Out(width),
            }
        )

    @property
    def single(self) -> Ram | None:
        """The block with one port that it is made of."""
        return self.family.single_port if self.depth > 1 else None

    @property
    def widths(self) -> list[int]:
        """Of each column."""
        return [min(COLUMN, self.width - start) for start in range(0, self.width, COLUMN)]

    def resources(self, family: Family) -> Resources:
        """What it takes of a device of the family."""
        if self.depth == 1:
            return Resources(0, self.width)
        if self.single:
            ways = Resources((self.depth - 1).bit_length() + 1 + len(self.widths))
            return ways + total(SinglePort(width, self.depth, self.single).resources(family) for width in self.widths)
        places = [place(width, self.depth, family) for width in self.widths]
        registers = sum(where.width for where in places if not where.blocks)
        return sum((stored(where) for where in places), Resources(0, registers))

    def elaborate(self, platform):
        m = Module()
        found = []
        for k, (width, write) in enumerate(zip(self.widths, self.fill.write, strict=True)):
            word = self.fill.word[:width]
            if self.single:
                m.submodules[f"column{k}"] = port = SinglePort(width, self.depth, self.single)
                m.d.comb += [
                    port.enable.eq(self.enable | self.fill.write.any()),
                    port.write.eq(write),
                    port.address.eq(Mux(self.fill.write.any(), self.fill.row, self.address)),
                    port.put.eq(word),
                ]
                data = port.got
            elif self.depth == 1:
                data = Signal(width, name=f"column{k}", reset_less=True)
                with m.If(write):
                    m.d.sync += data.eq(word)
            else:
                data = Signal(width, name=f"data{k}")
                m.submodules[f"column{k}"] = self._column(m, platform, width, write, word, data)
            found.append(data)
        m.d.comb += self.data.eq(Cat(found))
        return m

    def _column(self, m, platform, width, write, word, data):
        style = styles(place(width, self.depth, self.family))
        if takes_modules(platform):
            attributes = "".join(f"  (* {k} = {v if v == 1 else chr(34) + v + chr(34)} *)\n" for k, v in style.items())
            text = VERILOG.replace("ATTRIBUTES", attributes)
            module = add_module(platform, f"loaded_{style.get('ram_style', 'any')}", text)
            return Instance(
                module,
                p_WIDTH=width,
                p_DEPTH=self.depth,
                i_clk=ClockSignal(),
                i_write=write,
                i_row=self.fill.row,
                i_word=word,
                i_enable=self.enable,
                i_address=self.address,
                o_data=data,
            )
        memory = Memory(shape=unsigned(width), depth=self.depth, init=(), attrs=style)
        port, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            port.addr.eq(self.fill.row),
            port.data.eq(word),
            port.en.eq(write),
            read.addr.eq(self.address),
            read.en.eq(self.enable),
            data.eq(read.data),
        ]
        return memory
