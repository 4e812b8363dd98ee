"""The operators of plain ONNX, on Values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...error import BadInput, short
from ...layers import BinaryConv, GlobalSum, MaxPool, Padding, SumPool
from ...tensor import Tensor
from .values import Reals, Value, add, magnitude, reals


@dataclass(frozen=True, eq=False)
class Node:
    """A node of a graph.

    Parameters
    ----------
    kind : the operator
    inputs : each a Value or a constant; None where it is left out
    attributes : by name; strings are bytes
    """

    kind: str
    inputs: Sequence[Value | NDArray[Any] | None]
    attributes: dict[str, Any]

    def has(self, index: int) -> bool:
        """Whether there is such an input."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def value(self, index: int = 0) -> Value:
        """An input that depends on the image."""
        found = self.inputs[index] if self.has(index) else None
        if not isinstance(found, Value):
            raise BadInput(f"its input {index} is a constant, or missing")
        return found

    def constant(self, index: int) -> NDArray[np.float64]:
        """An input that is the same for every image."""
        found = self.inputs[index] if self.has(index) else None
        if not isinstance(found, np.ndarray):
            raise BadInput(f"its input {index} must be a constant")
        return found.astype(np.float64)

    def text(self, name: str, usual: str) -> str:
        """An attribute that is a string."""
        found = self.attributes.get(name, usual)
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)


def each_channel(constant: NDArray[np.float64], t: Tensor, flat: bool) -> Reals:
    """One number a channel of what is broadcast to maps of this size, or to the same flattened."""
    rank = 2 if flat else 4
    shape = (1,) * (rank - constant.ndim) + constant.shape
    if len(shape) == rank and constant.size == 1:
        return np.full(t.channels, reals(constant.reshape(1))[0], np.object_)
    one = constant.size == t.channels and len(shape) == rank and shape[1] == t.channels
    if not one or (flat and t.pixels > 1):
        raise BadInput(f"its constant of the shape {list(constant.shape)} is not one number a channel")
    return reals(constant.reshape(t.channels))


def conv(node: Node) -> Value:
    value, weights = node.value(), node.constant(1)
    if value.flat or weights.ndim != 4:
        raise BadInput(f"its weights of the shape {list(weights.shape)} do not go with {_shape(value)}")
    if node.attributes.get("group", 1) != 1:
        raise BadInput("its channels come in groups; each output of a layer sees all of them")
    height, width = weights.shape[2:]
    stride, padding = _geometry(node, (height, width), value.tensor)
    return _product(node, value, weights, stride, padding)


def dense(node: Node) -> Value:
    """Gemm or MatMul, which is a convolution whose kernel is as large as the map."""
    value, weights = node.value(), node.constant(1)
    if node.attributes.get("alpha", 1.0) != 1 or node.attributes.get("beta", 1.0) != 1:
        raise BadInput("its alpha and its beta must be 1")
    t = value.tensor
    weights = weights if node.attributes.get("transB", 0) else weights.T
    if not value.flat or weights.ndim != 2 or weights.shape[1] != t.pixels * t.channels:
        raise BadInput(f"its weights of the shape {list(weights.shape)} do not go with {_shape(value)}")
    kernel = weights.reshape(len(weights), t.channels, t.height, t.width)
    return _product(node, value, kernel, 1, (0, 0, 0, 0))


def _product(node: Node, value: Value, weights: NDArray[np.float64], stride: int, padding: Padding) -> Value:
    """A convolution by weights [C_out, C_in, height, width], with the bias that is the node's third input."""
    value = value.centred() if any(padding) else value.plain()
    if weights.shape[1] != value.tensor.channels or not weights.size:
        raise BadInput(f"its weights expect {weights.shape[1]} channels, its input has {value.tensor.channels}")
    sizes = np.abs(weights).reshape(len(weights), -1)
    if (several := (sizes != sizes[:, :1]).any(1)).any():
        output = int(np.flatnonzero(several)[0])
        raise BadInput(
            f"its weights have {len(np.unique(sizes[output])):,} magnitudes in output {output}; 1-bit weights have "
            "one, as BipolarQuant gives them"
        )
    units = np.abs(value.factor)
    if (units != units[0]).any():
        raise BadInput("its input has a scale for each channel; a convolution's input has one for all of them")
    signs = weights >= 0
    scale = reals(sizes[:, 0])
    sums = 2 * signs.sum((2, 3), dtype=np.int64) - signs[0, 0].size
    offset = scale * (sums.astype(np.object_) @ value.offset)
    if node.has(2):
        bias = node.constant(2)
        if bias.shape != (len(weights),):
            raise BadInput(f"its bias of the shape {list(bias.shape)} is not one number an output")
        offset = offset + reals(bias)
    turned = signs ^ np.array([factor < 0 for factor in value.factor])[:, None, None]
    factor = scale * units[0]
    layer = BinaryConv(turned.transpose(0, 2, 3, 1), stride, padding, magnitude(factor) - value.tensor.frac)
    return Value(value.point.then(layer), factor, offset, flat=value.flat)


def norm(node: Node) -> Value:
    """BatchNormalization; its factor gamma / sqrt(variance + epsilon) is what 64-bit floats give."""
    value = node.value()
    if node.attributes.get("training_mode", 0):
        raise BadInput("it is in training mode; export the network in eval mode")
    if value.flat and value.tensor.pixels > 1:
        raise BadInput(f"it normalises each of {_shape(value)} apart; a layer does so by channel")
    gamma, beta, mean, variance = (node.constant(index) for index in range(1, 5))
    spread = variance + node.attributes.get("epsilon", 1e-5)
    if any(each.shape != (value.tensor.channels,) for each in (gamma, beta, mean, variance)) or (spread <= 0).any():
        raise BadInput("its parameters must be one number a channel, its variances above 0")
    factor = reals(gamma / np.sqrt(spread))
    return value.times(factor, reals(beta) - factor * reals(mean))


def affine(node: Node) -> Value:
    """Add, Sub, Mul or Div, of a value and a constant or of two values."""
    first = isinstance(node.inputs[0], Value)
    if first and isinstance(node.inputs[1], Value):
        if node.kind not in ("Add", "Sub"):
            raise BadInput("both its inputs depend on the image; no layer multiplies or divides these")
        one, other = node.value(0), node.value(1)
        return add(one, other if node.kind == "Add" else other.times(Fraction(-1)))
    value = node.value(0 if first else 1)
    constant = each_channel(node.constant(1 if first else 0), value.tensor, value.flat)
    match node.kind, first:
        case "Add", _:
            return value.times(Fraction(1), constant)
        case "Sub", True:
            return value.times(Fraction(1), -constant)
        case "Sub", False:
            return value.times(Fraction(-1), constant)
        case "Mul", _:
            return value.times(constant)
        case "Div", True if constant.all():
            return value.times(1 / constant)
    raise BadInput("it divides by 0" if first else "it divides by what depends on the image; no layer does")


def relu(node: Node) -> Value:
    return node.value().clipped(Fraction(0), None)


def clip(node: Node) -> Value:
    least, most = (Fraction(node.constant(index).item()) if node.has(index) else None for index in (1, 2))
    return node.value().clipped(least, most)


def average_pool(node: Node) -> Value:
    value = node.value().plain()
    kernel, stride, padding = _pool(node, value)
    valid = any(padding) and not node.attributes.get("count_include_pad", 0)
    if any(padding) and not valid:
        value = value.centred()
    pool = SumPool(kernel, stride, padding, valid=valid)
    factor = value.factor / math.prod(pool.divisors(value.tensor.height, value.tensor.width))
    pool = replace(pool, scale=magnitude(factor) - value.tensor.frac)
    return Value(value.point.then(pool), factor, value.offset)


def global_pool(node: Node) -> Value:
    """GlobalAveragePool; ReduceMean or ReduceSum over height and width."""
    value = node.value().plain()
    if node.kind != "GlobalAveragePool":
        axes = node.attributes.get("axes") or (node.constant(1).astype(int).tolist() if node.has(1) else [])
        if sorted(axis % 4 for axis in axes) != [2, 3]:
            raise BadInput(f"it reduces the axes {short(axes)}; a layer reduces 2 and 3, height and width")
    if value.flat:
        raise BadInput(f"it reduces {_shape(value)}; a layer reduces a map")
    pixels = value.tensor.pixels
    flat = node.kind != "GlobalAveragePool" and not node.attributes.get("keepdims", 1)
    sums = Value(value.point.then(GlobalSum()), value.factor, value.offset * pixels, flat=flat)
    return sums if node.kind == "ReduceSum" else sums.times(Fraction(1, pixels))


def max_pool(node: Node) -> Value:
    value = node.value().rising(always=True)
    return replace(value, point=value.point.then(MaxPool(*_pool(node, value))))


def reshape(node: Node) -> Value:
    """Flatten, or a Reshape that flattens a map or makes one of one pixel."""
    value = node.value()
    t = value.tensor
    size = [int(each) for each in node.constant(1).ravel()] if node.kind == "Reshape" else [0, -1]
    if node.attributes.get("axis", 1) != 1:
        raise BadInput("its axis must be 1")
    if len(size) == 2 and size[1] in (-1, t.pixels * t.channels):
        return replace(value, flat=True)
    if len(size) == 4 and size[1:] == [t.channels, t.height, t.width]:
        return replace(value, flat=False)
    raise BadInput(f"it makes {short(size)} of {_shape(value)}; a layer can only flatten it")


def same(node: Node) -> Value:
    """Identity, Dropout, or a Cast from float to float."""
    if node.kind == "Cast" and node.attributes["to"] not in FLOATS:
        raise BadInput("it makes integers of real numbers; a quantiser does")
    return node.value()


FLOATS = (1, 10, 11)
"""ONNX's numbers of the types of 32, 16 and 64 bits."""

OPERATORS: dict[str, Callable[[Node], Value]] = {
    "Conv": conv,
    "Gemm": dense,
    "MatMul": dense,
    "BatchNormalization": norm,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), affine),
    "Relu": relu,
    "Clip": clip,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    **dict.fromkeys(("GlobalAveragePool", "ReduceMean", "ReduceSum"), global_pool),
    **dict.fromkeys(("Flatten", "Reshape"), reshape),
    **dict.fromkeys(("Identity", "Dropout", "Cast"), same),
}
"""What each operator makes of its inputs."""


def _shape(value: Value) -> str:
    t = value.tensor
    size = (t.pixels * t.channels,) if value.flat else (t.channels, t.height, t.width)
    return f"[N, {', '.join(map(str, size))}]"


def _pool(node: Node, value: Value) -> tuple[int, int, Padding]:
    """Kernel, stride and padding of a pool."""
    kernel = node.attributes.get("kernel_shape", [])
    if value.flat or len(kernel) != 2 or kernel[0] != kernel[1]:
        raise BadInput(f"its kernel of {short(kernel)} on {_shape(value)} is not the square one that a layer has")
    return int(kernel[0]), *_geometry(node, (int(kernel[0]),) * 2, value.tensor)


def _geometry(node: Node, kernel: tuple[int, int], t: Tensor) -> tuple[int, Padding]:
    """Stride and padding of a window."""
    strides, dilations = (node.attributes.get(name, [1, 1]) for name in ("strides", "dilations"))
    if len(strides) != 2 or strides[0] != strides[1] or list(dilations) != [1, 1]:
        raise BadInput(
            f"its strides are {short(strides)}, its dilations {short(dilations)}; a layer has one stride alone"
        )
    stride, mode = int(strides[0]), node.text("auto_pad", "NOTSET")
    sizes = np.array([t.height, t.width])
    if mode.startswith("SAME"):
        before = after = np.maximum((-(-sizes // stride) - 1) * stride + np.array(kernel) - sizes, 0)
        before, after = (
            (before // 2, after - after // 2) if mode == "SAME_UPPER" else (before - before // 2, after // 2)
        )
    else:
        pads = node.attributes.get("pads", [0] * 4) if mode == "NOTSET" else [0] * 4
        before, after = np.array(pads[:2]), np.array(pads[2:])
    if node.attributes.get("ceil_mode", 0):  # a last window may begin on the map and end beyond it
        last = sizes + before + after - kernel
        beyond = np.where(last - last % -stride < sizes + before, -last % stride, 0)
        if beyond.any() and node.kind != "MaxPool":
            raise BadInput("its last window reaches beyond the map (ceil_mode); pad the map instead")
        after = after + beyond
    return stride, (int(before[0]), int(after[0]), int(before[1]), int(after[1]))
