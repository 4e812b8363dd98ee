# amaranth: UnusedElaboratable=no
"""How wide a network to train so that its machine fits: by the planner's estimates, before the first step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..hw.accelerator import Accelerator
from ..hw.plan import Plan
from ..hw.planner import Limits, Planner
from ..model.error import BadInput
from ..model.net import Net

if TYPE_CHECKING:
    from ..model.train.recipe import Recipe

LEAST_STEP, STEPS = 4, 16
"""Between the numbers of channels that are looked at, besides 1 and 2: at least so many, at most so many steps."""


def sized(
    recipe: Recipe, untrained: Callable[[Recipe], Net], luts: int, target: str, cycles: int
) -> tuple[Recipe, Accelerator]:
    """The recipe with the most channels, at most its own, whose plan of so many cycles a frame has that few LUTs.

    Parameters
    ----------
    untrained : the network of integers that a recipe will give, but for its weights
    luts : of all that the target has
    cycles : a frame may take

    Returns the recipe and the machine that was planned. BadInput where not even the narrowest network fits.
    """
    device = Plan({}, target=target).device
    if device and luts > device.luts:
        raise BadInput(f"--luts {luts}: {target} has {device.luts:,}")
    limits = replace(Limits.of(device, 1.0) if device else Limits(), cells=luts)
    own = recipe.network.channels
    step = max(LEAST_STEP, own // STEPS)
    # A wider network may be smaller, where its channels divide better.
    for channels in sorted({1, 2, own, *range(step, own, step)} & set(range(1, own + 1)), reverse=True):
        narrowed = recipe.of_channels(channels)
        planner = Planner(untrained(narrowed), target)
        if machine := planner.within(cycles, limits):
            return narrowed, machine
    planner.machine(cycles)  # or what says why no machine is that fast
    raise BadInput(
        f"--luts {luts}: not even 1 channel fits at that rate; give more, a lower --fps, or a recipe of less depth or "
        "fewer bits"
    )
