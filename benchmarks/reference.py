"""Speed of the exact reference beside onnxruntime's fp32, one thread each, on the same network and images.

    python benchmarks/reference.py [--depth 20] [--width 4] [--batch 64] [--rounds 5] [--json]

A ratio is images per second of the reference over those of onnxruntime, the median over rounds in which both
are measured one after the other; the seconds are the processor's, so that a busy machine does not count.
onnxruntime runs two forms of the network: `plain`, an operation for each step of each layer, and `folded`,
where rounding constants and shifts have moved into the convolutions. Both libraries choose their kernels for
the processor: variables that pin OpenBLAS to another one are dropped.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from bitfold.model.layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    Layer,
    PadChannels,
    Requantise,
    Residual,
    SumPool,
)
from bitfold.model.net import Net
from bitfold.model.networks import wide_resnet


class Onnx:
    """Writes a Net as fp32 operations on [N, C, H, W]."""

    def __init__(self, net: Net, folded: bool):
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.folded = folded
        last = self.layer(net.body, "images")
        source = helper.make_tensor_value_info(
            "images", TensorProto.FLOAT, ["N", net.input.channels, net.input.height, net.input.width]
        )
        result = helper.make_tensor_value_info(last, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "net", [source], [result], self.constants)
        self.model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        self.model.ir_version = 9

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value: object, dtype: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def conv(self, layer: BinaryConv, x: str, step: Requantise | None = None) -> str:
        weights = np.where(layer.weights, 1.0, -1.0).transpose(0, 3, 1, 2)
        inputs = [x, self.constant(weights * 2.0 ** -(step.shift if step else 0))]
        if step:
            inputs.append(self.constant(np.broadcast_to(step.addend, len(weights)) * 2.0**-step.shift))
        top, bottom, left, right = layer.padding
        return self.op("Conv", *inputs, strides=[layer.stride] * 2, pads=[top, left, bottom, right])

    def clip(self, layer: Requantise | Residual, x: str) -> str:
        return self.op("Clip", x, self.constant(layer.lo), self.constant(layer.hi))

    def layer(self, layer: Layer, x: str) -> str:
        match layer:
            case Chain(layers):
                rest = list(layers)
                while rest:
                    match rest:
                        case [BinaryConv() as conv, Requantise() as step, *rest] if self.folded:
                            x = self.conv(conv, x, step)
                            x = self.clip(step, self.op("Floor", x) if step.shift > 0 else x)
                        case [first, *rest]:
                            x = self.layer(first, x)
                return x
            case BinaryConv():
                return self.conv(layer, x)
            case Requantise():
                if np.any(layer.addend):
                    x = self.op("Add", x, self.constant(np.reshape(layer.addend, (-1, 1, 1))))
                if layer.shift:
                    x = self.op("Mul", x, self.constant(2.0**-layer.shift))
                return self.clip(layer, self.op("Floor", x) if layer.shift > 0 else x)
            case SumPool(kernel, stride, (top, bottom, left, right)):
                pads = [top, left, bottom, right]
                mean = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "count_include_pad": 1}
                return self.op("Mul", self.op("AveragePool", x, pads=pads, **mean), self.constant(kernel**2))
            case GlobalSum():
                return self.op("ReduceSum", x, self.constant([2, 3], np.int64))
            case PadChannels(channels):
                return self.op("Pad", x, self.constant([0, 0, 0, 0, 0, channels, 0, 0], np.int64))
            case Residual(body, skip):
                return self.clip(layer, self.op("Add", self.layer(body, x), self.layer(skip, x)))


def session(net: Net, folded: bool) -> Callable[[np.ndarray], np.ndarray]:
    """fp32 images [N, C, H, W] to logits [N, classes, 1, 1], in one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = Onnx(net, folded).model.SerializeToString()
    run = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run
    return lambda images: run(None, {"images": images})[0]


def measure(net: Net, batch: int, rounds: int) -> dict[str, object]:
    """Images per second of the three, the two ratios, and the logits of onnxruntime that are the integers."""
    t = net.input
    images = np.random.default_rng(0).integers(t.lo, t.hi, (batch, *t.shape), t.dtype, endpoint=True)
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
    plain, folded = session(net, folded=False), session(net, folded=True)
    runs = {
        "reference": lambda: net(images),
        "plain": lambda: plain(planes),
        "folded": lambda: folded(planes),
    }

    logits = {name: run() for name, run in runs.items()}
    exact = logits.pop("reference").transpose(0, 3, 1, 2)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            run()
            rates[name].append(batch / (time.process_time() - start))

    def ratio(name: str) -> float:
        pairs = zip(rates["reference"], rates[name], strict=True)
        return round(statistics.median(ours / theirs for ours, theirs in pairs), 3)

    return {
        "images_per_second": {name: round(statistics.median(rate), 1) for name, rate in rates.items()},
        "ratio": {"plain": ratio("plain"), "folded": ratio("folded")},
        "logits": exact.size,
        "equal_logits": {name: int((exact == values).sum()) for name, values in logits.items()},
    }


def alone() -> None:
    """Start this program again if BLAS has not been told, before it was loaded, to use one thread."""
    threads = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    pins = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    if any(os.environ.get(name) != "1" for name in threads) or any(pin in os.environ for pin in pins):
        kept = {name: value for name, value in os.environ.items() if name not in pins}
        os.execve(sys.executable, sys.orig_argv, kept | dict.fromkeys(threads, "1"))


def main() -> int:
    """0 when onnxruntime's logits are the reference's integers, 1 when some are not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("depth", 20), ("width", 4), ("batch", 64), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    alone()
    net = wide_resnet(args.depth, args.width)
    figures = {
        "network": f"wide ResNet {args.depth}-{args.width}",
        "weights": net.weights,
        "batch": args.batch,
    }
    figures |= measure(net, args.batch, args.rounds)
    if args.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:18} {value}")
    return int(any(equal < figures["logits"] for equal in figures["equal_logits"].values()))


if __name__ == "__main__":
    sys.exit(main())
