"""From a wide residual network with its norms to a Net: the unit of every map, and the step of every activation.

A code counts some real unit, which need be no power of two, for a norm's factors turn its input's unit into any other.
So a stage's stream is counted in what its second convolutions' weights stand for, times a power of two, and their sums
need a shift alone; so do the stem's, whose codes are counted accordingly. Only a skip that leads from one stage to the
next takes a Scale. The fraction bits are those of the power of two nearest to the unit.

A norm is a Scale with factors of `FACTOR_BITS` bits, and the offset of the Requantise behind it. Sums in front of it
are rounded to `SUM_BITS` bits, between the ends beyond which the activation's clip would put them anyway.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..error import BadInput
from ..layers import Chain, GlobalSum, Layer, PadChannels, Requantise, Residual, Scale, SumPool, addition
from ..net import Net
from ..tensor import Ints, Tensor
from .wide_resnet import EXTREME, Block, Conv, Norm, WideResNet

FACTOR_BITS = 8
"""Of a norm's largest factor, and of a skip's; sign apart."""

SUM_BITS = 16
"""Of the sums that a norm takes."""

STREAM = (-(2**15), 2**15 - 1)
"""The interval of a residual stream."""

REACH = 10
"""Deviations from its mean that a channel of a stream has room for."""

PIXEL_BITS = 8
"""Of the pixels behind the input's norm."""

FINE, COARSE = 8, 1
"""Steps tried for an activation from one power of two to the next: where any will do, and where only those will."""

OCTAVES = 6
"""Powers of two below the largest step that is tried, with which nothing is clipped."""

SAMPLES = 2**18
"""Values of an activation by which its step is chosen."""

BIAS = 16
"""What the square of a channel's mean error weighs beside its mean square: over a map it does not average out."""


@dataclass
class _End:
    """The open end of a growing chain.

    t : type of what comes out
    unit : what a 1 of it stands for
    seen : what comes out for the images that the activations are fitted to, or None
    """

    t: Tensor
    unit: float
    seen: Ints | None
    layers: list[Layer] = field(default_factory=list)

    def add(self, layer: Layer, unit: float) -> None:
        """Append a layer; what comes out counts `unit`."""
        self.t, self.unit = layer.infer(self.t), unit
        if self.seen is not None:
            self.seen = layer(self.seen)
        self.layers.append(layer)

    def branch(self) -> _End:
        """A chain of its own that begins here."""
        return replace(self, layers=[])

    def join(self, body: _End, skip: _End) -> None:
        """Append the residual of two branches that began here."""
        residual = Residual(Chain(tuple(body.layers)), Chain(tuple(skip.layers)), *STREAM)
        self.t, self.unit = residual.join(body.t, skip.t), body.unit
        if body.seen is not None and skip.seen is not None:
            self.seen = residual.add(body.seen, skip.seen)
        self.layers.append(residual)


def integers(
    network: WideResNet,
    bits: int,
    images: NDArray[np.integer[Any]] | None = None,
    classes: tuple[str, ...] = (),
    preprocessing: str = "",
) -> Net:
    """The network with activations of so many bits, 2 to 16, each with the step of least error.

    Parameters
    ----------
    images : [N, height, width, channels], whose values the steps are fitted to; else to what the norms say of them
    classes, preprocessing : as in Net

    BadInput where a norm has numbers that integers cannot stand for.
    """
    if not 2 <= bits <= 16:
        raise BadInput(f"activations have 2 to 16 bits, not {bits}")
    end = _End(network.input, 1.0, None if images is None else network.input.check(images).astype(np.int16))
    units = _stream_units(network)
    _add_stem(end, network, units[0])
    for blocks, unit in zip(network.stages, units, strict=True):
        for block in blocks:
            body, skip = end.branch(), end.branch()
            _add_body(body, block, unit, bits)
            if block.pool:
                _add_skip(skip, block.pool, unit)
            end.join(body, skip)
    _add_head(end, network, bits)
    return Net(network.input, Chain(tuple(end.layers)), classes, preprocessing)


def _stream_units(network: WideResNet) -> list[float]:
    """What each stage's stream counts, by the norms that read it."""
    stages = network.stages
    readers = [[block.halves[0].norm for block in blocks] for blocks in stages]
    after = [norms[0] for norms in readers[1:]] + [network.head.norm]
    units = []
    for blocks, norms, last in zip(stages, readers, after, strict=True):
        most = max(float((np.abs(norm.mean) + REACH * norm.deviation).max()) for norm in (*norms[1:], last))
        units.append(_unit(blocks[0].halves[1].conv.unit, most / STREAM[1]))
    return units


def _unit(of: float, least: float) -> float:
    """The smallest power of two times `of` that is not below `least`."""
    return of * 2.0 ** math.ceil(math.log2(least / of))


def _frac(unit: float) -> int:
    """Fraction bits of the power of two nearest to a unit."""
    return round(-math.log2(unit))


def _add_stem(end: _End, network: WideResNet, unit: float) -> None:
    """From pixels to the stream."""
    norm, conv = network.stem.norm, network.stem.conv
    ends = [norm(np.full(end.t.channels, float(q))) for q in (end.t.lo, end.t.hi)]
    least, most = float(np.min(ends)), float(np.max(ends))
    if network.relu:
        least = max(0.0, least)
    if most <= least:
        raise BadInput(f"{norm.name} makes one value of all pixels")
    # Rounding may make one code more of them.
    step = _unit(unit / conv.unit, (most - least) / (2**PIXEL_BITS - 2))
    _add_norm(
        end, norm, step, math.floor(least / step + 0.5), math.floor(most / step + 0.5), _tied_frac(conv, step, unit)
    )
    _add_sums(end, conv, unit)


def _add_body(end: _End, block: Block, unit: float, bits: int) -> None:
    """Norm, activation and convolution, twice, to the stream."""
    first, second = block.halves
    step = _step(end, first.norm, bits, FINE)
    _add_norm(end, first.norm, step, 0, 2**bits - 1, _frac(step))
    end.add(first.conv.layer, step * first.conv.unit)
    step = _step(end, second.norm, bits, COARSE)
    _add_norm(end, second.norm, step, 0, 2**bits - 1, _tied_frac(second.conv, step, unit))
    _add_sums(end, second.conv, unit)


def _add_skip(end: _End, pool: SumPool, unit: float) -> None:
    """The mean of valid pixels in the next stage's unit, and as many channels of 0."""
    end.add(pool, end.unit / math.prod(pool.divisors(end.t.height, end.t.width)))
    shift, [factor] = _factors(np.array([end.unit / unit]))
    end.add(Scale(np.full(end.t.channels, factor), _frac(unit) + shift - end.t.frac), unit * 2.0**-shift)
    end.add(Requantise(shift, *STREAM), unit)
    end.add(PadChannels(end.t.channels), unit)


def _add_head(end: _End, network: WideResNet, bits: int) -> None:
    """From the stream to the logits: the norm behind the head comes behind the mean of all positions too."""
    norm, conv = network.head.norm, network.head.conv
    step = _step(end, norm, bits, FINE)
    _add_norm(end, norm, step, 0, 2**bits - 1, _frac(step))
    positions = end.t.pixels
    end.add(GlobalSum(), step / positions)
    end.add(conv.layer, step / positions * conv.unit)
    frac, factors, offset = _affine(network.logits, end.unit, 1.0)
    end.add(Scale(factors, frac - end.t.frac), 2.0**-frac)
    end.add(addition(offset, end.t), 2.0**-frac)


def _add_sums(end: _End, conv: Conv, unit: float) -> None:
    """A convolution whose sums count `unit` over a power of two, and the shift to it."""
    sums = end.unit * conv.unit
    end.add(conv.layer, sums)
    end.add(Requantise(round(math.log2(unit / sums)), *STREAM), unit)


def _tied_frac(conv: Conv, step: float, unit: float) -> int:
    """Fraction bits of codes of that step that become, by `_add_sums`, those of the unit."""
    return _frac(unit) + round(math.log2(unit / (step * conv.unit))) - conv.layer.scale


def _add_norm(end: _End, norm: Norm, step: float, lo: int, hi: int, frac: int) -> None:
    """A norm, rounded to steps and clipped to [lo, hi] of them, with that many fraction bits."""
    if end.t.bits > SUM_BITS:
        _add_rounding(end, norm, step, lo, hi)
    shift, factors, offset = _affine(norm, end.unit, step)
    try:
        end.add(Scale(factors, frac + shift - end.t.frac), step * 2.0**-shift)
        end.add(Requantise(shift, lo, hi, offset), step)
    except BadInput as error:
        raise BadInput(f"{norm.name}: {error}") from None


def _add_rounding(end: _End, norm: Norm, step: float, lo: int, hi: int) -> None:
    """Round what a norm takes to `SUM_BITS` bits, clipped where [lo, hi] of its steps would clip what it gives."""
    used = norm.gamma != 0
    inverse = (np.array([[lo - 1], [hi + 1]]) * step - norm.beta[used]) / norm.gamma[used]
    sums = (inverse * norm.deviation[used] + norm.mean[used]) / end.unit
    least = min(max(math.floor(sums.min()), end.t.lo), end.t.hi)
    most = max(min(math.ceil(sums.max()), end.t.hi), end.t.lo)
    shift = 0
    while (most >> shift) + 1 - (least >> shift) >= 2**SUM_BITS:
        shift += 1
    end.add(Requantise(shift, least >> shift, -(-most >> shift), None), end.unit * 2.0**shift)


def _affine(norm: Norm, unit: float, step: float) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """(shift, factors, offset): what a norm makes of q units is (q * factors + offset) >> shift, in steps."""
    shift, factors = _factors(unit * norm.gamma / (norm.deviation * step))
    # What the factors' rounding does is least at the mean.
    offset = np.rint(norm.beta / step * 2.0**shift - norm.mean / unit * factors)
    if np.abs(offset).max() > 2**60:
        raise BadInput(f"{norm.name} moves its input further than 64 bits hold")
    return shift, factors, offset.astype(np.int64)


def _factors(rates: NDArray[np.float64]) -> tuple[int, NDArray[np.int64]]:
    """(shift, factors): rates are factors >> shift, the largest with `FACTOR_BITS` bits."""
    shift = math.floor(math.log2((2**FACTOR_BITS - 1) / float(np.abs(rates).max())))
    return shift, np.rint(rates * 2.0**shift).astype(np.int64)


def _step(end: _End, norm: Norm, bits: int, parts: int) -> float:
    """Of an activation's codes: of so many steps from each power of two to the next, the one of least error."""
    if end.seen is None:
        kinds = np.unique([norm.beta, norm.gamma], axis=1)
        values = kinds[0] + kinds[1] * _quantiles(max(2**10, SAMPLES // kinds.shape[1]))[:, None]
    else:
        pixels = end.seen.reshape(-1, end.t.channels)
        count = min(len(pixels), max(2**10, SAMPLES // end.t.channels))
        values = norm(pixels[np.random.default_rng(0).choice(len(pixels), count, replace=False)] * end.unit)
    values = np.maximum(values, 0)
    largest = max(float(values.max()), 1 / EXTREME)
    top = 2.0 ** math.ceil(math.log2(largest / (2**bits - 1)))
    steps: list[float] = [top * 2.0 ** (-index / parts) for index in range(OCTAVES * parts)]
    errors = [_error(values, step, bits) for step in steps]
    return steps[errors.index(min(errors))]


def _error(values: NDArray[np.float64], step: float, bits: int) -> float:
    """What codes of so many bits lose of values [n, C] from 0 on."""
    errors = np.minimum(np.floor(values / step + 0.5), 2**bits - 1) * step - values
    return float(np.square(errors).mean() + BIAS * np.square(errors.mean(axis=0)).mean())


def _quantiles(count: int) -> NDArray[np.float64]:
    """Values of a logistic distribution, equally likely, of mean 0 and deviation 1.

    What a norm gives has tails like these: with a normal distribution's, codes of 8 bits would clip too much of it.
    """
    below = (np.arange(count) + 0.5) / count
    found: NDArray[np.float64] = np.log(below / (1 - below)) * math.sqrt(3) / math.pi
    return found
