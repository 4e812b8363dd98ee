# amaranth: UnusedElaboratable=no
"""A design in Amaranth that holds a network: a test picture goes in, over and over, and the class lights LEDs.

    python examples/amaranth_design.py [-o design.v]

The accelerator is a component with the streams `i` and `o`; what surrounds it here is a memory with one image and a
register for the class.
"""

import argparse
from pathlib import Path

import numpy as np
from amaranth import Module, Signal, unsigned
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Out

import bitfold
from bitfold import zoo


class Classified(wiring.Component):
    """An image of a network's input, classified again and again.

    Members
    -------
    leds : Out(4), the class of the last frame
    frames : Out(16), frames that were classified
    """

    leds: Out(4)
    frames: Out(16)

    def __init__(self, net: bitfold.Net, plan: bitfold.Plan, image: np.ndarray) -> None:
        super().__init__()
        self.accelerator = bitfold.Accelerator(net, plan)
        self.samples = [int(sample) for sample in image.reshape(-1)]

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator = accelerator = self.accelerator
        m.submodules.samples = samples = Memory(shape=unsigned(8), depth=len(self.samples), init=self.samples)
        read = samples.read_port(domain="comb")
        place = Signal(range(len(self.samples)))
        last = place == len(self.samples) - 1
        m.d.comb += [
            read.addr.eq(place),
            accelerator.i.payload.pixel.as_value().eq(read.data),
            accelerator.i.payload.last.eq(last),
            accelerator.i.valid.eq(1),
            accelerator.o.ready.eq(1),
        ]
        with m.If(accelerator.i.ready):
            m.d.sync += place.eq(place + 1)
            with m.If(last):
                m.d.sync += place.eq(0)
        with m.If(accelerator.o.valid & accelerator.o.payload.last):
            m.d.sync += [self.leds.eq(accelerator.o.payload.best), self.frames.eq(self.frames + 1)]
        return m


def design() -> Classified:
    """The smallest shipped network, with an image of a ramp."""
    net = zoo.load("digits-tiny")
    image = np.arange(net.input.pixels).reshape(net.input.shape) % 17
    return Classified(net, bitfold.fit(net, 1024), image)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("-o", "--output", type=Path, default=Path("design.v"))
    output = arguments.parse_args().output
    output.write_text(verilog.convert(design(), name="classified"), encoding="utf-8")
    print(f"{output} ({output.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
