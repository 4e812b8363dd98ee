"""The register in front of a stream's way out."""

from amaranth import Module, Mux, Signal, Value
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


def spare_register(m: Module, o: wiring.PureInterface, word: Value, valid: Value) -> Signal:
    """Offer `word`, where it is `valid`, at `o` a cycle later; what is returned is `move`, a register.

    In a cycle with `move` the word is taken over; without, the caller keeps it. A word a cycle passes: one that comes
    while the one before has to wait goes to a place beside it.
    """
    held = Signal.like(o.payload, name="offered", reset_less=True)
    full = Signal(name="offering")
    spare = Signal.like(o.payload, name="spare", reset_less=True)
    move = Signal(init=1)
    free = ~full | o.ready
    m.d.comb += [o.payload.eq(held), o.valid.eq(full)]
    with m.If(free):
        m.d.sync += [held.eq(Mux(move, word, spare)), full.eq(~move | valid), move.eq(1)]
    with m.Elif(move):
        m.d.sync += move.eq(~valid)
    with m.If(move):
        m.d.sync += spare.eq(word)
    return move
