"""A circuit run on many values at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .circuit import Circuit, Node

WIDEST = 62
"""Bits of what runs compute in integers of numpy, with room for a sign and a carry."""

Values = dict[int, NDArray[np.int64]]


class MemoryInsideError(Exception):
    """What is asked for hangs on a memory's words, which are not computed here."""


def _signed(name: str, width: int) -> str:
    return f"(({name} ^ {1 << width - 1}) - {1 << width - 1})"


Parity = TypeVar("Parity", int, NDArray[np.int64])


def parity(values: Parity, width: int) -> Parity:
    """Of words of so many bits."""
    far = 1 << (width - 1).bit_length()
    while far > 1:
        far //= 2
        values = values ^ values >> far
    return values & 1


def wide(values: ArrayLike) -> NDArray[np.object_]:
    """As Python's integers."""
    return np.asarray(values, object)


def _formula(node: Node, nodes: list[Node]) -> str:
    """An expression of int64 arrays for what a node gives, of its operands' arrays ``v0`` ..., as unsigned numbers."""
    a, b, c = ([f"v{place}" for place in node.args] + ["", "", ""])[:3]
    if node.width > WIDEST and node.op in ("concat", "uext", "sext", "sll"):
        a = f"wide({a})"
    mask = (1 << node.width) - 1
    width = nodes[node.args[0]].width if node.args else 0
    x, y = _signed(a, max(1, width)), _signed(b, max(1, width))
    match node.op:
        case "const":
            return str(node.data[0])
        case "slice":
            return f"{a} >> {node.data[1]} & {mask}"
        case "uext":
            return a
        case "sext":
            return f"{x} & {mask}"
        case "concat":
            return f"{a} << {nodes[node.args[1]].width} | {b}"
        case "add":
            return f"({a} + {b}) & {mask}"
        case "sub":
            return f"({a} - {b}) & {mask}"
        case "neg":
            return f"-{a} & {mask}"
        case "and":
            return f"{a} & {b}"
        case "or":
            return f"{a} | {b}"
        case "xor":
            return f"{a} ^ {b}"
        case "xnor":
            return f"{a} ^ {b} ^ {mask}"
        case "not":
            return f"{a} ^ {mask}"
        case "redor":
            return f"({a} != 0) * 1"
        case "redand":
            return f"({a} == {(1 << width) - 1}) * 1"
        case "redxor":
            return f"parity({a}, {width})"
        case "ite":
            return f"np.where({a}, {b}, {c})"
        case "eq" | "neq" | "ult" | "ulte" | "ugt" | "ugte":
            sign = {"eq": "==", "neq": "!=", "ult": "<", "ulte": "<=", "ugt": ">", "ugte": ">="}[node.op]
            return f"({a} {sign} {b}) * 1"
        case "slt" | "slte" | "sgt" | "sgte":
            sign = {"slt": "<", "slte": "<=", "sgt": ">", "sgte": ">="}[node.op]
            return f"({x} {sign} {y}) * 1"
        case "sll" | "srl" | "sra":
            # numpy shifts by 63 at the most; what is shifted out is 0, or the sign.
            by = f"np.minimum({b}, {max(63, node.width)})"
            if node.op == "sll":
                return f"np.where({b} < {node.width}, {a} << np.minimum({b}, {node.width}), 0) & {mask}"
            return f"({a if node.op == 'srl' else x} >> {by}) & {mask}"
    raise NotImplementedError(f"no formula for {node.op}")


@dataclass(frozen=True)
class Evaluator:
    """Computes the nodes `roots` of a circuit, of a cycle, from its inputs' and registers' values.

    contents : the words of memories, which decide nothing where they are not given
    """

    circuit: Circuit
    roots: tuple[int, ...]
    contents: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)

    @cached_property
    def leaves(self) -> list[int]:
        """Inputs and registers that the roots hang on, of the same cycle."""
        places = self.circuit.cone(self.roots, clocked=False)
        nodes = self.circuit.nodes
        return [place for place in places if nodes[place].op in ("input", "state") and place not in self.contents]

    @cached_property
    def _run(self) -> Callable[[Mapping[int, NDArray[np.int64]]], list[NDArray[np.int64]]]:
        nodes = self.circuit.nodes
        lines = ["def run(given):"]
        for place in self.circuit.cone(self.roots, clocked=False):
            node = nodes[place]
            if place in self.contents:
                continue
            if node.op == "read" and node.args[0] in self.contents:
                formula = f"contents[{node.args[0]}][v{node.args[1]}.astype(np.int64)]"
            elif node.address or node.op == "read":
                raise MemoryInsideError
            else:
                formula = f"given[{place}]" if node.op in ("input", "state") else _formula(node, nodes)
            lines.append(f"    v{place} = {formula}")
        lines.append(f"    return [{', '.join(f'v{place}' for place in self.roots)}]")
        scope: dict[str, Callable[[Mapping[int, NDArray[np.int64]]], list[NDArray[np.int64]]]] = {}
        exec("\n".join(lines), {"np": np, "parity": parity, "wide": wide, "contents": self.contents}, scope)
        return scope["run"]

    def __call__(self, given: Mapping[int, NDArray[np.int64]]) -> Values:
        """The roots' values, of as many cases as the arrays have; MemoryInsideError where a memory decides.

        Values of more than 62 bits come from arrays of Python's integers."""
        return dict(zip(self.roots, self._run(given), strict=True))


@dataclass(frozen=True)
class Steps:
    """A circuit of which one state follows another, with Python's integers, for long runs of few values."""

    circuit: Circuit
    roots: tuple[int, ...]

    @cached_property
    def states(self) -> list[int]:
        """The registers that the roots hang on."""
        return [place for place in self.circuit.cone(self.roots) if self.circuit.nodes[place].op == "state"]

    @cached_property
    def _run(self) -> Callable[[Mapping[int, int], Mapping[int, int]], tuple[list[int], list[int]]]:
        circuit, nodes = self.circuit, self.circuit.nodes
        following = [circuit.next[place] for place in self.states]
        lines = ["def run(states, given):"]
        for place in in_order(circuit, [*self.roots, *following]):
            node = nodes[place]
            if node.op == "ite":
                a, b, c = node.args
                formula = f"v{b} if v{a} else v{c}"
            elif node.op in ("state", "input"):
                formula = f"{'states' if node.op == 'state' else 'given'}[{place}]"
            else:
                formula = _formula(node, nodes)
            lines.append(f"    v{place} = {formula}")
        listed = (", ".join(f"v{place}" for place in places) for places in (following, self.roots))
        lines.append("    return " + ", ".join(f"[{each}]" for each in listed))
        scope: dict[str, Callable[[Mapping[int, int], Mapping[int, int]], tuple[list[int], list[int]]]] = {}
        exec("\n".join(lines), {"parity": parity, "wide": int}, scope)
        return scope["run"]

    def __call__(self, states: Mapping[int, int], given: Mapping[int, int]) -> tuple[dict[int, int], list[int]]:
        """The next states, and the roots in this cycle."""
        following, roots = self._run(states, given)
        return dict(zip(self.states, following, strict=True)), roots


def in_order(circuit: Circuit, roots: Iterable[int]) -> list[int]:
    """All nodes of a cycle that the roots hang on, operands first, in a circuit that was joined of others."""
    found: dict[int, None] = {}
    stack = list(roots)
    while stack:
        place = stack[-1]
        missing = [arg for arg in circuit.nodes[place].args if arg not in found]
        if missing:
            stack.extend(missing)
            continue
        found[place] = None
        stack.pop()
    return list(found)
