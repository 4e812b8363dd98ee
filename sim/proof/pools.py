"""What a proof knows of pools that join pixels as they come: how many words have come, and how many ended a window."""

from __future__ import annotations

from ...hw.stages.running_pool import RunningPoolStage
from .circuit import Bits
from .invariants import SUM_BITS
from .streams import GHOST, Subject


def joined(stage: RunningPoolStage, subject: Subject) -> list[Bits]:
    """What its counters tell of the words that are counted, to be proven; a period is a row of windows."""
    circuit = subject.circuit
    size, words, columns = stage.layer.kernel, stage.source.words, stage.geometry.out_width

    def value(name: str) -> Bits:
        return circuit[name].extend(SUM_BITS) if name in circuit else circuit.const(0, SUM_BITS)

    word, across, column, down = (value(name) for name in ("word", "across", "column", "down"))
    in_row = word + (across + column * size) * words
    ended = column * words + across.equals(size - 1).mux(word, 0)
    ended = down.equals(size - 1).mux(ended, 0)
    counted = f"i{GHOST}o{GHOST}"
    went, inside = value(f"{counted}out"), value(f"{counted}inside")
    under_way = value("last") + value("ends") + value("o__valid")
    return [
        word < words,
        across < size,
        column < columns,
        down < size,
        value(f"{counted}in").equals(in_row + down * (size * columns * words)),
        (inside * (columns * words) + ended).equals(went + under_way),
        went < columns * words,
        inside < 2,
    ]
