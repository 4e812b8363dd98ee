"""A wire between a shell and who speaks to it: bytes with start and stop bits, at the shell's pace."""

from __future__ import annotations

from collections.abc import Iterable

from amaranth.sim import Simulator

GAP = None
"""Instead of a byte: a broken one, whose stop bit is 0."""


def bits(items: Iterable[int | None]) -> list[int]:
    """Start bit, eight bits with the lowest first, stop bit of each."""
    found = []
    for item in items:
        byte = 0 if item is GAP else item
        found += [0, *(byte >> bit & 1 for bit in range(8)), int(item is not GAP)]
        found += [1, 1] if item is GAP else []
    return found


def exchange(component, items: Iterable[int | None], cycles_per_bit: int, answers: int, patience: int = 20000) -> bytes:
    """Put bytes on `component.rx`, one behind the other; the bytes of `component.tx` until so many flags have come."""
    heard = bytearray()
    waiting = bits(items)

    async def speak(ctx):
        for bit in waiting:
            ctx.set(component.rx, bit)
            await ctx.tick().repeat(cycles_per_bit)
        ctx.set(component.rx, 1)

    async def listen(ctx):
        silent = 0
        while heard.count(0x7E) < answers and silent < patience + len(waiting) * cycles_per_bit:
            silent += 1
            if not ctx.get(component.tx):
                silent = 0
                await ctx.tick().repeat(cycles_per_bit // 2)
                byte = 0
                for bit in range(8):
                    await ctx.tick().repeat(cycles_per_bit)
                    byte |= ctx.get(component.tx) << bit
                await ctx.tick().repeat(cycles_per_bit)
                assert ctx.get(component.tx), "a stop bit is 0"
                heard.append(byte)
            else:
                await ctx.tick()

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(speak, background=True)
    simulator.add_testbench(listen)
    simulator.run()
    return bytes(heard)
