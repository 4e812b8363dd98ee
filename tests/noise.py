"""A bad serial line."""

import numpy as np


class Noisy:
    """A port on which some bytes are lost, turned or added, both ways."""

    def __init__(self, port, seed: int, rate: float):
        self.port, self.random, self.rate = port, np.random.default_rng(seed), rate

    @property
    def in_waiting(self) -> int:
        return self.port.in_waiting

    def spoil(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            draw = self.random.random() / self.rate
            if draw < 1:
                out += bytes((byte ^ 1 << self.random.integers(8),))
            elif draw < 2:
                out += bytes((byte, int(self.random.integers(256))))
            elif draw >= 3:
                out.append(byte)
        return bytes(out)

    def read(self, size: int = 1) -> bytes:
        return self.spoil(self.port.read(size))

    def write(self, data: bytes) -> int:
        return self.port.write(self.spoil(data))
