"""How large a network may be, all of it checked when it is made.

A file of a few hundred bytes can ask for any amount of work. These are the sizes up to which the reference, the
machine and the planner stay usable; each is several times what published networks take. In brackets what a wide
residual network 20-10 on 32x32 pixels, and a ResNet-152 on 224x224 pixels whose normalisations are kept, need.
"""

MAX_MAGNITUDE = 2**60
"""Of a value: the sums of unsigned codes that the hardware's tables hold are up to six times as large, and fit 64
bits [2^23, 2^36]."""

MAX_FRAC = 2**9
"""Fraction bits, positive or negative: floats hold every value times 2^-frac [20, 40]."""

MAX_PIXELS = 2**21
"""Of a map: 1920x1080. The builder and the planner go through a map pixel by pixel [2^10, 2^16]."""

MAX_CHANNELS = 2**15
"""Of a map: constants are handled channel by channel [640, 2048]."""

MAX_VALUES = 2**25
"""Of a map, and with padding twice as many: half a gigabyte as 64-bit numbers [2^18, 2^20]."""

MAX_KERNEL = 2**10
"""Side of a kernel; and a stride, which beyond a kernel's side only leaves pixels out [3, 7]."""

MAX_LAYERS = 2**13
"""Chains and residuals counted too [100, 700]."""

MAX_DEPTH = 32
"""Chains and residuals around a layer; walking a network recurses as deep [4, 4]."""

MAX_WEIGHTS = 2**28
"""Of the whole network: a gigabyte as 32-bit floats [2^25, 2^26]."""

MAX_CONSTANTS = 2**20
"""Of the whole network: a convolution's outputs, offsets, factors and tables, handled one by one [2^14, 2^18]."""

MAX_PRODUCTS = 2**36
"""Of all convolutions for one frame: seconds of BLAS [2^32, 2^34]."""

MAX_MOVED = 2**30
"""Values that all layers give for one frame, and the operations of pools: seconds of numpy [2^23, 2^27]."""

LEAST_CHANNELS = 32
"""Of a map in these two sums, however few it has: laying windows out, building and planning are work a pixel."""

MAX_TEXT = 2000
"""Characters of a class's name or of the preprocessing."""
