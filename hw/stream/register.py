"""The register in front of a stream's way out."""

from amaranth import Module, Signal, Value
from amaranth.lib import wiring


def output_register(m: Module, o: wiring.PureInterface, held: Value) -> tuple[Signal, Signal]:
    """Offer `held`, a register, at `o`: (full, move).

    In a cycle with `move` nothing is held or it is taken; then the caller gives `held` and `full`, whether a word has
    come, anew. A word a cycle passes. `move` depends on ``o.ready``, within the cycle.
    """
    full = Signal()
    move = Signal()
    m.d.comb += [o.payload.eq(held), o.valid.eq(full), move.eq(~full | o.ready)]
    return full, move
