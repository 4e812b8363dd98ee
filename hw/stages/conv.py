# amaranth: UnusedElaboratable=no
"""A binary convolution as a stage: window, weight memory, MAC array, requantise, result queue."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

import numpy as np
from amaranth import Array, Cat, Const, Module, Signal, Value
from amaranth.lib.wiring import Out
from numpy.typing import NDArray

from ...model.layers import BinaryConv, Requantise
from ..array.constants import ConstantTable, LoadedTable, pack_rows, table_resources
from ..array.dot import numbers, ones
from ..array.form import dot_array
from ..array.wired import WiredArray
from ..device.arithmetic import later, wrap_add
from ..device.loaded import COLUMN, LoadedMemory
from ..device.memory import alike, memory, mux_luts, place, row_depth
from ..device.protect import PROTECT, Checker, code_for
from ..device.resources import Resources, stored, total
from ..device.target import Family
from ..plan import Folding
from ..stream.flow import Flow
from ..stream.load import LoadLink
from ..window.slide import Sweep
from ..window.window import Geometry
from .requantise import Scaler
from .windowed import WindowedStage


def _ones(layer: BinaryConv, simd: int) -> NDArray[np.int64]:
    """int64 [3, C_out]: the `ones` of a layer's weights."""
    # Any even number of weights a word has them at the same places.
    return _ones_of(layer, simd if simd % 2 else 2)


@lru_cache(16)
def _ones_of(layer: BinaryConv, simd: int) -> NDArray[np.int64]:
    return ones(layer.weights.reshape(len(layer.weights), -1, simd))


def _numbers(bits: NDArray[np.bool_]) -> list[int]:
    """Rows of bits, the first one the lowest."""
    rows = np.packbits(bits, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def part_name(k: int, n: int) -> str:
    """Of part n of the memory of position k's weights."""
    return f"weights{k}_part{n}" if n else f"weights{k}"


@dataclass(frozen=True)
class WeightRom:
    """A read-only weight memory of a stage.

    name : of its instance in the stage's module
    position : of the array's chains whose weights it holds; the first of them
    rows : those of `weight_rows` that are its words
    bits : of a word, with those that protect it behind the others
    """

    name: str
    position: int
    rows: range
    bits: int


class ConvStage(WindowedStage):
    """BinaryConv, fused with the Requantise that follows it.

    It takes (kernel area * C_in / simd) * (C_out / pe) cycles a pixel, without a gap between pixels,
    rows or frames. A sliding window takes at least a cycle for each of its steps; each window of a step has
    an array of its own, and all share the weights. Where they are wired there is no weight memory.

    Parameters
    ----------
    source : Flow of `simd` lanes, or of `pixels` whole pixels for a window that slides
    layer : the convolution
    requantise : what follows it, or None for the exact sums
    folding : the sink has `pe` lanes for each window of a step
    family : of the device, which decides the form of the array and where memories lie
    loaded : the same for weights that are loaded, as initial values are then, too; None where they are read-only
    protect : one of protect.PROTECT, of read-only weight memories

    Members
    -------
    corrected, detected : Out(1), where memories are protected: a word that was used was corrected, or could not be

    Attributes
    ----------
    depth : words of each memory of weights, or parts of them where windows take turns
    banks : ranges of positions of the array's chains whose weights are words of one memory: each by itself, but all
        together where words are corrected, since check bits are the fewer the wider words are
    codes : how each bank's words are protected; None where they are not
    """

    def __init__(
        self,
        source: Flow,
        layer: BinaryConv,
        requantise: Requantise | None,
        folding: Folding,
        family: Family,
        loaded: Family | None = None,
        protect: str = PROTECT[0],
    ):
        sums = layer.infer(source.tensor)
        self.layer = layer
        self.simd, self.pe, self.turns = folding.simd, folding.pe, folding.turns
        self.scaler = Scaler(sums, requantise or Requantise(0, sums.lo, sums.hi), loaded is not None)
        self.taken = (source.with_zero() if any(layer.padding) else source).tensor
        top = self.taken.hi - self.taken.lo
        t, turns = source.tensor, folding.turns
        geometry = Geometry(t.height, t.width, layer.kernel, layer.stride, layer.padding, turns)
        sweep = Sweep(geometry, folding.pixels) if folding.slides(source.tensor.channels) else None
        windows = sweep.windows if sweep else 1
        self.wired = folding.wired
        if self.wired:
            constants = (self.scaler.addend + self._surplus(layer)).astype(np.int64)
            matrix = layer.weights.reshape(len(layer.weights), -1)
            self.arrays = [WiredArray(matrix, top, constants, self.scaler.width, family) for _ in range(windows)]
        else:
            self.arrays = [dot_array(self.simd, self.pe, top, self.scaler.width, family, turns) for _ in range(windows)]
        groups, dot_cycles = sums.channels // self.pe, layer.fan_in // self.simd
        self.depth = depth = groups * dot_cycles * turns
        protect = PROTECT[0] if self.wired or loaded or depth == 1 else protect
        widths = [self.pe * len(inputs) for inputs in self.arrays[0].positions] if not self.wired else []
        size = len(widths) if protect == "ecc" else 1
        self.banks = [range(start, start + size) for start in range(0, len(widths), size)]
        self.codes = [code_for(sum(widths[k] for k in bank), depth, family, protect) for bank in self.banks]
        self.late = max((code.latency for code in self.codes if code), default=0)
        link = None
        if loaded:
            self.initial = LoadedTable(groups, self.pe, self.scaler.width, family)
            self.memories = [self._memory(depth, -(-width // turns), loaded) for width in widths]
            parts = [(part.width, part.depth) for memory in self.memories for part in memory]
            link = LoadLink([(self.initial.row_bits, groups), *parts])
        super().__init__(
            source,
            Flow(requantise.infer(sums) if requantise else sums, self.pe * len(self.arrays)),
            sweep or geometry,
            groups=groups,
            dot_cycles=dot_cycles,
            latency=self.late + self.arrays[0].latency + 1,
            family=family,
            more=1,
            link=link,
            **({} if protect == PROTECT[0] else {"corrected": Out(1), "detected": Out(1)}),
        )

    def resources(self, family: Family) -> Resources:
        outer, arrays = self.outer_resources(family), self.array_resources(family).named("arrays")
        return outer + arrays if self.wired else outer + arrays + self.weight_resources(family).named("weights")

    def array_resources(self, family: Family) -> Resources:
        """What the arrays take, and the weights where they are wired."""
        if self.wired:
            return self.arrays[0].resources(family) * len(self.arrays)
        constant = self.depth == 1 and not self.link
        return self.arrays[0].resources(family, constant=constant) * len(self.arrays)

    def outer_resources(self, family: Family) -> Resources:
        """What all but the arrays and the weights takes."""
        clips = Resources(self.scaler.clip_luts(family)) * self.sink.lanes
        held = Resources(1, self.sink.bits + 1) if self.credits > 1 else Resources()
        return self.frame_resources(family) + (clips + held).named("clips")

    def weight_resources(self, family: Family) -> Resources:
        """What the weights take, and the accumulators' initial values."""
        if self.link:
            return self._loaded_resources(family)
        found = self.initial_resources(family).named("initial values") + self.rom_resources(family)
        return found + self._check_resources(family).named("checks") if self.protected else found

    def initial_resources(self, family: Family) -> Resources:
        """What the accumulators' initial values take where they are read-only."""
        return table_resources(self.initial_rows(), self.scaler.width, family)

    def rom_resources(self, family: Family, bits: int | None = None) -> Resources:
        """What the read-only memories of the weights take; or of random weights that have so many bits each."""
        found = Resources()
        depth = self.depth
        # Columns of a few words may be constants by chance.
        rows = self.stored_rows() if depth <= 64 and bits is None else None
        for k, width in enumerate(self.stored):
            if rows:
                width = int((rows[k] != rows[k][0]).any(axis=0).sum())
            elif bits:
                width = round(bits * width * (1 - 2.0 ** (1 - depth)))
            parts = [place(width, len(part), family, rom=True) for part in self.parts(range(depth), width, family)]
            found += sum((stored(part) for part in parts), Resources(0, alike(width, depth) + (depth - 1).bit_length()))
            if len(parts) > 1:
                found += Resources(width * mux_luts(len(parts), family), width * len(parts))
            # The word is in a register behind the memory; one of look-up tables has a register of its own, too.
            found += Resources(0, sum(alike(width, part.depth) for part in parts if not part.blocks))
        return found + self._parts_resources(bits or 1)

    def _parts_resources(self, bits: float = 1) -> Resources:
        """What joins words that come in parts, beyond a register for one part of each; of weights of so many bits."""
        if self.turns == 1:
            return Resources()
        turn = (self.turns - 1).bit_length()
        wide = self.pe * self.simd + (self.turns - 1) * sum(self.stored)
        return Resources(turn + 2, round(bits * wide) + turn + 2 * len(self.stored))

    def weight_blocks(self, turns: int, family: Family) -> int:
        """Memory blocks of the weights if so many windows took turns."""
        depth = self.groups * self.dot_cycles * turns
        widths = Counter(-(-self.pe * len(inputs) // turns) for inputs in self.arrays[0].positions)
        return sum(place(width, depth, family, rom=not self.link).blocks * count for width, count in widths.items())

    def _check_resources(self, family: Family) -> Resources:
        """What checks words, and what waits for them."""
        found = total(Checker(code).resources(family) + Resources(2, 1) for code in self.codes if code)
        if self.late:
            positions = self.arrays[0].positions
            found += Resources(0, self.late * (len(self.window.word) + 3))
            found += Resources(0, self.pe * sum(k * len(inputs) for k, inputs in enumerate(positions)))
        return found

    def _loaded_resources(self, family: Family) -> Resources:
        """The same where they are loaded."""
        depth = self.depth
        found = self.initial.resources(family).named("initial values") + self.link.resources(family)
        found += self._parts_resources()
        for parts in self.memories:
            width = parts[0].width
            found += total(part.resources(family) for part in parts)
            if depth > 1:
                found += Resources(0, width + (depth - 1).bit_length())
            if len(parts) > 1:
                found += Resources(width * mux_luts(len(parts), family), width * len(parts))
        return found

    def contents(self, layer: BinaryConv, requantise: Requantise | None = None) -> list[list[int]]:
        scaler = replace(self.scaler, layer=requantise or self.scaler.layer)
        found = [pack_rows(self.initial_rows(layer, scaler), scaler.width)]
        for bits, parts in zip(self._in_parts(self.weight_rows(layer)), self.memories, strict=True):
            words = iter(_numbers(bits))
            found += [list(islice(words, part.depth)) for part in parts]
        return found

    def weight_rows(self, layer: BinaryConv | None = None) -> list[NDArray[np.bool_]]:
        """The weight memories of the layer, or of one of its shape, one for each position of the array's chains.

        Each bool [words, bits], in the order in which the window reads its taps.
        """
        folded = (layer or self.layer).weights.reshape(self.groups, self.pe, -1, self.simd)
        return self.arrays[0].steering(folded.transpose(0, 2, 1, 3).reshape(-1, self.pe, self.simd))

    def stored_rows(self) -> list[NDArray[np.bool_]]:
        """The words of each bank, with their check bits."""
        positions = self._in_parts(self.weight_rows())
        rows = [np.concatenate([positions[k] for k in bank], axis=1) for bank in self.banks]
        return [code.encode(bits) if code else bits for code, bits in zip(self.codes, rows, strict=True)]

    @property
    def stored(self) -> list[int]:
        """Bits of a word of each bank."""
        positions = self.arrays[0].positions
        widths = (-(-self.pe * sum(len(positions[k]) for k in bank) // self.turns) for bank in self.banks)
        return [code.stored if code else width for code, width in zip(self.codes, widths, strict=True)]

    @property
    def protected(self) -> bool:
        """Whether it tells of flips in its weight memories."""
        return any(self.codes)

    @property
    def corrects(self) -> bool:
        """Whether it corrects such words as it can."""
        return any(code.corrects for code in self.codes if code)

    @property
    def roms(self) -> Iterator[WeightRom]:
        """The read-only memories of weights; a part of one word is a constant."""
        if self.wired or self.link or self.depth == 1:
            return
        for k, bits in enumerate(self.stored):
            for n, rows in enumerate(self.parts(range(self.depth), bits, self.family)):
                if len(rows) > 1:
                    yield WeightRom(part_name(k, n), self.banks[k].start, rows, bits)

    def initial_rows(self, layer: BinaryConv | None = None, scaler: Scaler | None = None) -> NDArray[np.int64]:
        """int64 [groups, pe]: what each accumulator starts from, of the layer or of one of its shape.

        The rounding constant, the offset and the clip's floor; what the array's terms are too large by; and
        lo * sum(w), because sum(w * q) = sum(w * code) + lo * sum(w).
        """
        layer, scaler = layer or self.layer, scaler or self.scaler
        correction = self.arrays[0].correction(_ones(layer, self.simd), self.dot_cycles)
        return (scaler.addend + correction + self._surplus(layer)).reshape(self.groups, self.pe)

    def _surplus(self, layer: BinaryConv) -> NDArray[np.int64]:
        """int64 [C_out]: lo * sum(w)."""
        return self.taken.lo * (2 * _ones(layer, self.simd).sum(axis=0) - layer.fan_in)

    def elaborate(self, platform):
        m = Module()
        window = self.take(m)
        # Weights that are corrected come late: the taps wait for them.
        valid, first, last, word = (
            later(m, getattr(window, name), self.late, f"{name}_late") for name in ("valid", "first", "last", "word")
        )
        for k, array in enumerate(self.arrays):
            m.submodules[f"array{k}"] = array
            m.d.comb += [array.valid.eq(valid), array.codes.eq(word.word_select(k, len(array.codes)))]
        if not self.wired:
            if self.link:
                initial = self.initial
                self.add_link(m, initial, *(part for parts in self.memories for part in parts))
            else:
                initial = ConstantTable(self.initial_rows(), self.scaler.width, self.family)
            m.submodules.initial_values = initial
            weights = self.weights(m, window.index, window.valid)
            for array in self.arrays:
                m.d.comb += [
                    array.first.eq(first),
                    array.last.eq(last),
                    array.weights.eq(weights),
                    array.initial.eq(initial.row.as_value()),
                ]
            m.d.comb += initial.next.eq(self._last_turn(m, self.arrays[0].starting))

        sums = (value for array in self.arrays for value in numbers(array.results, self.pe))
        codes, done = Cat(self.scaler.code(value) for value in sums), self.arrays[0].done
        if self.credits > 1:
            # Codes are too late in their cycle for the memory of a queue.
            codes, done = later(m, codes, 1, "codes"), later(m, done, 1, "done")
        self.give(m, codes, done)
        return m

    def weights(self, m: Module, index: Value, valid: Value) -> Value:
        """What steers the arrays, three cycles after its place among the words, `index`; k more for position k.

        Words that are corrected come later. `valid` comes two cycles after the `index` of a word that is used.
        """
        constant = self.depth == 1
        if self.link:
            banks = self.memories
            for k, parts in enumerate(self.memories):
                for n, part in enumerate(parts):
                    m.submodules[part_name(k, n)] = part
            if constant:
                return Cat(part.data for [part] in self.memories)
        else:
            banks = self.stored_rows()
        if constant:
            bits = np.concatenate(banks, axis=1)[0]
            return Const(sum(int(bit) << place for place, bit in enumerate(bits)), len(bits))
        read_data = []
        address = index
        for k, bits in enumerate(banks):
            # The array wants position k's weights k cycles later: its memory is asked later.
            later = Signal.like(address, name=f"address{k}")
            m.d.sync += later.eq(address)
            ports = [(part.address, part.data) for part in bits] if self.link else self._roms(m, k, bits)
            read_data.append(self._read(m, k, ports, address, later))
            address = later
        if self.turns > 1:
            return self._joined(m, read_data)
        weights = Signal(sum(map(len, read_data)), reset_less=True)
        m.d.sync += weights.eq(Cat(read_data))
        return self._checked(m, weights, valid) if self.protected else weights

    def _last_turn(self, m: Module, each: Value) -> Value:
        """Of what comes for each of windows that take turns, the last one."""
        if self.turns == 1:
            return each
        turn = Signal(range(self.turns), name="starting_turn")
        with m.If(each):
            m.d.sync += turn.eq(wrap_add(turn, 1, self.turns))
        return each & (turn == self.turns - 1)

    def _in_parts(self, rows: list[NDArray[np.bool_]]) -> list[NDArray[np.bool_]]:
        """Words cut into as many parts as windows take turns, filled up with zeros."""
        return [
            np.pad(bits, ((0, 0), (0, -bits.shape[1] % self.turns))).reshape(len(bits) * self.turns, -1)
            for bits in rows
        ]

    def _joined(self, m: Module, parts: Sequence[Value]) -> Value:
        """The words of all positions from their parts: the last one has come with the turn of the first window."""
        words = []
        fetched, turn = self.window.fetched, self.window.valid & self.window.foremost
        for k, (part, inputs) in enumerate(zip(parts, self.arrays[0].positions, strict=True)):
            # Nothing but these registers behind a block, which has its own for the part that has come last.
            before = Signal(self.turns * len(part), name=f"weights{k}_before", reset_less=True)
            word = Signal(self.pe * len(inputs), name=f"weights{k}_word", reset_less=True)
            with m.If(fetched):
                m.d.sync += before.eq(Cat(before, part)[len(part) :])
            with m.If(turn):
                m.d.sync += word.eq(before)
            words.append(word)
            fetched, turn = later(m, fetched, 1, f"fetched{k}_"), later(m, turn, 1, f"turn{k}_")
        return Cat(words)

    def _checked(self, m: Module, words: Value, valid: Value) -> Value:
        """The words of all banks without check bits, corrected; `valid` comes a cycle before those of the first."""
        found, corrected, detected = [], [], []
        for k, (bank, code) in enumerate(zip(self.banks, self.codes, strict=True)):
            used = Signal(name=f"used{k}")
            m.d.sync += used.eq(valid)
            valid = used
            m.submodules[f"checker{k}"] = checker = Checker(code)
            m.d.comb += [checker.word.eq(words[: code.stored]), checker.used.eq(used)]
            words, data = words[code.stored :], checker.data
            for position in bank:
                width = self.pe * len(self.arrays[0].positions[position])
                found.append(later(m, data[:width], position - bank.start, f"weights{position}_late"))
                data = data[width:]
            corrected.append(checker.corrected)
            detected.append(checker.detected)
        m.d.sync += [self.corrected.eq(Cat(corrected).any()), self.detected.eq(Cat(detected).any())]
        return Cat(found)

    def _roms(self, m: Module, k: int, bits: NDArray[np.bool_]) -> list[tuple[Value | None, Value]]:
        """Address and word of each part of bank k's weights in read-only memory; no address of a single word."""
        ports = []
        for n, part in enumerate(self.parts(_numbers(bits), bits.shape[1], self.family)):
            if len(part) == 1:
                # A constant: a memory of one word would have an address of no bits.
                ports.append((None, Const(part[0], bits.shape[1])))
                continue
            stored = memory(bits.shape[1], len(part), self.family, part)
            m.submodules[part_name(k, n)] = stored
            read = stored.read_port()  # by a name of its own, which waveforms show
            ports.append((read.addr, read.data))
        return ports

    def _read(
        self, m: Module, k: int, ports: Sequence[tuple[Value | None, Value]], address: Value, later: Value
    ) -> Value:
        """Row `address` of position k's weights two cycles later; `later` is the address in a register."""
        name = f"weights{k}"
        if len(ports) == 1:
            m.d.comb += ports[0][0].eq(later)
            return ports[0][1]
        # A block answers late in its cycle: there is no time to choose one of several before the next register.
        chosen = Signal(range(len(ports)), name=f"{name}_chosen")
        m.d.sync += chosen.eq(later >> len(ports[0][0]))
        words = []
        for n, (row, word) in enumerate(ports):
            if row is None:
                words.append(word)
                continue
            held = Signal.like(word, name=f"{name}_held{n}", reset_less=True)
            m.d.comb += row.eq(address)
            m.d.sync += held.eq(word)
            words.append(held)
        return Array(words)[chosen]

    @classmethod
    def _memory(cls, depth: int, width: int, family: Family) -> list[LoadedMemory]:
        """A position's weights that are loaded, in their parts."""
        words = range(depth)
        parts = [words] if family.single_port else cls.parts(words, min(COLUMN, width), family, rom=False)
        return [LoadedMemory(width, len(part), family) for part in parts]

    @staticmethod
    def parts(words: Sequence, width: int, family: Family, rom: bool = True) -> list[Sequence]:
        """The words of a weight memory of `width` bits, cut where blocks of the family end."""
        rows = place(width, len(words), family, rom=rom).rows
        size = row_depth(len(words), rows)
        return [words[start : start + size] for start in range(0, len(words), size)]
