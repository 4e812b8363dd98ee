# amaranth: UnusedElaboratable=no
"""Test error against look-up tables: shipped networks beside those of others, a panel for each data set.

    python benchmarks/compared.py [-o docs/pictures/compared.svg]
    python benchmarks/compared.py --synth

A network is a line, for its machine can be as fast as one likes: from the smallest machine for 100 frames a second on,
at 100 MHz on an xc7z045, as the planner estimates it, to the fastest of RATES that this device holds. A dot is a
machine that Yosys has synthesised; these figures and those of others, with their sources, are in compared.toml.
--synth synthesises the dots anew, which takes three quarters of an hour, and fails where one differs from what is kept.
"""

import argparse
import json
import math
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from bitfold.hw.accelerator import Accelerator
from bitfold.hw.device.target import TARGETS
from bitfold.hw.planner import balance
from bitfold.model import zoo

DEVICE = TARGETS["xc7z045"]
MHZ = 100
KEPT = Path(__file__).with_suffix(".toml")

RATES = {"cifar10": (100, 1_000, 3_000), "mnist": (1_000, 10_000, 50_000)}
"""Frames a second that are asked for, by data set."""
PANELS = {
    "cifar10": ("CIFAR-10", 590, 0.30, 0.05),
    "mnist": ("MNIST", 310, 0.02, 0.005),
}
"""Of each data set its title, how tall it is drawn, the largest error, the step of the lines."""
LOW, HIGH = 1_800, 250_000
"""LUTs from and to."""

WIDTH, LEFT, TOP, RIGHT, BOTTOM = 860, 58, 42, 24, 46
"""Of the picture, and of what lies around a panel's ground."""

STYLE = """
:root {
  color-scheme: light dark;
  --card: #fff; --ink: #1c1f24; --soft: #636a75; --line: #e2e3e1; --own: #2f7fd6; --other: #c2570c;
}
@media (prefers-color-scheme: dark) {
  :root { --card: #1c1f25; --ink: #e8eaed; --soft: #a0a8b4; --line: #2d323a; --own: #4f9cf0; --other: #f2a93b; }
}
svg { font-family: system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
text { fill: var(--ink); font-size: 13px; font-variant-numeric: tabular-nums; }
.title { font-size: 16px; font-weight: 650; }
.axis { fill: var(--soft); }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.grid { stroke: var(--line); }
.own { fill: var(--own); font-weight: 600; }
.other { fill: var(--other); }
.rate { fill: var(--soft); font-size: 11px; text-anchor: middle; }
.line { stroke: var(--own); stroke-width: 2; }
.ring { stroke: var(--own); stroke-width: 2; fill: var(--card); }
"""
"""What is drawn with."""

APART = {"cifar10-20-4": (31, 17), "cifar10-20-4-4bit": (-24, -10)}
"""How far below their line the name and the rates of networks stand whose lines are close to each other."""
RATE = 17
"""How far below the line the rates of others stand; their name is at its end."""
PLACES = {
    "fpgaConvNet, xc7z010": (-10, 5, "other end"),
    "fpgaConvNet, xc7z020": (-54, -11, "other"),
    "logic gates": (-2, 20, "other end"),
}
"""Where the words of a peer stand, if not behind it."""
BEHIND = 10, 5, "other"


def estimated(name: str, rates: Sequence[int]) -> list[tuple[int, int]]:
    """Frames a second asked for, and LUTs of the smallest machine for them; of those that the device holds."""
    found = []
    for rate in rates:
        machine = Accelerator(net := zoo.load(name), balance(net, MHZ * 10**6 // rate, DEVICE.name))
        took = machine.resources
        if took.luts <= DEVICE.luts and all(count <= DEVICE.blocks[kind] for kind, count in took.blocks.items()):
            found.append((rate, took.luts))
    return found


def synthesised(name: str, cycles: int) -> dict[str, int]:
    """What Yosys makes of the smallest machine of at most so many cycles a frame."""
    words = ["synth", name, "--target", DEVICE.name, "--cycles", str(cycles), "--json"]
    done = subprocess.run([sys.executable, "-m", "bitfold", *words], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return {"luts": found["luts"], "ffs": found["ffs"], "ramb18": found["blocks"].get("RAMB18", 0)}


def rated(rate: float) -> str:
    """Frames a second, in a few letters."""
    return f"{rate / 1000:.3g}k/s" if rate >= 1000 else f"{rate:.3g}/s"


def text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


class Panel:
    """The drawing of a data set's networks, `top` pixels from above."""

    def __init__(self, data: str, top: int):
        title, tall, self.most, self.step = PANELS[data]
        self.ground, self.bottom, self.right = top + TOP, top + tall - BOTTOM, WIDTH - RIGHT
        self.parts = [text(LEFT, top + 24, f"{title}: test error against look-up tables", "title")]

    def x(self, luts: float) -> float:
        """Where so many LUTs lie, on a logarithmic axis."""
        return LEFT + (self.right - LEFT) * math.log(luts / LOW) / math.log(HIGH / LOW)

    def y(self, error: float) -> float:
        """Where an error lies, none at the bottom."""
        return self.bottom - (self.bottom - self.ground) * error / self.most

    def axes(self) -> None:
        for k in range(math.floor(self.most / self.step + 0.01) + 1):
            self.parts.append(f'<path class="grid" d="M{LEFT} {self.y(k * self.step):.1f}H{self.right}"/>')
            self.parts.append(text(LEFT - 8, self.y(k * self.step) + 4, f"{100 * k * self.step:g} %", "axis end"))
        for luts in (3_000, 10_000, 30_000, 100_000):
            self.parts.append(f'<path class="grid" d="M{self.x(luts):.1f} {self.ground}V{self.bottom}"/>')
            self.parts.append(text(self.x(luts), self.bottom + 18, f"{luts:,}", "axis middle"))
        words = "LUTs of six inputs; rings are planned for so many frames a second at 100 MHz, dots synthesised"
        self.parts.append(text((LEFT + self.right) / 2, self.bottom + 38, words, "axis middle"))

    def own(self, name: str, points: Sequence[tuple[int, int]], dots: Sequence[Mapping[str, Any]]) -> None:
        """The line of a network, with the rates of its points and the dots of what was synthesised."""
        error = zoo.card(name).test_error
        y, start, end = self.y(error), self.x(points[0][1]), self.x(points[-1][1])
        title, rates = APART.get(name, (None, RATE))
        self.parts.append(f'<path class="line" d="M{start:.1f} {y:.1f}H{end:.1f}"/>')
        behind = max([end, *(self.x(dot["luts"]) for dot in dots)]) + 10
        place = (behind, y + 5) if title is None else (start - 5, y + title)
        self.parts.append(text(*place, f"{name}, {100 * error:.2f} %", "own"))
        for rate, luts in points:
            self.parts.append(f'<circle class="ring" cx="{self.x(luts):.1f}" cy="{y:.1f}" r="4"/>')
            self.parts.append(text(self.x(luts), y + rates, rated(rate), "rate"))
        for dot in dots:
            self.parts.append(f'<circle class="own" cx="{self.x(dot["luts"]):.1f}" cy="{y:.1f}" r="5"/>')

    def peer(self, found: Mapping[str, Any]) -> None:
        """What others have, with what its LUTs do not tell."""
        y, words = self.y(found["error"]), f"{found['name']}, {100 * found['error']:.4g} %"
        right, down, kind = PLACES.get(found["name"], BEHIND)
        if gates := found.get("gates"):
            x, mark = self.right, "l-12 -6v12z"
            words += f", {gates // 10**6} M gates"
        else:
            x, mark = self.x(found["luts"]), "m0 -6l6 6l-6 6l-6 -6z"
        words += f", {rated(found['rate'])}" if "rate" in found else ""
        words += f", {found['dsps']} DSPs" if "dsps" in found else ""
        self.parts.append(f'<path class="other" d="M{x:.1f} {y:.1f}{mark}"/>')
        self.parts.append(text(x + right, y + down, words, kind))


def drawn(kept: Mapping[str, Any], points: Callable[[str, Sequence[int]], Sequence[tuple[int, int]]]) -> str:
    """The picture of what is kept, and of the shipped networks' `points` for rates."""
    parts, top = [], 0
    for data in PANELS:
        panel = Panel(data, top)
        panel.axes()
        for found in kept["peer"]:
            if found["data"] == data:
                panel.peer(found)
        for name in zoo.names():
            if zoo.card(name).data == data:
                dots = [each for each in kept["own"] if each["name"] == name]
                panel.own(name, points(name, RATES[data]), dots)
        parts += panel.parts
        top += PANELS[data][1]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}"'
    label = "Test error against look-up tables, CIFAR-10 and MNIST"
    ground = '<rect width="100%" height="100%" rx="10" fill="var(--card)"/>'
    body = "\n".join(parts)
    return f'{head} role="img" aria-label="{label}"><style>{STYLE}</style>{ground}\n{body}\n</svg>\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/pictures/compared.svg"))
    parser.add_argument("--synth", action="store_true", help="synthesise anew, and compare with what is kept")
    arguments = parser.parse_args()
    kept = tomllib.loads(KEPT.read_text("utf-8"))
    if arguments.synth:
        differ = []
        for each in kept["own"]:
            found = synthesised(each["name"], each["cycles"])
            print(each["name"], each["cycles"], found, flush=True)
            differ += [each["name"]] * any(each[key] != count for key, count in found.items())
        if differ:
            raise SystemExit(f"{KEPT.name} has other figures of {', '.join(differ)}")
        return
    arguments.output.write_text(drawn(kept, estimated), "utf-8")
    print(arguments.output)


if __name__ == "__main__":
    main()
