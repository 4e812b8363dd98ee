"""A unit as equations over words of bits, read from Yosys, with what a proof adds to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Node:
    """A value: an operation of BTOR2 on earlier ones, `width` bits wide.

    Attributes
    ----------
    args : places of the operands among a circuit's nodes
    data : numbers of the operation itself: bits of a slice, of an extension, a constant's value
    address : of a memory, the bits of its address; 0 for a word
    """

    op: str
    width: int
    args: tuple[int, ...] = ()
    data: tuple[int, ...] = ()
    address: int = 0


@dataclass(frozen=True)
class Bits:
    """A value of a circuit, with the operators by which properties are written; numbers stand for constants."""

    circuit: Circuit
    node: int

    @property
    def width(self) -> int:
        return self.circuit.nodes[self.node].width

    def _other(self, other: Bits | int) -> Bits:
        return self.circuit.const(other, self.width) if isinstance(other, int) else other

    def _binary(self, op: str, other: Bits | int, width: int | None = None) -> Bits:
        return self.circuit.add(op, width or self.width, self, self._other(other))

    def __add__(self, other: Bits | int) -> Bits:
        return self._binary("add", other)

    def __sub__(self, other: Bits | int) -> Bits:
        return self._binary("sub", other)

    def __mul__(self, other: Bits | int) -> Bits:
        return self._binary("mul", other)

    def __and__(self, other: Bits | int) -> Bits:
        return self._binary("and", other)

    def __or__(self, other: Bits | int) -> Bits:
        return self._binary("or", other)

    def __invert__(self) -> Bits:
        return self.circuit.add("not", self.width, self)

    def equals(self, other: Bits | int) -> Bits:
        return self._binary("eq", other, 1)

    def __lt__(self, other: Bits | int) -> Bits:
        """Of unsigned numbers."""
        return self._binary("ult", other, 1)

    def less(self, other: Bits | int) -> Bits:
        """Of signed numbers."""
        return self._binary("slt", other, 1)

    def implies(self, other: Bits) -> Bits:
        return ~self | other

    def mux(self, one: Bits | int, other: Bits | int) -> Bits:
        """`one` where this bit is 1; at least one of both is no number."""
        like = one if isinstance(one, Bits) else other
        assert isinstance(like, Bits)
        return self.circuit.add("ite", like.width, self, like._other(one), like._other(other))

    def loads(self) -> tuple[Bits, Bits]:
        """Of a register that holds: when it takes another value than its own, and which."""
        circuit = self.circuit
        node = circuit.nodes[circuit.next[self.node]]
        assert node.op == "ite", "a register that holds"
        taken, one, other = (Bits(circuit, arg) for arg in node.args)
        return (taken, one) if other.node == self.node else (~taken, other)

    def bits(self, start: int, stop: int) -> Bits:
        return self.circuit.add("slice", stop - start, self, data=(stop - 1, start))

    def extend(self, width: int, signed: bool = False) -> Bits:
        if width == self.width:
            return self
        return self.circuit.add("sext" if signed else "uext", width, self, data=(width - self.width,))


@dataclass(eq=False)
class Circuit:
    """Nodes in an order in which operands come first, and what of them has a name.

    Attributes
    ----------
    inputs, outputs, states : nodes by name
    signals : nodes of named wires inside
    next : of each state the node of its next value
    depths : words of the memory that a named register or wire addresses
    """

    nodes: list[Node] = field(default_factory=list)
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    signals: dict[str, int] = field(default_factory=dict)
    next: dict[int, int] = field(default_factory=dict)
    depths: dict[str, int] = field(default_factory=dict)
    _known: dict[Node, int] = field(default_factory=dict)

    def insert(self, node: Node) -> int:
        """The place of a node; of an operation that is there already, its place."""
        known = self._known.get(node) if node.op not in ("input", "state") else None
        if known is None:
            known = self._known[node] = len(self.nodes)
            self.nodes.append(node)
        return known

    def add(self, op: str, width: int, *args: Bits, data: tuple[int, ...] = ()) -> Bits:
        return Bits(self, self.insert(Node(op, width, tuple(arg.node for arg in args), data)))

    def const(self, value: int, width: int) -> Bits:
        return Bits(self, self.insert(Node("const", width, data=(value % (1 << width),))))

    def concat(self, parts: Sequence[Bits]) -> Bits:
        """All in one word, the first in the lowest bits."""
        found, *rest = parts
        for part in rest:
            found = self.add("concat", found.width + part.width, part, found)
        return found

    def state(self, name: str, width: int) -> Bits:
        """A new register; `drive` gives its next value."""
        self.states[name] = self.insert(Node("state", width))
        return Bits(self, self.states[name])

    def input(self, name: str, width: int) -> Bits:
        """A new input."""
        self.inputs[name] = self.insert(Node("input", width))
        return Bits(self, self.inputs[name])

    def drive(self, state: Bits, value: Bits, init: Bits | int = 0) -> None:
        """Let a register that a proof has added take `value`, and `init` while the reset is high."""
        reset = self.inputs.get("rst")
        value = Bits(self, reset).mux(init, value) if reset is not None else value
        self.next[state.node] = value.node

    def __getitem__(self, name: str) -> Bits:
        """A register, a wire, an input or an output by name."""
        for named in (self.states, self.signals, self.inputs, self.outputs):
            if name in named:
                return Bits(self, named[name])
        raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        return any(name in named for named in (self.states, self.signals, self.inputs, self.outputs))

    def word(self, memory: int, row: Bits) -> Bits:
        """A word of a memory, by the low bits of its row; a register is a memory of one word."""
        node = self.nodes[memory]
        if not node.address:
            return Bits(self, memory)
        address = row.extend(max(row.width, node.address)).bits(0, node.address)
        return self.add("read", node.width, Bits(self, memory), address)

    def replaced(self, place: int, old: int, new: int) -> int:
        """A node of this cycle with another one wherever it hangs on `old`."""
        found = {old: new}
        for each in self.cone([place], clocked=False):
            node = self.nodes[each]
            if each not in found and any(found.get(arg, arg) != arg for arg in node.args):
                args = tuple(found.get(arg, arg) for arg in node.args)
                found[each] = self.insert(Node(node.op, node.width, args, node.data, node.address))
        return found.get(place, place)

    def all_of(self, bits: Iterable[Bits]) -> Bits:
        found = self.const(1, 1)
        for bit in bits:
            found = found & bit
        return found

    def cone(self, roots: Iterable[int], clocked: bool = True) -> list[int]:
        """All nodes that the roots hang on, operands first: `clocked` through registers, else of this cycle alone."""
        seen: set[int] = set()
        stack = list(roots)
        while stack:
            place = stack.pop()
            if place in seen:
                continue
            seen.add(place)
            stack.extend(self.nodes[place].args)
            if clocked and place in self.next:
                stack.append(self.next[place])
        return sorted(seen)

    def named_states(self) -> Mapping[int, str]:
        return {place: name for name, place in self.states.items()}


def read_btor(text: str) -> Circuit:
    """The circuit of a BTOR2 file, as Yosys writes it; initial values are left out, a reset gives those that count."""
    circuit = Circuit()
    sorts: dict[str, tuple[int, int]] = {}
    places: dict[str, int] = {}
    constants = {"const": 2, "constd": 10, "consth": 16}
    for number, words in _lines(text):
        op, *rest = words
        match op:
            case "sort":
                sorts[number] = (int(rest[1]), 0) if rest[0] == "bitvec" else (sorts[rest[2]][0], sorts[rest[1]][0])
                continue
            case "init":
                continue
            case "next":
                circuit.next[places[rest[1]]] = places[rest[2]]
                continue
            case "output":
                circuit.outputs[rest[1]] = places[rest[0]]
                continue
        width, address = sorts[rest[0]]
        match op:
            case "input" | "state":
                place = circuit.insert(Node(op, width, address=address))
                named = circuit.inputs if op == "input" else circuit.states
                named[rest[1] if len(rest) > 1 else f"#{number}"] = place
            case "const" | "constd" | "consth":
                place = circuit.insert(Node("const", width, data=(int(rest[1], constants[op]) % (1 << width),)))
            case "zero" | "one" | "ones":
                value = {"zero": 0, "one": 1, "ones": (1 << width) - 1}[op]
                place = circuit.insert(Node("const", width, data=(value,)))
            case "slice":
                place = circuit.insert(Node(op, width, (places[rest[1]],), (int(rest[2]), int(rest[3]))))
            case "uext" | "sext":
                more = int(rest[2])
                place = places[rest[1]]
                if more:
                    place = circuit.insert(Node(op, width, (place,), (more,)))
                if len(rest) > 3:
                    circuit.signals[rest[3]] = place
            case _:
                count = {"ite": 3, "write": 3}.get(op, 1 if op in _UNARY else 2)
                args = tuple(places[word] for word in rest[1 : count + 1])
                place = circuit.insert(Node(op, width, args, address=address))
                if len(rest) > count + 1:
                    circuit.signals[rest[count + 1]] = place
        places[number] = place
    wires = {place: name for name, place in (circuit.outputs | circuit.signals).items()}
    # A register behind a port has the port's name alone, or that of a wire.
    circuit.states = {
        wires.get(place, name) if name.startswith("#") else name: place for name, place in circuit.states.items()
    }
    return circuit


_UNARY = frozenset({"not", "neg", "inc", "dec", "redor", "redand", "redxor"})


def _lines(text: str) -> Iterator[tuple[str, list[str]]]:
    """Number and words of each line, without comments."""
    for line in text.splitlines():
        number, *words = line.split(";")[0].split() or [""]
        if number:
            yield number, words
