# amaranth: UnusedElaboratable=no
"""Time and memory to write the Verilog of wide residual networks of random weights (32x32x3, depth 20).

    python benchmarks/generate.py [--width 4] [--lanes 1024] [--json]

The baseline of the ratio is writing the weights alone as hexadecimal text, in the same run: what any
generator has to do at least.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.planner import fit
from bitfold.hw.stages.conv import ConvStage
from bitfold.hw.verilog import write as verilog
from bitfold.model.networks import wide_resnet


def weights_alone(accelerator: Accelerator, path: Path) -> None:
    """Every weight memory as hexadecimal words, a line each."""
    with path.open("w", encoding="utf-8") as file:
        for _, stage in accelerator.pipeline.stages:
            if isinstance(stage, ConvStage):
                bits = np.concatenate(stage.weight_rows(), axis=1)
                for row in np.packbits(bits, axis=1, bitorder="little"):
                    file.write(row[::-1].tobytes().hex() + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=4, help="width factor: 1, 4 or 10 in the papers")
    parser.add_argument("--lanes", type=int, default=1024, help="most lanes of the plan")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()

    start = time.perf_counter()
    net = wide_resnet(20, arguments.width)
    plan = fit(net, arguments.lanes)
    built = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = verilog.write(net, plan, Path(folder))
        written = time.perf_counter()
        size = path.stat().st_size
        weights_alone(Accelerator(net, plan), Path(folder) / "weights.hex")
    baseline = time.perf_counter() - written
    own, tools = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    peak = max(own, tools)
    figures = {
        "network": f"WRN 20-{arguments.width}",
        "weights": net.weights,
        "lanes": plan.lanes(net),
        "net_and_plan_seconds": round(built - start, 1),
        "verilog_seconds": round(written - built, 1),
        "verilog_megabytes": round(size / 1e6, 1),
        "peak_gigabytes": round(peak / 2**20, 2),
        "times_weights_alone": round((written - built) / baseline, 1),
    }
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:22} {value}")


if __name__ == "__main__":
    main()
