"""Where the contents lie that a stage is loaded with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...hw.device.loaded import COLUMN, columns
from ...hw.stages.conv import ConvStage, part_name
from ...hw.stages.requantise import RequantiseStage
from ...hw.stages.scale import ScaleStage
from ...hw.stages.table import TableStage
from ...hw.stream.stage import Stage
from ...model.layers import Layer
from .circuit import Circuit
from .linear import Word, number
from .streams import load_inputs


@dataclass(frozen=True)
class Column:
    """Of a memory that is loaded.

    Attributes
    ----------
    places : the circuit's memories, or registers, that hold it; more than one where lanes have the same words
    memory, number : which memory of the stage's, and which of its columns
    first : its first word, of those of a load that are the stage's
    depth, width : its words, and their bits
    """

    places: tuple[int, ...]
    memory: int
    number: int
    first: int
    depth: int
    width: int


def columns_of(stage: Stage, circuit: Circuit) -> Iterator[Column]:
    """All, in the order in which they are loaded."""
    first = 0
    for k, ((width, depth), names) in enumerate(zip(stage.link.memories, _memories(stage), strict=True)):
        for column in range(columns(width)):
            places = tuple(_place(circuit, f"{name}.column{column}") for name in names)
            yield Column(places, k, column, first, depth, min(COLUMN, width - column * COLUMN))
            first += depth


def held(stage: Stage, circuit: Circuit, layers: Sequence[Layer]) -> Mapping[int, list[int]]:
    """The words of each of a circuit's memories when its stage is loaded with these layers; none of read-only ones."""
    if stage.link is None:
        return {}
    contents = stage.contents(*layers)
    return {
        place: [word >> column.number * COLUMN & (1 << column.width) - 1 for word in contents[column.memory]]
        for column in columns_of(stage, circuit)
        for place in column.places
    }


def no_load(circuit: Circuit) -> dict[int, Word]:
    """What a stage's inputs are while none is under way."""
    return {bits.node: number(0, bits.width) for bits in load_inputs(circuit)}


def _place(circuit: Circuit, name: str) -> int:
    """Of a column: a memory, one with a single port, or a register."""
    return circuit.states[name if name in circuit.states else f"{name}.words"]


def _memories(stage: Stage) -> list[list[str]]:
    """By which names each memory of a stage stands in its circuit."""
    match stage:
        case ConvStage():
            parts = [[part_name(k, n)] for k, parts in enumerate(stage.memories) for n in range(len(parts))]
            return [["initial_values.memory"], *parts]
        case RequantiseStage():
            return [["constants.memory"]]
        case ScaleStage():
            return [["factors.memory"], ["constants.memory"]]
        case TableStage():
            return [[f"table{lane}" for lane in range(len(stage.loaded))]]
    raise AssertionError(f"{type(stage).__name__} is not loaded")
