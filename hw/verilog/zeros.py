"""Memories that begin with zeros in the generated Verilog: a loop, for simulation alone.

Yosys would write, and read, a line a word, in a time that grows with the square of their number: minutes for the tens
of thousands of a queue that holds a map. Memory that is written before it is read needs none in a device.
"""

import re

_BLOCK = re.compile(
    r"  initial begin\n"
    r"((?:    (?P<memory>\w+)\[0\] = (?P<zero>\d+'h0+);\n)(?:    (?P=memory)\[\d+\] = (?P=zero);\n)*)"
    r"  end\n"
)


def looped(text: str) -> str:
    """The Verilog with a loop for each memory whose words all begin with 0."""

    def loop(found: re.Match[str]) -> str:
        memory, count = found["memory"], found[1].count("\n")
        word = f"{memory}_word"
        return (
            f"`ifndef SYNTHESIS\n  initial begin : {memory}_zeros\n    integer {word};\n"
            f"    for ({word} = 0; {word} < {count}; {word} = {word} + 1)\n      {memory}[{word}] = {found['zero']};\n"
            "  end\n`endif\n"
        )

    return _BLOCK.sub(loop, text)
