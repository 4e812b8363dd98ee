"""Reading the streams between the stages back from a waveform, and naming the first value that differs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from vcd.reader import TokenKind, tokenize

from ..hw.build import Tap
from ..model.layers import trace
from ..model.net import Net
from ..model.tensor import Ints


@dataclass
class Stream:
    """What one stream did: its transfers in order, and the state of its handshake at the end.

    A word is None when the simulator did not know all of its bits.
    """

    words: list[int | None] = field(default_factory=list)
    valid: bool = False
    ready: bool = False


OUTPUT, CLASS = "output", "class"
"""In the place of a layer where what leaves the machine differs: a logit though no stage does, a class alone."""


@dataclass(frozen=True)
class Difference:
    """The first value that is not the reference's; `actual` is None for unknown bits.

    `layer` is the path in `model.layers.trace` of the stage's first layer, or OUTPUT when every stage is
    right and what leaves the machine is not; `kind` names the classes of all layers of the stage. The
    position is in the output of the stage.
    """

    layer: str
    kind: str
    image: int
    row: int
    column: int
    channel: int
    expected: int
    actual: int | None

    def moved(self, by: int) -> Difference:
        """The same where images are counted from elsewhere."""
        return replace(self, image=self.image + by)

    def __str__(self) -> str:
        where = f"layer {self.layer} ({self.kind})" if self.kind else f"the {self.layer}"
        actual = "unknown bits" if self.actual is None else self.actual
        return (
            f"{where} is the first that differs: image {self.image}, row {self.row}, column {self.column}, "
            f"channel {self.channel}: expected {self.expected}, the hardware gives {actual}"
        )


PARTS = ("valid", "ready", "codes")
"""The signals of a stream."""


TOP = "bitfold"
"""The module around the accelerator in a generated Verilog."""


def signals(names: Iterable[str]) -> list[str]:
    """The signals of the streams `names`."""
    return [f"{name}_{part}" for name in names for part in PARTS]


def expose(verilog: str, paths: Iterable[str]) -> str:
    """A generated Verilog text whose waveforms, in Verilator, show the signals at `paths` and nothing else.

    A path leads from the top module through instances to a signal: "accelerator.layer_1.window.valid". KeyError names
    one that leads nowhere. A whole waveform is a hundred times larger.
    """
    on, off = "/* verilator tracing_on */", "/* verilator tracing_off */"
    modules = {m[1]: m.span() for m in re.finditer(r"^module (\S+) ?\(.*?^endmodule$", verilog, re.M | re.S)}
    shown: set[tuple[int, int]] = set()
    for path in paths:
        *instances, signal = map(re.escape, path.split("."))
        module = TOP
        for instance in instances:
            found = re.compile(rf"^ *(\S+) +{instance} +\(.*?\);$", re.M | re.S).search(verilog, *modules[module])
            if not found:
                raise KeyError(f"the Verilog has no {path}")
            shown.add(found.span())
            module = found[1]
        declaration = re.compile(rf"^ *(?:input|output|wire|reg) (?:\[\d+:0\] )?{signal}(?: = .*)?;$", re.M)
        declared = {m.span() for m in declaration.finditer(verilog, *modules[module])}
        if not declared:
            raise KeyError(f"the Verilog has no {path}")
        shown |= declared
    parts, at = [f"{off}\n"], 0
    for start, end in sorted(shown):
        parts += [verilog[at:start], on, verilog[start:end], off]
        at = end
    return "".join([*parts, verilog[at:]])


def rising_edges(
    vcd: Path, wanted: Collection[str], clock: str = "clk"
) -> Iterator[tuple[Mapping[str, int | str], Collection[str]]]:
    """At each rising edge of `clock`: what stood on the wanted signals just before, and which changed since the last.

    A signal is wanted by its name or by the end of its path, "layer_1.window.valid", in any scope; a scalar holds a
    digit, a vector an integer or, with unknown bits, a text. Both are the same objects each time. KeyError names a
    signal that the waveform lacks.
    """
    ends: dict[str, list[str]] = {}
    for name in {clock, *wanted}:
        ends.setdefault(name.rpartition(".")[2], []).append(name)
    scopes: list[str] = []
    codes: dict[str, str] = {}
    named: dict[str, list[str]] = {}
    value: dict[str, int | str] = {}
    changed: set[str] = set()
    pending: dict[str, int | str] = {}

    def settle() -> Iterator[tuple[Mapping[str, int | str], Collection[str]]]:
        """All changes of one instant are known: tell if the clock rose, then apply them."""
        if pending.get(codes[clock]) == "1" and value.get(clock) != "1":
            yield value, changed
            changed.clear()
        for code, new in pending.items():
            for name in named[code]:
                value[name] = new
                changed.add(name)
        pending.clear()

    with vcd.open("rb") as file:
        for token in tokenize(file):
            kind = token.kind
            if kind is TokenKind.CHANGE_SCALAR or kind is TokenKind.CHANGE_VECTOR:
                if token.data.id_code in named:
                    pending[token.data.id_code] = token.data.value
            elif kind is TokenKind.CHANGE_TIME:
                yield from settle()
            elif kind is TokenKind.SCOPE:
                scopes.append(token.data.ident)
            elif kind is TokenKind.UPSCOPE:
                scopes.pop()
            elif kind is TokenKind.VAR and token.data.reference in ends:
                path = ".".join(["", *scopes, token.data.reference])
                for name in ends[token.data.reference]:
                    if path.endswith(f".{name}"):
                        codes.setdefault(name, token.data.id_code)
            elif kind is TokenKind.ENDDEFINITIONS:
                if missing := sorted({clock, *wanted} - codes.keys()):
                    raise KeyError(f"{vcd} has no signal {missing[0]}")
                for name, code in codes.items():
                    named.setdefault(code, []).append(name)
    yield from settle()


def read(vcd: Path, names: Iterable[str], clock: str = "clk") -> dict[str, Stream]:
    """The streams `names` of a waveform: signals NAME_valid, NAME_ready and NAME_codes of any scope.

    A transfer is a rising edge of `clock` just before which valid and ready are high. KeyError names a signal
    that the waveform lacks.
    """
    streams = {name: Stream() for name in names}
    shaken = {f"{name}_{part}": name for name in streams for part in ("valid", "ready")}
    moving: set[str] = set()
    for value, changed in rising_edges(vcd, signals(streams), clock):
        for name in {shaken[each] for each in changed if each in shaken}:
            stream = streams[name]
            stream.valid, stream.ready = value.get(f"{name}_valid") == "1", value.get(f"{name}_ready") == "1"
            (moving.add if stream.valid and stream.ready else moving.discard)(name)
        for name in moving:
            streams[name].words.append(_word(value.get(f"{name}_codes", "x")))
    return streams


def _word(value: int | str) -> int | None:
    """A scalar change holds a digit, a vector change an integer or, with unknown bits, a text."""
    if isinstance(value, str):
        return int(value) if value in ("0", "1") else None
    return value


def locate(
    net: Net, taps: Sequence[Tap], images: NDArray[np.integer], streams: dict[str, Stream], image: int
) -> Difference | None:
    """The first difference from `net` in images[image], in the order in which data flow through `taps`.

    None where all stages give what they should.
    """
    steps = trace(net.body, images.astype(net.input.dtype))
    layers = {path: (layer, output[image]) for path, layer, output in steps}
    watched = {tap.path for tap in taps}
    for tap in taps:
        layer, output = layers[tap.path]
        size = output.size // tap.flow.lanes
        found = _first(output, tap, streams[tap.name].words[image * size : (image + 1) * size])
        if found is not None:
            path, kind = tap.path, type(layer).__name__
            earlier = before(path)
            if earlier in layers and earlier not in watched:
                path, kind = earlier, f"{type(layers[earlier][0]).__name__} with {kind}"
            (row, column, channel), expected, actual = found
            return Difference(path, kind, image, row, column, channel, expected, actual)
    return None


def before(path: str) -> str:
    """The path of the layer before `path` in its chain, which a stage without a tap of its own shares."""
    chain, _, index = path.rpartition(".")
    if not index.isdigit():
        return ""
    return f"{chain}.{int(index) - 1}" if chain else str(int(index) - 1)


def _first(output: Ints, tap: Tap, words: Sequence[int | None]) -> tuple[tuple[int, ...], int, int | None] | None:
    """(index into output [height, width, channels], expected, actual) of the first value that differs."""
    t, lanes = tap.flow.tensor, tap.flow.lanes
    mask = (1 << t.bits) - 1
    expected = output.reshape(-1, lanes).tolist()
    for number, (word, want) in enumerate(zip(words, expected, strict=False)):
        for lane, value in enumerate(want):
            actual = None if word is None else (word >> lane * t.bits & mask) + t.lo
            if actual != value:
                index = np.unravel_index(number * lanes + lane, output.shape)
                return tuple(map(int, index)), value, actual
    return None
