"""The fast engine beside the thorough one: the driver in C++ and cocotb, both in Verilator, on one machine, in one run.

    python benchmarks/engines.py [--images 40] [--times 20] [--pauses 0.1] [--json]

The same Verilog, the same digits, the same pauses; both give every logit of the reference. What a run of few images
takes is taken off: so compiling counts for neither. Seconds are of the processor, of all processes, since others may
run beside; the C++ driver has `times` as many images, to take long enough.
"""

import argparse
import json
import os

import numpy as np

from bitfold.hw.plan import Plan
from bitfold.hw.planner import balance
from bitfold.hw.verilog.write import write
from bitfold.model import zoo
from bitfold.model.net import Net
from bitfold.model.places import scratch
from bitfold.sim.simulate import simulate

FEW = 4
"""Images of the run that is taken off."""
CYCLES = 4608
"""Of a frame, as planned."""
ENGINES = {"verilator": "driver in C++", "verilator-cocotb": "cocotb"}


def seconds() -> float:
    """Of the processor so far, with what was waited for."""
    return sum(os.times()[:4])


def measure(net: Net, plan: Plan, counts: dict[str, int], pauses: float) -> list[dict[str, object]]:
    """Of each engine what an image takes."""
    images = np.random.default_rng(0).integers(net.input.lo, net.input.hi + 1, (max(counts.values()), *net.input.shape))
    expected = net(images)
    figures = []
    with scratch() as work:
        verilog = write(net, plan, work)
        for engine, count in counts.items():
            taken = []
            # The driver in C++ is compiled in a first run and kept, cocotb's model in each.
            for some in (FEW, FEW, count) if engine == "verilator" else (FEW, count):
                started = seconds()
                run = simulate(net, plan, images[:some], engine=engine, pauses=pauses, verilog=verilog, cache=work)
                taken.append((seconds() - started, run.cycles))
                if (run.logits != expected[:some]).any():
                    raise SystemExit(f"{ENGINES[engine]}: a logit differs")
            used, cycles = (more - few for more, few in zip(taken[-1], taken[-2], strict=True))
            figures.append(
                {
                    "engine": ENGINES[engine],
                    "images": count,
                    "seconds": round(used, 2),
                    "images_per_second": round((count - FEW) / used, 2),
                    "cycles_per_second": round(cycles / used),
                }
            )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40, help="for cocotb")
    parser.add_argument("--times", type=int, default=20, help="as many for the driver in C++")
    parser.add_argument("--pauses", type=float, default=0.1, help="on both sides, in this part of the cycles")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    if arguments.images <= FEW or arguments.times < 1:
        parser.error(f"--images is more than {FEW}, and --times 1 or more")
    net = zoo.load("digits")
    counts = {"verilator": arguments.images * arguments.times, "verilator-cocotb": arguments.images}
    figures = measure(net, balance(net, CYCLES), counts, arguments.pauses)
    fast, thorough = (figure["images_per_second"] for figure in figures)
    if arguments.json:
        print(json.dumps({"engines": figures, "ratio": round(fast / thorough, 1)}))
        return
    for f in figures:
        print(
            f"{f['engine']:14} {f['images']:5} images: {f['images_per_second']:8.2f} a second, "
            f"{f['cycles_per_second']:9,} cycles a second"
        )
    print(f"ratio {fast / thorough:.1f}")


if __name__ == "__main__":
    main()
