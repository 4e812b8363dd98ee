"""Read-only memories in the generated Verilog: a module each, contents in it or in a file beside it.

Yosys would write the words of all memories through its own data structures, which takes minutes where there are many.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amaranth import ClockSignal, Instance
from amaranth.lib.memory import Memory

CONTENTS = ".mem"
"""What the name of a file of contents ends in; Vivado knows it as such by that."""


@dataclass(frozen=True)
class Rom:
    """`words` of `width` bits; `clocked` ones give the word a cycle after it was asked for."""

    width: int
    words: Sequence[int]
    attributes: Mapping[str, object]
    clocked: bool

    def module(self, name: str, file: str = "") -> str:
        """The module in Verilog; its contents are in `file`, where there is one."""
        depth = len(self.words)
        attributes = "".join(
            f"  (* {key} = {value if isinstance(value, int) else chr(34) + value + chr(34)} *)\n"
            for key, value in self.attributes.items()
        )
        clock, register = ("input clk, input enable, ", "reg ") if self.clocked else ("", "")
        read = (
            "always @(posedge clk) if (enable) data <= words[address];"
            if self.clocked
            else "assign data = words[address];"
        )
        if file:
            initial = f'initial $readmemh("{file}", words);'
        else:
            lines = "".join(f"    words[{place}] = {self.width}'h{word:x};\n" for place, word in enumerate(self.words))
            initial = f"initial begin\n{lines}  end"
        return (
            f"module {name}({clock}input [{(depth - 1).bit_length() - 1}:0] address, "
            f"output {register}[{self.width - 1}:0] data);\n"
            f"{attributes}  reg [{self.width - 1}:0] words [0:{depth - 1}];\n  {initial}\n  {read}\nendmodule\n"
        )

    def contents(self) -> str:
        """For $readmemh: a word a line, all of one length."""
        digits = -(-self.width // 4)
        return "".join(f"{word:0{digits}x}\n" for word in self.words)


class Roms:
    """All of a machine's, by the names that Amaranth is given for their modules: `prefix` and a number."""

    def __init__(self, prefix: str) -> None:
        self.prefix = f"{prefix}rom"
        self.all: list[Rom] = []

    def instance(self, memory: Memory) -> Instance:
        """An instance for a memory that has one read port and no other."""
        [port] = memory.read_ports
        clocked = port.domain != "comb"
        module = f"{self.prefix}{len(self.all)}"
        self.all.append(Rom(memory.shape.width, list(memory.init), memory.attrs, clocked))
        clock = {"i_clk": ClockSignal(port.domain), "i_enable": port.en} if clocked else {}
        return Instance(module, **clock, i_address=port.addr, o_data=port.data)

    def place(self, text: str) -> tuple[str, Mapping[str, Rom]]:
        """The Verilog with each module called after where it stands, as Amaranth's are, and the memories by name."""
        named: dict[str, Rom] = {}
        around = ""

        def rename(found: re.Match[str]) -> str:
            nonlocal around
            if found["module"]:
                around = found["module"]
                return found[0]
            name = f"{around}__{found['instance']}"
            named[name] = self.all[int(found["number"])]
            return f"  {name} {found['instance']} ("

        pattern = rf"^module (?P<module>\w+)|^  {self.prefix}(?P<number>\d+) (?P<instance>\w+) \("
        return re.sub(pattern, rename, text, flags=re.MULTILINE), named
