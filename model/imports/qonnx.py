"""QONNX, as Brevitas writes it, to a Net: 1-bit weights, activations of 1 to 8 bits, series-parallel graphs.

Scales, biases and batch normalisations are carried along as fractions, exactly, until a quantiser asks for integers:
its steps are then thresholds on the integers before it, and the Scale and Requantise that have the same ones are
found (``graphs.staircase``). docs/onnx.md says what is rounded all the same.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper
from onnx.external_data_helper import load_external_data_for_model
from onnx.reference import ReferenceEvaluator

from ..error import BadInput, short
from ..net import Net
from ..read import read_bytes
from ..tensor import Tensor
from .graphs.operators import OPERATORS, Node
from .graphs.quantisers import QUANTISERS, codes, quantised
from .graphs.values import Point, Value, magnitude, to_logits

MOST_BYTES = 2**31
"""Protobuf's own limit."""

PREPARING = ("Add", "Sub", "Mul", "Div", "BatchNormalization", "Identity", "Cast", "Dropout")
"""What may stand before the first quantiser: it prepares images, which is left to who gives them."""

FLATTENING = ("Flatten", "Reshape")

FOLDED = (
    "Identity", "Cast", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Concat", "Gather",
    "Add", "Sub", "Mul", "Div", "Neg", "Pow", "Sqrt",
)  # fmt: skip
"""Operators that are computed where all their inputs are constants."""

MISFITS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What Python, numpy and onnx raise where tensors and attributes are not what an operator takes."""


def load(path: str | os.PathLike[str]) -> Net:
    """The network of integers that a QONNX file describes; BadInput names the node that no layer can say."""
    raw = read_bytes(path, "a QONNX model", MOST_BYTES)
    model = ModelProto()
    try:
        model.ParseFromString(raw)
        load_external_data_for_model(model, str(Path(path).parent))
    except (DecodeError, checker.ValidationError, ValueError, OSError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise BadInput(f"{os.fspath(path)} is not a whole ONNX model ({reason}); export it again") from None
    try:
        return from_qonnx(model)
    except BadInput as error:
        raise BadInput(f"{os.fspath(path)}: {error}") from None


def from_qonnx(model: ModelProto) -> Net:
    """The same of a model in memory."""
    try:
        with np.errstate(all="ignore"):  # what is no number is refused where it is used
            return _Graph(model).net()
    except BadInput:
        raise
    except MISFITS as error:
        raise BadInput(f"its parts do not go together: {short(str(error))}") from None


class _Graph:
    """A QONNX graph: its constants, and its values as far as they are known.

    Attributes
    ----------
    nodes : those that the output needs and that are no constants, in order
    uses : how many of these take a value
    root : the Net's input
    preprocessing : what the integers there are
    """

    def __init__(self, model: ModelProto):
        graph = model.graph
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.values: dict[str, Value] = {}
        inputs = [each for each in graph.input if each.name not in self.constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise BadInput(f"it has {len(inputs)} inputs and {len(graph.output)} outputs; a network has one of each")
        self.source, self.sink = inputs[0], graph.output[0].name
        wanted = {self.sink}
        needed: list[NodeProto] = []
        for node in reversed(graph.node):
            if wanted & set(node.output):
                wanted |= set(node.input)
                needed.append(node)
        self.nodes = [node for node in reversed(needed) if not self.fold(node)]
        if self.sink in self.constants:
            raise BadInput(f"its output {short(self.sink)} does not depend on its input {short(self.source.name)}")
        self.uses = Counter(name for node in self.nodes for name in node.input) + Counter([self.sink])
        self.annotated = next(
            (
                pair.value
                for entry in graph.quantization_annotation
                for pair in entry.quant_parameter_tensor_names
                if entry.tensor_name == self.source.name and pair.key == "finn_datatype"
            ),
            "",
        )
        self.root, self.preprocessing = Point(Tensor(1, 1, 1, 0, 0)), ""

    def net(self) -> Net:
        for node in self.begin():
            with _telling(node):
                self.keep(node.output[0], self.grow(node))
        logits = to_logits(self.values[self.sink])
        return Net(self.root.tensor, logits.since(self.root), preprocessing=self.preprocessing)

    def keep(self, name: str, value: Value) -> None:
        self.values[name] = value
        value.point.shared |= self.uses[name] > 1

    def fold(self, node: NodeProto) -> bool:
        """Whether a node gives a constant, which is then known."""
        made = node.attribute[0].t if node.op_type == "Constant" and len(node.attribute) == 1 else None
        names = [name for name in node.input if name]
        if made is not None and node.attribute[0].name == "value":
            self.constants[node.output[0]] = numpy_helper.to_array(made)
            return True
        if not names or any(name not in self.constants for name in names):
            return False
        inputs = [self.constants[name] for name in names]
        with _telling(node):
            if node.op_type in QUANTISERS:
                self.constants[node.output[0]] = quantised(Node(node.op_type, inputs, _attributes(node)))
                return True
            if node.op_type not in FOLDED:
                raise BadInput("of constants, this operator is not computed")
            [found] = ReferenceEvaluator(node).run(None, dict(zip(names, inputs, strict=True)))
        self.constants[node.output[0]] = np.asarray(found)
        return True

    def begin(self) -> list[NodeProto]:
        """Make the Net's input: the nodes behind it."""
        size = [each.dim_value for each in self.source.type.tensor_type.shape.dim]
        if len(size) not in (2, 4) or not all(size[1:]):
            raise BadInput(
                f"its input has the shape {short(size)}; it must be [N, channels, height, width] or [N, values], "
                "all of them numbers but N"
            )
        interval = _interval(self.annotated, self.source.type.tensor_type.elem_type)
        height, width = size[2:] or (1, 1)
        source = Point(Tensor(height, width, size[1], *(interval or (0, 0))))
        ones = np.full(size[1], Fraction(1), np.object_)
        pixels = Value(source, ones, ones * 0, flat=len(size) == 2)
        if interval:
            self.root = pixels.point
            self.preprocessing = f"integers from {interval[0]} to {interval[1]}, as the model's input takes them"
            self.keep(self.source.name, pixels)
            return self.nodes
        rest = list(self.nodes)
        first, pixels = self.first_quantiser(rest, pixels)
        with _telling(first):
            found = codes(self.node(first), pixels.tensor, pixels.flat)
        lowest, highest = found.interval
        self.root = Point(replace(pixels.tensor, lo=lowest, hi=highest, frac=magnitude(found.factor)))
        factor, offset = found.factor[0], found.offset[0]
        several = (found.factor != factor).any() or (found.offset != offset).any()
        real = "" if several else f" for {float(factor):.9g} c{f' {float(offset):+.9g}' if offset else ''}"
        self.preprocessing = (
            f"whole numbers c from {lowest} to {highest}, the codes that node {_name(first)} ({first.op_type}) "
            f"gives{real}"
        )
        self.keep(first.output[0], replace(pixels, point=self.root, factor=found.factor, offset=found.offset))
        return rest

    def first_quantiser(self, rest: list[NodeProto], pixels: Value) -> tuple[NodeProto, Value]:
        """The quantiser behind the graph's input, and what it takes, perhaps flattened.

        It and what prepares images for it is taken from the rest.
        """
        name = self.source.name
        while True:
            users = [node for node in rest if name in node.input]
            if len(users) != 1 or users[0].op_type not in (*QUANTISERS, *PREPARING, *FLATTENING):
                kinds = " and ".join(sorted({user.op_type for user in users})) or "its output"
                raise BadInput(
                    f"its input {short(self.source.name)} reaches {kinds} before a quantiser, so nothing says which "
                    "integers it has: begin with a Quant (QuantIdentity), or annotate it as UINT8"
                )
            [user] = users
            rest.remove(user)
            if user.op_type in QUANTISERS:
                return user, pixels
            if user.op_type in FLATTENING:
                self.values[name] = pixels
                with _telling(user):
                    pixels = OPERATORS[user.op_type](self.node(user))
            name = user.output[0]

    def grow(self, node: NodeProto) -> Value:
        """What a node gives."""
        known = self.node(node)
        if node.op_type in QUANTISERS:
            value = known.value().rising()
            return codes(known, value.tensor, value.flat).of(value)
        if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx"):
            raise BadInput("no layer computes this operator")
        return OPERATORS[node.op_type](known)

    def node(self, node: NodeProto) -> Node:
        """A node with its inputs."""
        inputs = [self.values.get(name, self.constants.get(name)) for name in node.input]
        return Node(node.op_type, inputs, _attributes(node))


@contextmanager
def _telling(node: NodeProto) -> Iterator[None]:
    """BadInput says which node it is about; so it does where a node's inputs and attributes do not go together."""
    try:
        yield
    except BadInput as error:
        raise BadInput(f"node {_name(node)} ({node.op_type}): {error}") from None
    except MISFITS as error:
        wrong = f"its inputs and attributes do not go together: {short(str(error))}"
        raise BadInput(f"node {_name(node)} ({node.op_type}): {wrong}") from None


def _name(node: NodeProto) -> str:
    return short(node.name or node.output[0])[1:-1]


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _interval(annotated: str, element: int) -> tuple[int, int] | None:
    """The integers that a graph's input takes, by FINN's name of their type or ONNX's number; None for real ones."""
    for signed, prefix in ((False, "UINT"), (True, "INT")):
        bits = annotated.removeprefix(prefix)
        if bits != annotated and bits.isdecimal() and 1 <= int(bits) <= 32:
            count = 2 ** int(bits)
            return (-count // 2, count // 2 - 1) if signed else (0, count - 1)
    if annotated == "BINARY":
        return 0, 1
    if element in (TensorProto.UINT8, TensorProto.INT8):
        return (0, 255) if element == TensorProto.UINT8 else (-128, 127)
    return None
