"""QONNX graphs as Brevitas writes them, made with onnx alone, and what they compute in 64-bit floats."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

DOMAIN = "qonnx.custom_op.general"
"""Of QONNX's operators."""


def away(function, shift):
    """A rounding that treats both signs alike."""
    return lambda x: np.sign(x) * function(np.abs(x) + shift)


ROUNDING = {
    "ROUND": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": away(np.ceil, 0),
    "DOWN": np.fix,
    "HALF_UP": away(np.floor, 0.5),
    "HALF_DOWN": away(np.ceil, -0.5),
}


class _Quantiser(OpRun):
    op_domain = DOMAIN
    near: ClassVar[bool] = False
    """Whether a value has come so near to a level, without being it, that another order of operations may cross it."""

    def look(self, x, level):
        distance = np.abs(x - level)
        _Quantiser.near |= bool(((distance > 0) & (distance < 1e-9 * np.maximum(np.abs(level), 1e-3))).any())


class Quant(_Quantiser):
    def _run(self, x, scale, zero, bits, signed=1, narrow=0, rounding_mode="ROUND"):
        steps = x / scale + zero
        if bits == 1 and signed:
            self.look(steps, 0)
            return ((np.where(steps >= 0, 1.0, -1.0) - zero) * scale,)
        least = narrow - 2 ** (bits - 1) if signed else 0
        most = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
        self.look(2 * steps, np.round(2 * steps))
        return ((ROUNDING[rounding_mode](np.clip(steps, least, most)) - zero) * scale,)


class BipolarQuant(_Quantiser):
    def _run(self, x, scale):
        self.look(x, 0)
        return (np.where(x >= 0, 1.0, -1.0) * scale,)


class MultiThreshold(_Quantiser):
    def _run(self, x, thresholds, out_scale=1.0, out_bias=0.0, out_dtype="", data_layout="NCHW"):
        spread = np.moveaxis(x, 1, -1)[..., None]
        self.look(spread, thresholds)
        return (out_scale * np.moveaxis((spread >= thresholds).sum(-1), -1, 1) + out_bias,)


def run(model: ModelProto, x: np.ndarray) -> np.ndarray | None:
    """What the model gives, computed in 64-bit floats; None where these decide some code by their own rounding."""
    _Quantiser.near = False
    result = evaluate(model, x)
    return None if _Quantiser.near else result


def evaluate(model: ModelProto, x: np.ndarray) -> np.ndarray:
    """The same, however they round."""
    exact = ModelProto()
    exact.CopyFrom(model)
    for tensor in exact.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    session = ReferenceEvaluator(exact, new_ops=[Quant, BipolarQuant, MultiThreshold])
    [result] = session.run(None, {exact.graph.input[0].name: x})
    return result


class Graph:
    """A graph that grows node by node; methods return the name of what they add."""

    def __init__(self, *shape: int):
        self.nodes = []
        self.constants = []
        self.shape = [1, *shape]
        self.annotation = ""
        self.element = TensorProto.FLOAT

    def constant(self, value) -> str:
        """Whole numbers given as an array stay some; all else is float32."""
        whole = isinstance(value, np.ndarray) and value.dtype.kind == "i"
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, np.int64 if whole else np.float32), name))
        return name

    def add(self, kind: str, *inputs, domain: str = "", outputs: int = 1, **attributes) -> str:
        """A node; what is no name is a constant."""
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        name = f"/{kind}_{len(self.nodes)}"
        node = helper.make_node(kind, names, [f"{name}_output_0"], name, domain=domain, **attributes)
        self.nodes.append(node)
        return node.output[0]

    def quant(self, x, scale, bits, *, signed=1, narrow=0, zero=0.0, rounding="ROUND") -> str:
        attributes = {"narrow": narrow, "rounding_mode": rounding, "signed": signed}
        return self.add("Quant", x, scale, zero, float(bits), domain=DOMAIN, **attributes)

    def bipolar(self, x, scale=1.0) -> str:
        return self.add("BipolarQuant", x, scale, domain=DOMAIN)

    def multi_threshold(self, x, thresholds, **attributes) -> str:
        return self.add("MultiThreshold", x, thresholds, domain=DOMAIN, out_dtype="UINT8", **attributes)

    def conv(self, x, weights, scale=0.1, stride=1, pad=0, bias=None) -> str:
        """Weights [C_out, C_in, height, width], of which the signs count."""
        attributes = {
            "dilations": [1, 1],
            "group": 1,
            "kernel_shape": list(weights.shape[2:]),
            "pads": [pad] * 4,
            "strides": [stride] * 2,
        }
        extra = () if bias is None else (bias,)
        return self.add("Conv", x, self.bipolar(weights, np.reshape(scale, (-1, 1, 1, 1))), *extra, **attributes)

    def norm(self, x, gamma, beta, mean, variance) -> str:
        return self.add(
            "BatchNormalization", x, gamma, beta, mean, variance, epsilon=1e-5, momentum=0.9, training_mode=0
        )

    def relu(self, x, scale, bits) -> str:
        """As QuantReLU."""
        return self.quant(self.add("Relu", x), scale, bits, signed=0)

    def pool(self, kind, x, kernel, stride=None, pad=0, **attributes) -> str:
        strides, pads = [stride or kernel] * 2, [pad] * 4
        return self.add(kind, x, kernel_shape=[kernel] * 2, strides=strides, pads=pads, ceil_mode=0, **attributes)

    def dense(self, x, weights, scale=0.1, bias=None) -> str:
        """Weights [C_out, values]."""
        extra = () if bias is None else (bias,)
        return self.add("Gemm", x, self.bipolar(weights, scale), *extra, alpha=1.0, beta=1.0, transB=1)

    def model(self, output: str) -> ModelProto:
        """Ends with what has that name."""
        source = helper.make_tensor_value_info("input", self.element, self.shape)
        sink = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "main_graph", [source], [sink], self.constants)
        if self.annotation:
            entry = graph.quantization_annotation.add()
            entry.tensor_name = "input"
            entry.quant_parameter_tensor_names.add(key="finn_datatype", value=self.annotation)
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 2)]
        return helper.make_model(graph, opset_imports=opsets, producer_name="pytorch")
