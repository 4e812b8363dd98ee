# amaranth: UnusedElaboratable=no
"""Every value of every layer of a network at full size, in the Verilog of the whole machine, against the reference.

    python benchmarks/every_layer.py NET --set cifar10 --data DIR [--images 2] [--lanes 1024] [--json]

Verilator runs whole test images, and what every stage gives is read back from the waveform. A wide residual network
20-10 takes some 8 million cycles an image and as many half kilobytes of waveform.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from bitfold.hw.plan import Plan
from bitfold.hw.planner import fit
from bitfold.model.layers import trace
from bitfold.model.net import Net
from bitfold.model.places import scratch
from bitfold.model.train.data import open_data
from bitfold.sim import taps
from bitfold.sim.simulate import Machine, as_frames


def measure(net: Net, plan: Plan, images: np.ndarray) -> dict[str, object]:
    """Write, simulate, compare."""
    start = time.perf_counter()
    with scratch() as work:
        machine = Machine(net, plan, "verilator", None, None, work)
        written = time.perf_counter()
        capture, streams = machine.look(as_frames(images), 0.0, 0, work / "streams.vcd")
        read = time.perf_counter()
        if capture.stuck or capture.broken:
            raise SystemExit(f"the machine stands still or breaks its contract: {capture.broken}")
        outputs = {path: output for path, _, output in trace(net.body, images.astype(net.input.dtype))}
        watched = machine.accelerator.taps
        short = [tap.path for tap in watched if len(streams[tap.name].words) * tap.flow.lanes != outputs[tap.path].size]
        found = [taps.locate(net, watched, images, streams, index) for index in range(len(images))]
        run = machine.result(capture, len(images))
        return {
            "lanes": plan.lanes(net),
            "cycles_per_frame": machine.accelerator.cycles,
            "luts": machine.accelerator.resources.luts,
            "verilog_megabytes": round(machine.verilog.stat().st_size / 1e6, 1),
            "images": len(images),
            "cycles": capture.cycles,
            "stages": len(watched),
            "values": sum(outputs[tap.path].size for tap in watched),
            "stages_of_other_length": short,
            "differences": [str(each) for each in found if each],
            "mismatching_logits": int((run.logits != net(images)).sum()),
            "verilog_seconds": round(written - start),
            "simulation_seconds": round(read - written),
        }


def check(figures: dict[str, object]) -> None:
    """SystemExit where a value of `measure` differs."""
    if figures["stages_of_other_length"] or figures["differences"] or figures["mismatching_logits"]:
        raise SystemExit("a value differs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", help="its .bitfold file")
    parser.add_argument("--set", required=True, help="data set whose first test images are simulated")
    parser.add_argument("--data", type=Path, required=True, help="where its files are")
    parser.add_argument("--images", type=int, default=2, help="how many")
    parser.add_argument("--lanes", type=int, default=1024, help="most lanes of the plan")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    images = open_data(arguments.set, arguments.data).test().batch(np.arange(arguments.images))
    net = Net.load(arguments.net)
    figures = measure(net, fit(net, arguments.lanes), images)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:22} {value}")
    check(figures)


if __name__ == "__main__":
    main()
