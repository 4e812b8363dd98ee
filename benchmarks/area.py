# amaranth: UnusedElaboratable=no
"""Where the area of the shipped networks' machines goes, by estimate: docs/area.md's tables.

    python benchmarks/area.py [--json]

Each machine is the smallest of its cycles a frame on its device, as `bitfold plan` finds it; `bitfold report` tells
the same of any plan.
"""

import argparse
import json
from dataclasses import asdict

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.planner import balance
from bitfold.model import zoo
from bitfold.report.figures import Figures, gather
from bitfold.report.page import sorts

CASES = [
    ("digits", "xc7a35t", 4608),
    ("digits", "ecp5-85", 4608),
    ("digits", "xc7a35t", 576),
    ("digits", "ecp5-85", 576),
    ("mnist-4bit", "xc7a35t", 7056),
    ("mnist-4bit", "ecp5-85", 7056),
    ("cifar10-small", "xc7z020", 147456),
    ("cifar10-small", "ecp5-85", 147456),
    ("cifar10-small", "xc7z020", 36864),
    ("cifar10-small", "ecp5-85", 36864),
]
"""Network, device, the most cycles a frame."""

PURPOSES = (
    "arrays",
    "windows",
    "weights and constants",
    "result queues",
    "requantise",
    "converters",
    "queues",
    "forks and adds",
)
"""What takes most; all else is one column."""

SORTS = ("weights", "line buffers", "queues")
"""What lies in most blocks, of ``report.page.SORTS``."""


def measure(name: str, target: str, cycles: int) -> Figures:
    """The figures of the smallest machine."""
    net = zoo.load(name)
    return gather(name, Accelerator(net, balance(net, cycles, target)))


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def title(figures: Figures) -> str:
    return f"{figures.network}, {figures.target}, {figures.cycles:,}"


def shares(figures: Figures, field: str) -> str:
    """The percents of look-up tables or flip-flops by purpose."""
    whole = getattr(figures.estimated, field)
    taken = {part.purpose: getattr(part.estimated, field) for part in figures.purposes}
    parts = [taken.pop(purpose, 0) for purpose in PURPOSES]
    percents = [f"{100 * part / whole:.0f}" for part in (*parts, sum(taken.values()))]
    return row(title(figures), f"{figures.lanes:,}", f"{whole:,}", *percents)


def blocks(figures: Figures) -> str:
    """How many blocks, how full, of all and by what lies in them."""
    found = figures.memory
    cells = [f"{found.stored:,} of {found.occupied:,}, {100 * found.stored / found.occupied:.0f} %"]
    by_sort = sorts(figures)
    for sort in SORTS:
        count, full = by_sort.get(sort, (0, 0))
        cells.append(f"{count}, {100 * full:.0f} %" if count else "")
    counts = ", ".join(f"{count} {kind}" for kind, count in figures.estimated.blocks.items())
    return row(title(figures), counts, *cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    arguments = parser.parse_args()
    found = [measure(*case) for case in CASES]
    if arguments.json:
        print(json.dumps([asdict(figures) for figures in found]))
        return
    for field, word in (("luts", "LUTs"), ("ffs", "flip-flops")):
        print(row("network, device, cycles a frame", "lanes", word, *PURPOSES, "all else"))
        print(row(*["---"] * (len(PURPOSES) + 4)))
        print("\n".join(shares(figures, field) for figures in found), end="\n\n")
    print(row("network, device, cycles a frame", "blocks", "bits stored", *SORTS))
    print(row(*["---"] * (len(SORTS) + 3)))
    print("\n".join(blocks(figures) for figures in found if figures.memory.occupied))


if __name__ == "__main__":
    main()
