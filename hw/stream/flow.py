"""How pixels travel between stages: words of channel codes on Amaranth streams.

A *code* is q - lo of a tensor, unsigned in ``tensor.bits`` bits, so that no stage needs a sign. A frame is its
codes in raster order, channel after channel, a *word* the next `lanes` of them, the first in the lowest bits:
an even part of a pixel, or several whole pixels of one row. Frames follow each other without a gap or a marker:
each stage counts for itself. Every stream keeps Amaranth's rules (lib.stream): valid never waits for ready, and a
payload stays until it is taken.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from amaranth import Cat, Const, Value, unsigned
from amaranth.lib import stream
from numpy.typing import ArrayLike, NDArray

from ...model.tensor import Tensor


@dataclass(frozen=True)
class Flow:
    """What a stream carries: a tensor, `lanes` codes a word, a divisor or a multiple of its channels."""

    tensor: Tensor
    lanes: int

    def __post_init__(self):
        channels, width = self.tensor.channels, self.tensor.width
        if self.lanes < 1 or (channels % self.lanes and self.lanes % channels):
            raise ValueError(f"{self.lanes} lanes do not divide {channels} channels")
        if width % self.pixels:
            raise ValueError(f"{self.pixels} pixels a word do not divide a row of {width}")

    @property
    def pixels(self) -> int:
        """Pixels of one word; 1 where it is a part of one."""
        return max(1, self.lanes // self.tensor.channels)

    @property
    def words(self) -> int:
        """Words of one pixel; 1 where a word has several."""
        return max(1, self.tensor.channels // self.lanes)

    @property
    def frame_words(self) -> int:
        """Words of one frame: the cycles a frame takes at one word a cycle."""
        return self.tensor.pixels * self.tensor.channels // self.lanes

    def held(self, words: int) -> int:
        """The pixels of which `words` words may hold a part."""
        return -(-words * self.lanes // self.tensor.channels)

    def whole(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of pixels, rounded up to whole words."""
        return -(-pixels // self.pixels) * self.pixels

    def rows(self, values: ArrayLike) -> NDArray:
        """[words, lanes]: what belongs to each channel, [channels], as words meet it, round and round."""
        return np.tile(values, self.pixels).reshape(-1, self.lanes)

    @property
    def bits(self) -> int:
        """Width of a word."""
        return self.lanes * self.tensor.bits

    @property
    def signature(self) -> stream.Signature:
        return _words(self.bits)

    def codes(self, word: Value) -> list[Value]:
        """The word's codes, channel by channel, pixel by pixel."""
        width = self.tensor.bits
        return [word[lane * width : (lane + 1) * width] for lane in range(self.lanes)]

    def zero(self) -> Const:
        """The word whose values are all real 0."""
        code = -self.tensor.lo
        return Const(sum(code << lane * self.tensor.bits for lane in range(self.lanes)), self.bits)

    def with_zero(self) -> "Flow":
        """The same lanes, of the least interval that holds real 0 too: what padding may be put into."""
        t = self.tensor
        return replace(self, tensor=replace(t, lo=min(t.lo, 0), hi=max(t.hi, 0)))

    def recode(self, word: Value, sink: "Flow") -> Value:
        """The same values as codes of another flow whose interval holds this one's."""
        shift, width = self.tensor.lo - sink.tensor.lo, sink.tensor.bits
        return Cat((code + shift)[:width] if shift else Cat(code, Const(0, width))[:width] for code in self.codes(word))

    def over(self, lanes: int) -> "Flow":
        """The same tensor, another number of lanes."""
        return replace(self, lanes=lanes)


@cache
def _words(bits: int) -> stream.Signature:
    """Of so many bits: planners ask for the same ones again and again."""
    return stream.Signature(unsigned(bits))
