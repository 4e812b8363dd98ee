"""The figures of a commit, by the other benchmarks, and a page that compares those of two commits.

    python benchmarks/all.py [PART...] [--json]
    python benchmarks/all.py --compare OLD.json NEW.json -o PAGE.html

Without a part all but the slow ones. --json prints what --compare
reads. The status is 1 where a part fails, or where a figure of the page is red: worse by more than its margin
(benchmarks/figures.py), or gone.
"""

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

from figures import Figure, Figures, compare, here, load, number, page, title, words

from bitfold.model.error import BadInput, suggest
from bitfold.model.places import scratch


def arrays() -> Iterator[Figure]:
    """Look-up tables and flip-flops a lane of the arrays, by Yosys."""
    import mac_array

    with scratch() as folder:
        for family in mac_array.TARGETS:
            found = {f"{bits} bits": mac_array.array_figures(family, bits, folder, False) for bits in (4, 8)}
            found["1 bit, 64 inputs"] = mac_array.one_bit_figures(family, 64, 16, folder, False)
            for name, figures in found.items():
                faultless(not figures["multipliers"], f"{family}, {name}: a multiplier")
                yield Figure("arrays", f"{family}, {name}", "LUTs a lane", figures["luts_per_lane"])
                yield Figure("arrays", f"{family}, {name}, flip-flops", "flip-flops a lane", figures["ffs_per_lane"])


def layer() -> Iterator[Figure]:
    """A whole layer of 256 lanes, by Yosys."""
    import mac_array

    with scratch() as folder:
        for family in mac_array.TARGETS:
            figures = mac_array.layer_figures(family, folder)
            faultless(not figures["multipliers"] and not figures["mismatches"], f"{family}: {figures}")
            yield Figure("layer", family, "LUTs", figures["luts"])
            yield Figure("layer", f"{family}, flip-flops", "flip-flops", figures["ffs"])


def networks() -> Iterator[Figure]:
    """Whole machines of the networks that ship, as estimated."""
    import area

    for name, target, cycles in area.CASES:
        figures = area.measure(name, target, cycles)
        case = f"{name}, {target}, {cycles:,} cycles"
        yield Figure("networks", case, "LUTs", figures.estimated.luts)
        yield Figure("networks", f"{case}, flip-flops", "flip-flops", figures.estimated.ffs)
        yield Figure("networks", f"{case}, memory", "memory blocks", sum(figures.estimated.blocks.values()))


def synthesis() -> Iterator[Figure]:
    """A whole machine, by Yosys."""
    yield from estimated("synthesis", "digits, 5000 cycles", ("xc7", "ecp5"))


def estimates() -> Iterator[Figure]:
    """Layers and small networks of every kind, by Yosys, and how far the estimates are from it."""
    yield from estimated("estimates", "", None)


def estimated(part: str, wanted: str, families: tuple[str, ...] | None) -> Iterator[Figure]:
    """Of the cases whose name begins with `wanted`."""
    import estimates

    with scratch() as folder:
        for case in estimates.cases():
            for family in families or estimates.TARGETS:
                if case[0].startswith(wanted):
                    figures = estimates.compare(*case, family, folder)
                    name = f"{case[0]}, {family}"
                    yield Figure(part, name, "LUTs", figures["luts"])
                    yield Figure(part, f"{name}, flip-flops", "flip-flops", figures["ffs"])
                    yield Figure(part, f"{name}, memory", "memory blocks", figures["blocks"])


def clock() -> Iterator[Figure]:
    """The clock of a small classifier on an iCE40 UP5K after place and route, of one seed."""
    yield from placed("clock", ("small",), (1,))


def clocks() -> Iterator[Figure]:
    """Clocks of whole networks, the medians of three seeds."""
    yield from placed("clocks", None, (1, 2, 3))


def placed(part: str, names: tuple[str, ...] | None, seeds: tuple[int, ...]) -> Iterator[Figure]:
    """Of the networks of these names."""
    import fmax

    for case in fmax.cases():
        if names is None or case[0] in names:
            with scratch() as folder:
                figures = fmax.measure(*case, folder, seeds)
            name = f"{case[0]} on {figures['device']}"
            yield Figure(part, name, "MHz", figures["fmax_mhz"], "more", "placed")
            yield Figure(part, f"{name}, area", "LUTs", figures["luts"])


def cycles() -> Iterator[Figure]:
    """Cycles a frame of the Verilog without a pause, and beside the slowest stage's."""
    import cycles

    for case in cycles.cases():
        if case[-1] == 0:
            figures = cycles.measure(*case)
            faultless(not figures["mismatching_logits"], f"{case[0]}: logits differ")
            yield Figure("cycles", case[0], "cycles a frame", figures["cycles_per_frame"])
            yield Figure("cycles", f"{case[0]}, over the slowest stage's", "times", figures["ratio"])


def utilisation() -> Iterator[Figure]:
    """The same of every network that ships and of wide ones, and how many of the lanes' cycles do work."""
    import utilisation

    for name, net, machine in utilisation.machines():
        figures = utilisation.measure(name, net, machine, 4)
        faultless(not figures["mismatching_logits"], f"{name}: logits differ")
        yield Figure("utilisation", name, "cycles a frame", figures["cycles"])
        yield Figure("utilisation", f"{name}, over the slowest stage's", "times", figures["ratio"])
        yield Figure("utilisation", f"{name}, used", "of the lanes' cycles", figures["utilisation"], "more")


def simulation() -> Iterator[Figure]:
    """Held-out digits through the Verilog, by seconds of the processor, the command's start among them."""
    images = 359
    for count in (1, images):  # the first compiles, unless it is kept
        began = processor()
        asked = ["--set", "digits", "--count", str(count), "--jobs", "1", "--json"]
        figures = told("-m", "bitfold", "simulate", "digits", *asked)
        faultless(figures["exact"], "digits: logits differ")
    rate = round(images / (processor() - began), 2)
    yield Figure("simulation", "digits", "images a second of a processor", rate, "more", "rate")


def reference() -> Iterator[Figure]:
    """The exact reference beside onnxruntime in floating point, on one thread."""
    figures = told(str(Path(__file__).with_name("reference.py")), "--json")
    net = figures["network"]
    for form, ratio in figures["ratio"].items():
        yield Figure("reference", f"{net}, beside onnxruntime's {form} graph", "times", ratio, "more", "ratio")
    yield Figure("reference", net, "images/s", figures["images_per_second"]["reference"], "more", "rate")


def training() -> Iterator[Figure]:
    """Training beside the same network in plain torch, on one thread."""
    figures = told(str(Path(__file__).with_name("training.py")), "--steps", "4", "--json")
    for name in ("fp32", "fp32_codes", "fast", "fast_codes"):
        yield Figure(
            "training", f"{name.replace('_', ', ')}, beside plain torch", "times", figures[name], "more", "ratio"
        )


def told(*words: str) -> dict:
    """The JSON that a Python program prints, in a process of its own for its threads; RuntimeError where it fails."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
    faultless(not done.returncode, f"{Path(words[0]).name} ended with status {done.returncode}: {last[0]}")
    return json.loads(done.stdout)


def faultless(fine: object, what: str) -> None:
    """RuntimeError with `what` unless all is."""
    if not fine:
        raise RuntimeError(what)


PARTS: dict[str, Callable[[], Iterator[Figure]]] = {
    part.__name__: part
    for part in (arrays, layer, networks, synthesis, clock, cycles, simulation, reference, training,
                 estimates, clocks, utilisation)
}  # fmt: skip
SLOW = ("estimates", "clocks", "utilisation")
"""Dozens of syntheses, placements or simulations each: measured only where they are named."""


def processor() -> float:
    """Seconds of the processor that this process and what it has ended took."""
    return sum(used.ru_utime + used.ru_stime for used in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN)))


def measure(parts: list[str]) -> Figures:
    """What these parts give; one that fails, for want of a package, say, gives none, and the others go on."""
    found: list[Figure] = []
    seconds, failed = {}, {}
    for part in parts:
        began = processor()
        try:
            with contextlib.redirect_stdout(sys.stderr):
                given = list(PARTS[part]())
        except (Exception, SystemExit) as error:
            failed[part] = " ".join(str(error).split()) or type(error).__name__
            print(f"{part} failed: {failed[part]}", file=sys.stderr, flush=True)
            continue
        found += given
        seconds[part] = round(processor() - began, 1)
        print(f"{part}: {len(given)} figures, {seconds[part]:.0f} s of a processor", file=sys.stderr, flush=True)
    return here(seconds, failed, tuple(found))


def main() -> int:
    """0, 1 where a part failed or something got worse, 2 where the words or files are wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ", ".join(part for part in PARTS if part not in SLOW)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{default}; slow ones: {', '.join(SLOW)}")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("OLD.json", "NEW.json"))
    parser.add_argument("-o", "--output", type=Path, metavar="PAGE.html", help="of --compare: a page about it")
    asked = parser.parse_args()
    try:
        if asked.compare:
            if asked.parts or asked.json:
                raise BadInput("--compare measures nothing: leave out the parts and --json")
            old, new = map(load, asked.compare)
            rows = compare(old, new)
            if asked.output:
                asked.output.write_text(page(old, new, rows), "utf-8")
            print(words(old, new, rows))
            return int(any(row.bad for row in rows))
        if asked.output:
            raise BadInput("-o is for the page of --compare: leave it out, or name the two files")
        for part in asked.parts:
            if part not in PARTS:
                raise BadInput(f"there is no part {part}; {suggest(part, PARTS)}there are {', '.join(PARTS)}")
        measured = measure(asked.parts or [part for part in PARTS if part not in SLOW])
    except BadInput as error:
        print(f"all: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"all: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    if asked.json:
        print(measured.text())
    else:
        print(f"{title(measured)}, {measured.processor}")
        for each in measured.figures:
            print(f"{each.part:12} {each.name:64} {number(each.value):>10} {each.unit}")
    return int(bool(measured.failed))


if __name__ == "__main__":
    sys.exit(main())
