"""A LiteX SoC with a network as a peripheral: its registers on the SoC's Wishbone, its pixels and classes by DMA.

    pip install '.[sim,litex]'
    python examples/litex_soc.py -o DIR          the SoC's Verilog, DIR/litex_soc.v, and its addresses, DIR/csr.json
    python examples/litex_soc.py -o DIR --check  the same, simulated on held-out digits

The SoC has no processor: the master of its Wishbone port `host`, a bridge or a processor, writes images into memory,
starts both DMA engines and reads classes from memory, as `litex_bench.py` does.
"""

import argparse
import json
import runpy
from pathlib import Path

import numpy as np
from litex.build.generic_platform import GenericPlatform, Pins
from litex.gen import LiteXModule
from litex.soc.cores.dma import WishboneDMAReader, WishboneDMAWriter
from litex.soc.integration.export import get_csr_json
from litex.soc.integration.soc import SoCRegion
from litex.soc.integration.soc_core import SoCMini
from litex.soc.interconnect import stream, wishbone
from migen import ClockSignal, Instance, ResetSignal
from migen.genlib.io import CRG

import bitfold
from bitfold import zoo
from bitfold.hw.verilog.formats import Interface
from bitfold.model.train.data import open_data
from bitfold.sim.cosim import play

NAME = "litex_soc"
NETWORK, LANES = "digits-tiny", 256
INTERFACE = Interface("class", padded=True, counted=True, control="wishbone")
"""DMA engines give no tlast a frame, and take bytes."""
MACHINE = "network"
REGISTERS, MEMORY, MEMORY_BYTES = 0x9000_0000, 0x4000_0000, 0x2000
DIGITS = 3


class Network(LiteXModule):
    """The machine with its DMA engines; `bus` is where its registers are."""

    def __init__(self, soc: SoCMini) -> None:
        self.bus = bus = wishbone.Interface()
        reads, writes = wishbone.Interface(), wishbone.Interface()
        # Byte 0 of the memory is the lowest of a word: "big" is LiteX's name for leaving bytes where they are.
        self.reader = WishboneDMAReader(reads, endianness="big", with_csr=True)
        self.writer = WishboneDMAWriter(writes, endianness="big")
        self.writer.add_ctrl(ready_on_idle=0)
        self.writer.add_csr()
        self.pixels = pixels = stream.Converter(32, 8)
        self.comb += self.reader.source.connect(pixels.sink)
        soc.bus.add_master("reader", reads)
        soc.bus.add_master("writer", writes)
        self.specials += Instance(
            MACHINE,
            i_clk=ClockSignal(),
            i_rst=ResetSignal(),
            i_s_axis_tdata=pixels.source.data,
            i_s_axis_tvalid=pixels.source.valid,
            o_s_axis_tready=pixels.source.ready,
            o_m_axis_tdata=self.writer.sink.data[:8],  # a class a word
            o_m_axis_tvalid=self.writer.sink.valid,
            i_m_axis_tready=self.writer.sink.ready,
            i_wb_cyc_i=bus.cyc,
            i_wb_stb_i=bus.stb,
            i_wb_we_i=bus.we,
            i_wb_adr_i=bus.adr[:4],
            i_wb_dat_i=bus.dat_w,
            i_wb_sel_i=bus.sel,
            o_wb_dat_o=bus.dat_r,
            o_wb_ack_o=bus.ack,
        )


class Soc(SoCMini):
    """A bus with memory, the network and the port `host` on it."""

    def __init__(self) -> None:
        platform = GenericPlatform("", [("clk", 0, Pins(1)), ("rst", 0, Pins(1))], name=NAME)
        super().__init__(platform, clk_freq=50e6)
        self.crg = CRG(platform.request("clk"), platform.request("rst"))
        self.add_ram("memory", MEMORY, MEMORY_BYTES)
        self.network = Network(self)
        self.bus.add_slave("registers", self.network.bus, SoCRegion(origin=REGISTERS, size=0x1000, cached=False))
        host = wishbone.Interface()
        self.bus.add_master("host", host)
        platform.add_extension(host.get_ios("host"))
        self.comb += host.connect_to_pads(platform.request("host"), mode="slave")


def write(folder: Path) -> tuple[Path, Path, Path]:
    """The Verilog of the SoC and of the network, and the addresses of the SoC."""
    net = zoo.load(NETWORK)
    network = bitfold.write_verilog(net, bitfold.fit(net, LANES), folder, MACHINE, interface=INTERFACE)
    soc = Soc()
    soc.finalize()
    verilog = soc.platform.get_verilog(soc, name=NAME)
    path = folder / f"{NAME}.v"
    for file, text in {path.name: verilog.main_source, **verilog.data_files}.items():
        (folder / file).write_text(text, encoding="utf-8")
    addresses = folder / "csr.json"
    addresses.write_text(get_csr_json(soc.csr_regions, soc.constants, soc.mem_regions), encoding="utf-8")
    return path, network, addresses


def check(soc: Path, network: Path, addresses: Path) -> None:
    """Simulate the SoC on digits in Verilator; fails where a class is not the network's."""
    net = zoo.load(NETWORK)
    images = open_data("digits", None).test().batch(np.arange(DIGITS))
    job = {
        "soc": json.loads(addresses.read_text(encoding="utf-8")),
        "registers": {
            key: value
            for key, value in runpy.run_path(str(network.with_name(f"{MACHINE}_registers.py"))).items()
            if key.isupper()
        },
        "images": [image.astype(np.uint8).tobytes() for image in images],
    }
    design = soc.with_name("all.v")
    design.write_text("".join(path.read_text(encoding="utf-8") for path in (soc, network)), encoding="utf-8")
    classes = play(design, job, "litex_bench", top=NAME, simulator="verilator")
    if classes != net.classify(images).ravel().tolist():
        raise SystemExit(f"the SoC gives the classes {classes}, which are not the network's")
    print(f"{DIGITS} digits through the SoC: the network's classes {classes}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("-o", "--output", type=Path, default=Path("litex-soc"))
    arguments.add_argument("--check", action="store_true", help="simulate it in Verilator")
    given = arguments.parse_args()
    paths = write(given.output)
    print(*paths, sep="\n")
    if given.check:
        check(*paths)


if __name__ == "__main__":
    main()
