"""A board without the board: its top, from pin to pin, as a model behind a pseudo-terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..model.places import scratch
from ..model.processes import start
from .verilator import Program, build

CELLS = Path(__file__).with_name("primitives.v")
"""The vendors' cells around a top, as simulation sees them: a PLL is a wire."""

SERIAL = Program(Path(__file__).with_name("serial.cpp"), "outside", (CELLS,))

QUIET = 100_000
"""Cycles in which nothing happens on the wires before the model rests, beside those that its frames take."""


@dataclass(frozen=True)
class Pins:
    """A top's ports by name.

    reset_low : the button pulls its pin down
    """

    clock: str
    rx: str
    tx: str
    reset: str
    reset_low: bool

    def wrapper(self) -> str:
        """A module `outside` around module `top`, whose ports C++ knows by name."""
        return f"""
module outside(input clk, input rx, output tx, input reset);
  wire crystal = clk, heard = rx, button = {"~" * self.reset_low}reset;
  top top(.{self.clock}(crystal), .{self.rx}(heard), .{self.tx}(tx), .{self.reset}(button));
endmodule
"""


@dataclass(frozen=True)
class VirtualBoard:
    """One that runs.

    port : the pseudo-terminal, for pyserial and whoever speaks the host link
    """

    port: str
    _button: Path

    def press_reset(self) -> None:
        """Press the reset button for a moment."""
        with self._button.open("wb", buffering=0) as pipe:
            pipe.write(b"r")


@contextmanager
def virtual_board(
    verilog: str, pins: Pins, *, clock: int, baud: int, cycles: int, cache: Path | None = None
) -> Iterator[VirtualBoard]:
    """Run a board until the block is left.

    Parameters
    ----------
    verilog : text of its module `top`, of a netlist with its memories' models
    clock : Hz of the machine; the pin of the crystal ticks as fast, because the model's PLL is a wire
    baud : bits a second
    cycles : that a frame takes at most from its last byte to its result
    cache : where compiled models are kept; None is the user's

    BadInput when Verilator or g++ are missing; RuntimeError with their output, or the model's, when they fail.
    """
    with scratch() as folder:
        design, button = folder / "design.v", folder / "button"
        design.write_text(verilog + pins.wrapper(), encoding="utf-8")
        model = build(design, SERIAL, folder=cache)
        os.mkfifo(button)
        with start([model, str(clock), str(baud), str(QUIET + cycles), button]) as process:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port.startswith("/dev/"):
                raise RuntimeError(f"the virtual board did not start: {port}")
            yield VirtualBoard(port, button)
