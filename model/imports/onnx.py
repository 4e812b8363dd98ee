"""A Net as plain ONNX, so that any runtime for it may judge the reference: integer operators alone.

A value between two operators is what the reference has there, as int32, or as int64 where its interval or a step on
the way needs it. Products are ConvInteger's: codes of 8 bits times +-1, summed in 32 bits; a value of more bits is
taken in bytes. All of these are exact by ONNX's definition, on whatever a runtime computes them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ..error import BadInput
from ..layers import (
    BinaryConv,
    Chain,
    GlobalSum,
    Layer,
    MaxPool,
    PadChannels,
    Padding,
    Pool,
    Requantise,
    Residual,
    Scale,
    SumPool,
    Table,
    padded_size,
)
from ..net import Net
from ..tensor import Tensor
from ..write import write_beside

IMAGES = "images"
LOGITS = "logits"

OPSET = 13
"""The oldest whose Clip, Max, Pad and ReduceSum are as they are used here, for integers; of 2020."""

IR_VERSION = 7
"""The file format of that time."""

Held: TypeAlias = type[np.int32 | np.int64]
"""What holds the values between two operators."""


def save(net: Net, path: str | os.PathLike[str]) -> int:
    """Write the network's model whole or not at all, and return how many operators it has.

    BadInput when it cannot be written, or where no model is exact, as `to_onnx` has it.
    """
    model = to_onnx(net)
    write_beside(path, model.SerializeToString(deterministic=True))
    return len(model.graph.node)


def to_onnx(net: Net) -> ModelProto:
    """The model that gives the network's logits, integer for integer.

    Its one input, ``images``, is [N, channels, height, width]: uint8 or int8 where one of them holds the interval of
    the network's input, else int32 or int64; a value outside the interval becomes the nearest inside, as in hardware.
    Its one output, ``logits``, is int32 or int64 [N, classes], or [N, channels, height, width] where a network gives a
    map. Operators are named after their layers: ``3.body.1/ConvInteger``. `metadata_props` hold what else is known:
    digest, classes (JSON), frac (a logit q stands for q * 2^-frac), input (the interval, JSON) and preprocessing.

    BadInput names a layer whose sums 32 bits do not hold: a fan-in beyond 8 million.
    """
    source, sink = net.input, net.output
    graph = _Graph()
    pixel = next(
        dtype
        for dtype in (np.uint8, np.int8, np.int32, np.int64)
        if np.iinfo(dtype).min <= source.lo and source.hi <= np.iinfo(dtype).max
    )
    x = graph.operator("Cast", IMAGES, to=_element(_held(source)))
    if (source.lo, source.hi) != (np.iinfo(pixel).min, np.iinfo(pixel).max):
        x = graph.clip(x, source.lo, source.hi, _held(source))
    y = graph.grow(net.body, x, source, "")
    flat = sink.pixels == 1
    graph.nodes.append(helper.make_node("Flatten" if flat else "Identity", [y], [LOGITS], LOGITS))
    shapes: list[list[str | int | None]] = [["N", t.channels, t.height, t.width] for t in (source, sink)]
    model: ModelProto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "bitfold",
            [helper.make_tensor_value_info(IMAGES, _element(pixel), shapes[0])],
            [helper.make_tensor_value_info(LOGITS, _element(_held(sink)), shapes[1][:2] if flat else shapes[1])],
            graph.constants,
        ),
        producer_name="bitfold",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    known = {
        "digest": net.digest(),
        "classes": json.dumps(net.classes, ensure_ascii=False),
        "frac": str(sink.frac),
        "input": json.dumps([source.lo, source.hi]),
        "preprocessing": net.preprocessing,
    }
    helper.set_model_props(model, known)
    return model


def _element(dtype: type[np.integer[Any]]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _held(t: Tensor) -> Held:
    """What holds the values of a tensor."""
    return _holding(t.lo, t.hi)


def _holding(*values: int) -> Held:
    """What holds all of these, which 64 bits do."""
    return np.int32 if all(-(2**31) <= value < 2**31 for value in values) else np.int64


class _Graph:
    """The operators of a network, on maps [N, channels, height, width].

    Attributes
    ----------
    nodes, constants : of the model, in order
    path : of the layer whose operators come next
    """

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.path = "input"
        self._names: dict[str, int] = {}
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def operator(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """One more; the name of what it gives, which is its own."""
        name = f"{self.path}/{kind}"
        count = self._names[name] = self._names.get(name, 0) + 1
        if count > 1:
            name += f"_{count}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def constant(self, value: int | Sequence[int] | NDArray[np.integer[Any]], dtype: type[np.integer[Any]]) -> str:
        array = np.ascontiguousarray(value, dtype).reshape(np.shape(value))
        key = array.dtype.name, array.shape, array.tobytes()
        if key not in self._known:
            self._known[key] = f"constant_{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def each_channel(self, values: int | NDArray[np.int64], dtype: Held) -> str:
        """A constant for each channel, or one for all."""
        return self.constant(np.reshape(values, (-1, 1, 1)), dtype)

    def cast(self, x: str, of: Held, to: Held) -> str:
        return x if of is to else self.operator("Cast", x, to=_element(to))

    def clip(self, x: str, lo: int, hi: int, dtype: Held) -> str:
        """Clip; of int64 Less and Where, since on x86 onnxruntime's Clip compares those wrongly (its issue 25280)."""
        least, most = self.constant(lo, dtype), self.constant(hi, dtype)
        if dtype is np.int32:
            return self.operator("Clip", x, least, most)
        x = self.larger(x, least, dtype)
        return self.operator("Where", self.operator("Less", most, x), most, x)

    def larger(self, x: str, y: str, dtype: Held) -> str:
        """Max; of int64 Less and Where, for the same reason."""
        if dtype is np.int32:
            return self.operator("Max", x, y)
        return self.operator("Where", self.operator("Less", x, y), y, x)

    def pads(self, pad: Padding, channels: int = 0) -> str:
        top, bottom, left, right = pad
        return self.constant([0, 0, top, left, 0, channels, bottom, right], np.int64)

    def grow(self, layer: Layer, x: str, t: Tensor, path: str) -> str:
        """The operators of a layer on x, `t` its type; the name of what they give, held as the layer's type wants."""
        dot = path + "." if path else ""
        match layer:
            case Chain(layers):
                for index, inner in enumerate(layers):
                    x = self.grow(inner, x, t, f"{dot}{index}")
                    t = inner.infer(t)
                return x
            case Residual(body, skip):
                branches = [self.grow(body, x, t, dot + "body"), self.grow(skip, x, t, dot + "skip")]
                self.path = path
                return self.add(layer, branches, [body.infer(t), skip.infer(t)])
        self.path = path
        match layer:
            case BinaryConv():
                return self.conv(layer, x, t)
            case Requantise():
                return self.requantise(layer, x, t)
            case Scale(factors):
                wide = _held(layer.infer(t))
                # A factor that 32 bits hold but its product does not is taken to where the product is.
                return self.operator("Mul", self.cast(x, _held(t), wide), self.each_channel(factors, wide))
            case Table(values, lo):
                place = self.operator("Sub", x, self.constant(lo, _held(t)))
                return self.operator("Gather", self.constant(values, _held(layer.infer(t))), place, axis=0)
            case SumPool() | MaxPool():
                return self.pool(layer, x, t)
            case GlobalSum():
                return self.total(x, t, _held(layer.infer(t)))
            case PadChannels(channels):
                x = self.cast(x, _held(t), _held(layer.infer(t)))
                return self.operator("Pad", x, self.pads((0, 0, 0, 0), channels))
        raise BadInput(f"layer {path} ({type(layer).__name__}): ONNX export has no operators for this kind of layer")

    def conv(self, layer: BinaryConv, x: str, t: Tensor) -> str:
        """ConvInteger of x's codes, byte by byte, the highest first.

        The sums of the higher bytes, times 256, are never further from 0 than the result may be but for a byte's own
        sum, so `wide` holds them too.
        """
        byte = 255 * layer.fan_in
        if byte >= 2**31:
            raise BadInput(
                f"layer {self.path} (BinaryConv): the sums of {layer.fan_in:,} bytes do not fit the 32 bits that "
                f"ONNX's ConvInteger has for them; a layer that is exported has a fan-in of at most {2**31 // 255:,}"
            )
        sink, held = layer.infer(t), _held(t)
        wide = _holding(sink.lo - byte, sink.hi + byte)
        top, bottom, left, right = layer.padding
        # +-1 as 2 and 0 around 1: unsigned weights are what every version of onnxruntime's ConvInteger takes.
        weights = self.constant(np.where(layer.weights, 2, 0).transpose(0, 3, 1, 2), np.uint8)
        one = self.constant(1, np.uint8)

        def products(codes: str, zero: int) -> str:
            """Of codes of 8 bits, among which `zero` stands for 0."""
            inputs = self.operator("Cast", codes, to=TensorProto.UINT8), weights, self.constant(zero, np.uint8), one
            pads = [top, left, bottom, right]
            return self.operator("ConvInteger", *inputs, strides=[layer.stride] * 2, pads=pads)

        parts = []
        lo, hi = min(t.lo, 0), max(t.hi, 0)
        while hi - lo > 255:
            base = self.constant(256, held)
            low = self.operator("Mod", x, base)
            parts.append(products(low, 0))
            x = self.operator("Div", self.operator("Sub", x, low), base)
            lo, hi = lo >> 8, hi >> 8
        y = products(self.operator("Add", x, self.constant(-lo, held)), -lo)
        y = self.cast(y, np.int32, wide if parts else _held(sink))
        for part in reversed(parts):
            higher = self.operator("Mul", y, self.constant(256, wide))
            y = self.operator("Add", higher, self.cast(part, np.int32, wide))
        return self.cast(y, wide, _held(sink)) if parts else y

    def requantise(self, layer: Requantise, x: str, t: Tensor) -> str:
        """Division by 2^shift of what Mod has made divisible, which rounds down as a shift does."""
        addend = np.asarray(layer.addend, np.int64)
        least, most = t.lo + int(addend.min()), t.hi + int(addend.max())
        left, right = max(0, -layer.shift), max(0, layer.shift)
        ends = t.lo, t.hi, int(addend.min()), int(addend.max()), least << left, most << left, 1 << right
        wide = _holding(*ends, layer.lo, layer.hi)
        y = self.cast(x, _held(t), wide)
        if addend.any():
            y = self.operator("Add", y, self.each_channel(addend, wide))
        if left:
            y = self.operator("Mul", y, self.constant(1 << left, wide))
        if right:
            unit = self.constant(1 << right, wide)
            y = self.operator("Div", self.operator("Sub", y, self.operator("Mod", y, unit)), unit)
        y = self.clip(y, layer.lo, layer.hi, wide)
        return self.cast(y, wide, _holding(layer.lo, layer.hi))

    def add(self, layer: Residual, branches: list[str], types: list[Tensor]) -> str:
        """The sum of both, clipped."""
        ends = [sum(t.lo for t in types), sum(t.hi for t in types), layer.lo, layer.hi]
        wide = _holding(*ends, *(end for t in types for end in (t.lo, t.hi)))
        total = self.operator("Add", *(self.cast(x, _held(t), wide) for x, t in zip(branches, types, strict=True)))
        return self.cast(self.clip(total, layer.lo, layer.hi, wide), wide, _holding(layer.lo, layer.hi))

    def pool(self, layer: Pool, x: str, t: Tensor) -> str:
        """What windows are joined to: down the columns, then along the rows."""
        held = _held(layer.infer(t))
        x = self.cast(x, _held(t), held)
        if any(layer.padding):
            around = np.iinfo(held).min if isinstance(layer, MaxPool) else 0
            x = self.operator("Pad", x, self.pads(layer.padding), self.constant(around, held))
        for axis, size in zip((2, 3), padded_size(t, layer.padding), strict=True):
            end = (size - layer.kernel) // layer.stride * layer.stride + 1
            cut = [self.constant([axis], np.int64), self.constant([layer.stride], np.int64)]
            neighbours = [
                self.operator("Slice", x, *(self.constant([at], np.int64) for at in (first, first + end)), *cut)
                for first in range(layer.kernel)
            ]
            x = reduce(lambda one, other: self.join(layer, one, other, held), neighbours)
        if isinstance(layer, SumPool) and layer.valid:
            rows, columns = layer.factors(t.height, t.width)
            x = self.operator("Mul", x, self.constant(rows[:, None] * columns, held))
        return x

    def join(self, layer: Pool, one: str, other: str, held: Held) -> str:
        if isinstance(layer, SumPool):
            return self.operator("Add", one, other)
        return self.larger(one, other, held)

    def total(self, x: str, t: Tensor, wide: Held) -> str:
        """The sum of a map: ReduceSum; of int64 MatMul with ones, since onnxruntime's ReduceSum adds doubles there."""
        x = self.cast(x, _held(t), wide)
        if wide is np.int32:
            return self.operator("ReduceSum", x, self.constant([2, 3], np.int64), keepdims=1)
        flat = self.operator("Reshape", x, self.constant([0, 0, -1], np.int64))
        total = self.operator("MatMul", flat, self.constant(np.ones((t.pixels, 1), np.int64), np.int64))
        return self.operator("Reshape", total, self.constant([0, 0, 1, 1], np.int64))
