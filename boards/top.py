"""The very top of a board: the crystal, a PLL and the reset, the host link's shell, buttons and lights."""

from __future__ import annotations

from functools import cache
from math import ceil

from amaranth import ClockDomain, ClockSignal, Elaboratable, Instance, Module, ResetSignal, Signal
from amaranth.build import Platform
from amaranth.build.res import PortGroup
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.io import Buffer, SingleEndedPort

from .board import RX, TX, Board, Pin
from .pll.choose import Setting
from .shell.shell import Shell

WAIT = 20e-6
"""Seconds of reset after the PLL has locked. Block RAM of the iCE40 reads as zeros for the first 3 us after the
configuration, and only an oscillator of its own ends that (YosysHQ/icestorm, issue 76); five times as much and more."""


class Top(Elaboratable):
    """A board's machine, from pin to pin.

    The clock of ``sync`` is the PLL's. Its reset begins when the PLL is not locked or the button is down, and lasts
    WAIT longer. The lights show, as far as they go: a blink about once a second, activity, trouble, the last class
    from its lowest bit.
    """

    def __init__(self, board: Board, setting: Setting, shell: Shell):
        self.board, self.setting, self.shell = board, setting, shell

    def elaborate(self, platform: Platform) -> Module:
        m = Module()
        board, shell = self.board, self.shell
        clock, locked, unready = Signal(), Signal(), Signal()

        @cache
        def request(resource: str, number: int) -> SingleEndedPort | PortGroup:
            return platform.request(resource, number, dir="-")

        def pin(at: Pin) -> SingleEndedPort:
            found = request(at.resource, at.number)
            return getattr(found, at.part) if at.part else found

        self.setting.add(m, pin(board.clock), clock, locked)
        m.submodules.reset_pin = button = Buffer("i", pin(board.reset))
        m.d.comb += unready.eq(~locked | button.i)

        # `waking` is reset by what is not ready, `sync` until `waking` has counted.
        m.domains.waking = ClockDomain("waking")
        m.domains.sync = ClockDomain("sync")
        cycles = ceil(WAIT * self.setting.clock)
        waited, held = Signal(cycles.bit_length() + 1), Signal(init=1)
        with m.If(~waited[-1]):
            m.d.waking += waited.eq(waited + 1)
        m.d.waking += held.eq(~waited[-1])
        m.d.comb += [ClockSignal("waking").eq(clock), ClockSignal("sync").eq(clock)]
        m.submodules.unready = ResetSynchronizer(unready, domain="waking")
        if board.device.family.name == "ecp5":
            # nextpnr puts a net of thousands of loads on a global line by itself elsewhere; here it wants to be told.
            m.submodules.reset_net = Instance("DCCA", i_CLKI=held, i_CE=1, o_CLKO=ResetSignal("sync"))
        else:
            m.d.comb += ResetSignal("sync").eq(held)

        m.submodules.shell = shell
        m.submodules.rx_pin = rx = Buffer("i", pin(RX))
        m.submodules.tx_pin = tx = Buffer("o", pin(TX))
        m.d.comb += [shell.rx.eq(rx.i), tx.o.eq(shell.tx)]

        beats = Signal(self.setting.clock.bit_length())
        m.d.sync += beats.eq(beats + 1)
        lights = [beats[-1], shell.activity, shell.trouble, *shell.best]
        for number, (light, at) in enumerate(zip(lights, board.leds, strict=False)):
            m.submodules[f"led_pin_{number}"] = led = Buffer("o", pin(at))
            m.d.comb += led.o.eq(light)
        return m
