"""What a beat of the AXI4-Streams outside carries: samples and values in whole bytes."""

from amaranth import signed, unsigned

from ...model.tensor import Tensor, signed_bits

WIDEST = 4096
"""Bits of a beat's data at the most: the 512 bytes beyond which the vendors' AXI4-Stream blocks do not go."""


def sample_shape(tensor: Tensor):
    """A value of the tensor in whole bytes: unsigned where it is never negative, else two's complement."""
    if tensor.lo >= 0:
        return unsigned(8 * -(-max(1, tensor.hi.bit_length()) // 8))
    return value_shape(tensor)


def value_shape(tensor: Tensor):
    """A value of the tensor in whole bytes, two's complement."""
    return signed(8 * -(-signed_bits(tensor.lo, tensor.hi) // 8))
