"""A circuit unrolled over cycles, as terms for the solver Bitwuzla."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any

from ..tools import bitwuzla
from .circuit import Bits, Circuit

SELDOM = 64
"""Of the solver's questions whether to stop one is answered by the time."""


class TimeUpError(Exception):
    """The solver did not come to an end in the time it was given."""


_BINARY = {
    "add": "BV_ADD", "sub": "BV_SUB", "mul": "BV_MUL", "and": "BV_AND", "or": "BV_OR", "xor": "BV_XOR",
    "xnor": "BV_XNOR", "sll": "BV_SHL", "srl": "BV_SHR", "sra": "BV_ASHR", "concat": "BV_CONCAT", "not": "BV_NOT",
    "neg": "BV_NEG", "redor": "BV_REDOR", "redand": "BV_REDAND", "redxor": "BV_REDXOR", "eq": "BV_COMP",
    "read": "ARRAY_SELECT", "write": "ARRAY_STORE",
}  # fmt: skip
_COMPARISONS = {
    "ult": "BV_ULT", "ulte": "BV_ULE", "ugt": "BV_UGT", "ugte": "BV_UGE", "slt": "BV_SLT", "slte": "BV_SLE",
    "sgt": "BV_SGT", "sgte": "BV_SGE", "neq": "DISTINCT",
}  # fmt: skip


@dataclass
class _Deadline:
    """When the solver has to stop. It does not know the solver, which keeps it: neither would ever be given back."""

    at: float = 0.0
    asked: Iterator[int] = field(default_factory=count)

    def over(self) -> bool:
        """Asked every few microseconds, which is also what it costs to tell the processor's time."""
        return next(self.asked) % SELDOM == 0 and time.process_time() > self.at


@dataclass
class Unrolling:
    """Terms for the nodes of a circuit in each cycle from 0 on, where all registers hold anything.

    In cycle 0 the reset is high where it is `reset`, and never otherwise. A question may take `limit` seconds of the
    processor, however busy that is.
    """

    circuit: Circuit
    reset: bool
    limit: float
    _deadline: _Deadline = field(default_factory=_Deadline)
    _terms: dict[tuple[int, int], Any] = field(default_factory=dict)

    @cached_property
    def _lib(self) -> Any:
        return bitwuzla()

    @cached_property
    def _tm(self) -> Any:
        return self._lib.TermManager()

    @cached_property
    def _solver(self) -> Any:
        options = self._lib.Options()
        options.set(self._lib.Option.PRODUCE_MODELS, True)
        solver = self._lib.Bitwuzla(self._tm, options)
        solver.configure_terminator(self._deadline.over)
        return solver

    def term(self, node: int | Bits, cycle: int) -> Any:
        """The term of a node in a cycle."""
        node = node.node if isinstance(node, Bits) else node
        stack = [(node, cycle)]
        while stack:
            place, at = stack[-1]
            if (place, at) in self._terms:
                stack.pop()
                continue
            given = self.circuit.nodes[place]
            if given.op == "state" and at > 0 and place in self.circuit.next:
                wanted = [(self.circuit.next[place], at - 1)]
            else:
                wanted = [(arg, at) for arg in given.args]
            missing = [each for each in wanted if each not in self._terms]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            self._terms[place, at] = self._make(place, at, [self._terms[each] for each in wanted])
        return self._terms[node, cycle]

    def _make(self, place: int, cycle: int, args: list[Any]) -> Any:
        kind, tm, node = self._lib.Kind, self._tm, self.circuit.nodes[place]
        match node.op:
            case "state" if args:
                return args[0]
            case "input" if place == self.circuit.inputs.get("rst"):
                return tm.mk_bv_value(tm.mk_bv_sort(1), int(self.reset and cycle == 0))
            case "input" | "state":
                sort = tm.mk_bv_sort(node.width)
                if node.address:
                    sort = tm.mk_array_sort(tm.mk_bv_sort(node.address), sort)
                return tm.mk_const(sort, f"n{place}_{cycle}")
            case "const":
                return tm.mk_bv_value(tm.mk_bv_sort(node.width), node.data[0])
            case "slice":
                return tm.mk_term(kind.BV_EXTRACT, args, list(node.data))
            case "uext" | "sext":
                return tm.mk_term(kind.BV_ZERO_EXTEND if node.op == "uext" else kind.BV_SIGN_EXTEND, args, [*node.data])
            case "ite":
                one = tm.mk_bv_one(tm.mk_bv_sort(1))
                return tm.mk_term(kind.ITE, [tm.mk_term(kind.EQUAL, [args[0], one]), *args[1:]])
        if node.op in _BINARY:
            return tm.mk_term(getattr(kind, _BINARY[node.op]), args)
        if node.op in _COMPARISONS:
            bit = tm.mk_bv_sort(1)
            true = tm.mk_term(getattr(kind, _COMPARISONS[node.op]), args)
            return tm.mk_term(kind.ITE, [true, tm.mk_bv_one(bit), tm.mk_bv_zero(bit)])
        raise NotImplementedError(f"no term for {node.op}")

    def _is(self, term: Any, value: int) -> Any:
        tm = self._tm
        return tm.mk_term(self._lib.Kind.EQUAL, [term, tm.mk_bv_value(tm.mk_bv_sort(1), value)])

    def require(self, bit: Bits, cycle: int) -> None:
        """From now on the bit is 1 in the cycle."""
        self._solver.assert_formula(self._is(self.term(bit, cycle), 1))

    def find(self, wrong: Iterable[tuple[Bits, int]], given: Iterable[tuple[Bits, int]] = ()) -> bool:
        """Whether one of the bits `wrong` can be 0, each in its cycle, while all `given` are 1; `value` says how then.

        TimeUpError after `limit` seconds.
        """
        kind, terms = self._lib.Kind, [self._is(self.term(bit, cycle), 0) for bit, cycle in wrong]
        if not terms:
            return False
        goal = terms[0] if len(terms) == 1 else self._tm.mk_term(kind.OR, terms)
        self._deadline.at = time.process_time() + self.limit
        result = self._solver.check_sat(goal, *(self._is(self.term(bit, cycle), 1) for bit, cycle in given))
        if result == self._lib.Result.UNKNOWN:
            raise TimeUpError
        return bool(result == self._lib.Result.SAT)

    def value(self, node: Bits | int, cycle: int) -> int:
        """Of a word, after `find` has found something."""
        return int(self._solver.get_value(self.term(node, cycle)).value(10))
