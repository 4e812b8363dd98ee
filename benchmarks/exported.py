"""Every shipped network on its whole test set: logits of onnxruntime, from the exported model, against the reference.

    python benchmarks/exported.py --data DIR [--float] [NAME ...] [--json]

With --float their float twins as well, whose activations have 32 bits. The data sets are those that the networks'
cards name. Prints images, logits, logits that differ (none is the claim), and seconds of both.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

from bitfold.model import zoo
from bitfold.model.card import twin_path
from bitfold.model.imports.onnx import to_onnx
from bitfold.model.net import Net
from bitfold.model.train.data import open_data

BLOCK = 100


def measure(net: Net, data: str, folder: Path | None) -> dict[str, object]:
    """One network on the test images of a data set."""
    test = open_data(data, folder).test()
    model = to_onnx(net).SerializeToString()
    run = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run
    clocks = [0.0, 0.0]
    logits = differing = 0
    for start in range(0, len(test), BLOCK):
        images = test.batch(np.arange(start, min(start + BLOCK, len(test))))
        began = time.perf_counter()
        [theirs] = run(None, {"images": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})
        between = time.perf_counter()
        ours = net(images).reshape(len(images), -1)
        clocks[0] += between - began
        clocks[1] += time.perf_counter() - between
        logits += ours.size
        differing += int((theirs != ours).sum())
    seconds = {"onnxruntime": round(clocks[0], 1), "reference": round(clocks[1], 1)}
    return {"images": len(test), "logits": logits, "differing": differing, "seconds": seconds}


def main() -> int:
    """0 when no logit differs, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="*", help="of shipped networks; else all")
    parser.add_argument("--data", type=Path, help="where the data sets' official files are")
    parser.add_argument("--float", action="store_true", help="their float twins too")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = {}
    for name in args.names or zoo.names():
        path = zoo.path(name)
        for each in (path, *([twin_path(path)] if args.float and twin_path(path).exists() else [])):
            figures[each.name] = measure(Net.load(each), zoo.card(name).data, args.data)
            if not args.json:
                print(f"{each.name:28} {figures[each.name]}", flush=True)
    if args.json:
        print(json.dumps(figures))
    return int(any(each["differing"] for each in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
