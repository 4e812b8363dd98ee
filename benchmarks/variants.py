"""Every variant of arXiv 1907.06916, section IV, and of 1802.08530, from training to synthesis, on 8x8 digits.

    python benchmarks/variants.py [--only VARIANT] [--epochs N] [--json]

The digits are scikit-learn's. Each variant is the recipe of `digits` with other keys: trained, exported, its Verilog
compared with the integers on 20 held-out images (in Verilator), synthesised for xc7 and ECP5. The machines are the
smallest that give a frame in 4,608 cycles. Three minutes of one core each.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import tomllib
from importlib import resources
from pathlib import Path

import numpy as np

from bitfold import Net, balance, check
from bitfold.boards.synth import synthesise
from bitfold.hw.accelerator import Accelerator
from bitfold.hw.verilog.write import convert
from bitfold.model.card import Card
from bitfold.model.train.data import open_data

CYCLES = 4608
IMAGES = 20
TARGETS = {"xc7": "xc7a35t", "ecp5": "ecp5-85"}
VARIANTS = {
    "shifted ReLU only": {},
    "final norm only": {"final-norm": "batch"},
    "mean only": {"norm": "mean", "final-norm": "mean"},
    "norms, no scale and shift learned": {"norm": "batch-plain", "final-norm": "batch-plain"},
    "norms": {"norm": "batch", "final-norm": "batch"},
    "norms and ReLU (1802.08530)": {"norm": "batch", "final-norm": "batch", "activation": "relu"},
    "ELU": {"activation": "elu"},
    "exact scale": {"scale": "exact"},
    "norms and signs (BitFlow-Net)": {"norm": "batch", "activation": "sign", "bits": 1},
}
"""Of the network's keys, what differs from the recipe."""


def recipe(keys: dict[str, object]) -> str:
    """The recipe of digits with these keys of its network."""
    shipped = tomllib.loads((resources.files("bitfold.model.train") / "recipes" / "digits.toml").read_text("utf-8"))
    shipped["network"] |= keys
    lines = [f"data = {json.dumps(shipped.pop('data'))}"]
    for table, values in shipped.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines)


def float_error(card: Card, folder: Path) -> float:
    """The test error before activations became codes: of the float twin or, where there is none, in the log."""
    if card.float_test_error is not None:
        return card.float_test_error
    with open(folder / "variant.run" / "log.csv", encoding="utf-8") as log:
        return [float(row["test_error"]) for row in csv.DictReader(log) if row["phase"] == "train"][-1]


def figures(keys: dict[str, object], epochs: int | None, folder: Path) -> dict[str, object]:
    """Of one variant, all of it done in `folder`; SystemExit where the Verilog is not the network."""
    (folder / "recipe.toml").write_text(recipe(keys), encoding="utf-8")
    words = ["train", "recipe.toml", "-o", "variant.bitfold", "--seed", "0"]
    words += ["--device", "cpu", "--threads", "1", "--fp32"]
    words += ["--epochs", str(epochs)] if epochs else []
    subprocess.run([sys.executable, "-m", "bitfold", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    net = Net.load(folder / "variant.bitfold")
    card = Card.load(folder / "variant.json")
    found: dict[str, object] = {"test_error": card.test_error, "float_test_error": float_error(card, folder)}
    images = open_data("digits", None).test().batch(np.arange(IMAGES))
    for family, target in TARGETS.items():
        plan = balance(net, CYCLES, target=target)
        if family == "xc7":
            report = check(net, plan, images)
            if not report.exact:
                raise SystemExit(f"the Verilog is not the network: {report.first}")
            found |= {"exact_images": report.images, "cycles": report.ideal_cycles}
        path = folder / f"{family}.v"
        path.write_text(convert(Accelerator(net, plan), "variant"), encoding="utf-8")
        netlist = synthesise(path, "variant", family)
        found[family] = {"luts": netlist.luts, "ffs": netlist.ffs, "blocks": sum(netlist.blocks.values())}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=VARIANTS, metavar="VARIANT", help="this one alone")
    parser.add_argument("--epochs", type=int, help="in place of the recipe's 60 + 40")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    rows = []
    if not arguments.json:
        print("| variant | keys | error | float | images exact | xc7 LUTs, FFs, RAMB18 | ECP5 LUTs, FFs, DP16KD |")
        print("|---|---|---|---|---|---|---|")
    for name in [arguments.only] if arguments.only else VARIANTS:
        keys = VARIANTS[name]
        with tempfile.TemporaryDirectory() as folder:
            rows.append({"name": name, "keys": keys} | figures(keys, arguments.epochs, Path(folder)))
        row = rows[-1]
        if not arguments.json:
            said = ", ".join(f"`{key} = {json.dumps(value)}`" for key, value in keys.items())
            sizes = " | ".join("{luts:,}, {ffs:,}, {blocks}".format(**row[family]) for family in TARGETS)
            errors = f"{100 * row['test_error']:.2f} % | {100 * row['float_test_error']:.2f} %"
            print(f"| {name} | {said} | {errors} | {row['exact_images']} | {sizes} |", flush=True)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
