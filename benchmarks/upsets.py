# amaranth: UnusedElaboratable=no
"""Flipped bits of weight memories: what they cost a network in accuracy, and what parity and ECC do about them.

    python benchmarks/upsets.py [--data DIR] [--picture FILE.svg] [--synth] [--json]

First `digits`, and with --data, where MNIST's files are, `mnist-4bit`: so many bits drawn at random of all that are
stored are flipped in the running Verilog, and each logit is compared with the reference with the same bits flipped. The
accuracy over many draws is the reference's: of digits on all held-out images, of mnist-4bit on 200 test images.

Then machines of digits with parity and with ECC: in one word 1 to 4 bits are flipped, in the running Verilog, once for
each trial, and the outcome is counted. With --synth what protection takes of two devices, by Yosys.
"""

import argparse
import json
import tempfile
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from bitfold.boards.synth import synthesise
from bitfold.hw.accelerator import Accelerator
from bitfold.hw.device.protect import PROTECT
from bitfold.hw.plan import Plan
from bitfold.hw.planner import balance, fit
from bitfold.hw.verilog.write import convert
from bitfold.model import zoo
from bitfold.model.net import Net
from bitfold.model.train.data import open_data
from bitfold.sim.upsets import Flip, Memory, Upset, UpsetNet, draw, inject, memories

COUNTS = {"digits": (1, 10, 30, 100, 300, 1000, 3000, 10000), "mnist-4bit": (1, 100, 300, 1000, 3000, 10000)}
"""Bits that are flipped."""
DRAWS = {"digits": 30, "mnist-4bit": 4}
IMAGES = {"digits": 359, "mnist-4bit": 200}
SIMULATED = 4
"""Images of each draw that runs in the Verilog: the first of each number of flips."""
LANES = 128
TRIALS = 50
CYCLES = {"digits": 4608, "cifar10-small": 147456}
"""A frame, of the machines that are priced."""
TARGETS = {"xc7": "xc7z020", "ecp5": "ecp5-85"}


def held_out(data: str, folder: Path | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first so many test images of a data set, and their classes."""
    found = open_data(data, folder).test()
    return found.batch(np.arange(count)), found.labels[:count]


def accuracies(name: str, data: Path | None) -> list[dict]:
    """Of a network, for each number of flips."""
    net = Net.load(zoo.path(name))
    images, labels = held_out(name.split("-")[0], data, IMAGES[name])
    plan = fit(net, LANES)
    machine, rng = Accelerator(net, plan), np.random.default_rng(2019)
    found = memories(machine)
    bits = sum(memory.size for memory in found)
    right = {count: [] for count in COUNTS[name]}
    shown = []
    for count in COUNTS[name]:
        draws = [draw(found, count, rng) for _ in range(DRAWS[name])]
        right[count] = [float((UpsetNet(machine, flips).classify(images) == labels).mean()) for flips in draws]
        shown.append(draws[0])
    some = images[:SIMULATED]
    runs = inject(net, plan, some, shown)
    differ = [
        int((run.run.logits != UpsetNet(machine, flips)(some)).sum()) for run, flips in zip(runs, shown, strict=True)
    ]
    changed = [int((run.run.logits != net(some)).sum()) for run in runs]
    plain = float((net.classify(images) == labels).mean())
    return [
        {
            "net": name,
            "bits": bits,
            "flips": count,
            "draws": DRAWS[name],
            "images": len(images),
            "accuracy_without": plain,
            "accuracy": float(np.mean(right[count])),
            "lowest": float(np.min(right[count])),
            "highest": float(np.max(right[count])),
            "verilog_images": SIMULATED,
            "verilog_logits_changed": changed[index],
            "verilog_logits_unlike_reference": differ[index],
        }
        for index, count in enumerate(COUNTS[name])
    ]


def outcome(upset: Upset, exact: bool) -> str:
    """What became of the flips of a trial."""
    if upset.detected:
        return "detected"
    if upset.corrected and exact:
        return "corrected"
    return "harmless" if exact else "missed"


def in_a_word(found: list[Memory], count: int, rng: np.random.Generator) -> list[Flip]:
    """Different bits of one word."""
    first = draw(found, 1, rng)[0]
    return [replace(first, bit=bit) for bit in rng.choice(first.memory.rom.bits, count, replace=False).tolist()]


def outcomes(protect: str) -> list[dict]:
    """Of flips in one word."""
    net = Net.load(zoo.path("digits"))
    plan = replace(fit(net, LANES), protect=protect)
    images, rng = held_out("digits", None, 1)[0], np.random.default_rng(1970)
    counts, wanted = range(1, 5), net(images)
    found = [memory for memory in memories(Accelerator(net, plan)) if memory.rom.bits >= counts[-1]]
    trials = [in_a_word(found, count, rng) for count in counts for _ in range(TRIALS)]
    told = [outcome(upset, bool((upset.run.logits == wanted).all())) for upset in inject(net, plan, images, trials)]
    rows = []
    for index, count in enumerate(counts):
        seen = Counter(told[index * TRIALS : (index + 1) * TRIALS])
        rows.append({"protect": protect, "flips": count, "trials": TRIALS} | {
            name: seen[name] for name in ("corrected", "detected", "missed", "harmless")
        })  # fmt: skip
    return rows


@cache
def folded(name: str, family: str) -> tuple[Net, Plan]:
    """A network and its plan without protection, which weights that come in parts cannot have."""
    net = Net.load(zoo.path(name))
    plan = balance(net, CYCLES[name], TARGETS[family])
    return net, replace(plan, foldings={path: replace(each, turns=1) for path, each in plan.foldings.items()})


def cost(name: str, family: str, protect: str, synth: bool) -> dict:
    """What a machine takes, estimated and, where wanted, by Yosys."""
    net, plan = folded(name, family)
    plan = replace(plan, protect=protect)
    machine = Accelerator(net, plan)
    estimate = machine.resources
    row = {
        "net": name,
        "family": family,
        "protect": protect,
        "cycles": machine.cycles,
        "lanes": plan.lanes(net),
        "estimated": {"luts": estimate.luts, "ffs": estimate.ffs, "blocks": sum(estimate.blocks.values())},
    }
    if synth:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "top.v"
            path.write_text(convert(machine, "top"))
            counted = synthesise(path, "top", family)
        row["yosys"] = {"luts": counted.luts, "ffs": counted.ffs, "blocks": sum(counted.blocks.values())}
    return row


def draw_picture(rows: list[dict], path: Path) -> None:
    """Accuracy against the share of the bits that are flipped, with the range over all draws."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(row["net"] for row in rows):
        mine = [row for row in rows if row["net"] == name]
        share = [100 * row["flips"] / row["bits"] for row in mine]
        (line,) = axes.plot(share, [100 * row["accuracy"] for row in mine], marker="o", ms=3, label=name)
        low, high = ([100 * row[key] for row in mine] for key in ("lowest", "highest"))
        axes.fill_between(share, low, high, color=line.get_color(), alpha=0.2, lw=0)
    axes.set(xscale="log", xlabel="flipped bits of weight memories, %", ylabel="accuracy, %", ylim=(0, 101))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, metavar="DIR", help="where MNIST's files are: mnist-4bit too")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the accuracies (.svg, .png)")
    parser.add_argument("--synth", action="store_true", help="count what digits takes by Yosys, too")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    kinds: dict[str, list[dict]] = {"accuracies": [], "outcomes": [], "costs": []}

    def note(kind: str, row: dict, line: str) -> None:
        kinds[kind].append(row)
        if not arguments.json:
            print(line, flush=True)

    for name in COUNTS if arguments.data else ["digits"]:
        for row in accuracies(name, arguments.data):
            note("accuracies", row, (
                f"{name:11} {row['flips']:6} of {row['bits']:7} bits: {100 * row['accuracy']:6.2f} % right, "
                f"{100 * row['lowest']:6.2f} to {100 * row['highest']:6.2f} ({100 * row['accuracy_without']:.2f} "
                f"without); Verilog: {row['verilog_logits_changed']} logits changed, "
                f"{row['verilog_logits_unlike_reference']} unlike the reference's"
            ))  # fmt: skip
    for protect in PROTECT[1:]:
        for row in outcomes(protect):
            note("outcomes", row, ", ".join(f"{name} {value}" for name, value in row.items()))
    for name, family, protect in product(CYCLES, TARGETS, PROTECT):
        row = cost(name, family, protect, arguments.synth and name == "digits")
        counts = ", ".join(f"{key} {row[key]}" for key in ("estimated", "yosys") if key in row)
        note("costs", row, f"{name:13} {family:5} {protect:6} {row['lanes']} lanes: {counts}")
    if arguments.picture:
        draw_picture(kinds["accuracies"], arguments.picture)
    if arguments.json:
        print(json.dumps(kinds))
    if any(row["verilog_logits_unlike_reference"] for row in kinds["accuracies"]):
        raise SystemExit("a logit is not the reference's")


if __name__ == "__main__":
    main()
