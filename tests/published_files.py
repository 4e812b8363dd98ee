"""Small networks in the layouts of published files, and what they compute, in plain floats."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-5


@dataclass
class Published:
    """A wide residual network of random weights.

    weights : 0 and 1 [kernel height, kernel width, C_in, C_out] of each convolution
    strides : of each
    padding : "keras", uneven where it must be, or "matlab"
    valid : pools divide by the pixels inside, not by nine
    relu : one follows the input's norm
    norms : gamma, beta, mean and variance of each
    """

    weights: list[NDArray[np.uint8]]
    strides: list[int]
    padding: str
    valid: bool = True
    relu: bool = False
    norms: list[list[NDArray[np.float64]]] = field(default_factory=list)

    def __call__(self, images: NDArray[np.integer], *, moments: bool = False) -> NDArray[np.float64]:
        """Logits [N, classes] of images; with `moments` the norms take theirs from these images."""

        def norm(index: int, x: NDArray[np.float64]) -> NDArray[np.float64]:
            if moments:
                self.norms[index][2:] = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
            gamma, beta, mean, variance = self.norms[index]
            return (x - mean) / np.sqrt(variance + EPSILON) * gamma + beta

        def conv(index: int, x: NDArray[np.float64]) -> NDArray[np.float64]:
            weights, stride = self.weights[index], self.strides[index]
            kernel = len(weights)
            signs = (2.0 * weights - 1) * np.sqrt(2 / weights[..., 0].size)
            taps = [(dy, dx, signs[dy, dx]) for dy in range(kernel) for dx in range(kernel)]
            return sum(shifted(x, kernel, stride, dy, dx) @ each for dy, dx, each in taps)

        def pool(x: NDArray[np.float64]) -> NDArray[np.float64]:
            nine = [(dy, dx) for dy in range(3) for dx in range(3)]
            inside = sum(shifted(np.ones_like(x), 3, 2, *tap) for tap in nine)
            return sum(shifted(x, 3, 2, *tap) for tap in nine) / (inside if self.valid else 9)

        def shifted(x: NDArray[np.float64], kernel: int, stride: int, dy: int, dx: int) -> NDArray[np.float64]:
            """What each window has at one tap; 0 beyond the map."""
            side = x.shape[1]
            if self.padding == "keras":
                outs = -(-side // stride)
                before = max(0, (outs - 1) * stride + kernel - side) // 2
            else:
                before = kernel // 2
                outs = (side + 2 * before - kernel) // stride + 1
            around = np.zeros((len(x), side + 2 * kernel, side + 2 * kernel, x.shape[3]))
            around[:, before : before + side, before : before + side] = x
            span = (outs - 1) * stride + 1
            return around[:, dy : dy + span : stride, dx : dx + span : stride]

        relu = lambda x: np.maximum(x, 0)  # noqa: E731
        x = norm(0, images.astype(np.float64))
        stream = conv(0, relu(x) if self.relu else x)
        for first in range(1, len(self.weights) - 1, 2):
            x = conv(first, relu(norm(first, stream)))
            x = conv(first + 1, relu(norm(first + 1, x)))
            if self.strides[first] == 2:
                pooled = pool(stream)
                stream = np.concatenate([pooled, np.zeros_like(pooled)], axis=3)
            stream = stream + x
        last = len(self.weights) - 1
        return norm(last + 1, conv(last, relu(norm(last, stream)))).mean(axis=(1, 2))

    def variables(self) -> dict[str, Any]:
        """What the layout's file of this network holds."""
        return self._keras() if self.padding == "keras" else self._matlab()

    def _keras(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for index, norm in enumerate(self.norms):
            rows = norm[:] if index in (0, 3) else norm[2:]
            found[f"batch_normalization_v1_{84 + index}"] = np.array(rows, np.float32)
            if index < len(self.weights):
                found["conv2d" + (f"_{index}" if index else "")] = self.weights[index][None]
        return found

    def _matlab(self) -> dict[str, Any]:
        gammas, betas, means, variances = zip(*self.norms, strict=True)
        deviations = [np.sqrt(variance + EPSILON) for variance in variances]
        moments = [np.stack(each, axis=1) for each in zip(means, deviations, strict=True)]
        units = [np.sqrt(2 / weights[..., 0].size) for weights in self.weights]
        return {
            "BinaryWeights": row(self.weights),
            "BNG": row([each[:, None] for each in gammas]).T,
            "BNB": row([each[:, None] for each in betas]).T,
            "LayerWeights": np.array(units, np.float32)[:, None],
            "Moments": row(moments).T,
            "Padding": np.array([[len(weights) // 2 for weights in self.weights]], np.uint8),
            "PercentCorrectTest": np.array([[96.18]]),
            "Stride": np.array([self.strides], np.uint8),
        }

    def save(self, path: Path) -> Path:
        """Write the layout's file."""
        from scipy.io import savemat

        savemat(path, self.variables(), do_compression=True)
        return path


def row(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """A row of cells."""
    cells = np.empty((1, len(arrays)), object)
    for index, each in enumerate(arrays):
        cells[0, index] = each
    return cells


def images(count: int, seed: int) -> NDArray[np.uint8]:
    """Images [N, 32, 32, 3] with plains, edges and noise, some darker than others."""
    random = np.random.default_rng(seed)
    plains = np.kron(random.integers(0, 200, (count, 4, 4, 3)), np.ones((1, 8, 8, 1), np.int64))
    return (plains * random.random((count, 1, 1, 3)) + random.integers(0, 56, (count, 32, 32, 3))).astype(np.uint8)


def published(
    padding: str,
    channels: int = 4,
    blocks: tuple[int, int, int] = (2, 1, 1),
    classes: int = 10,
    seed: int = 0,
    seen: int = 100,
) -> Published:
    """A network of these blocks in each stage, the first of so many channels; norms 0 and 3 have learned.

    Its moments are those of `seen` images or, without any, none that fit.
    """
    random = np.random.default_rng(seed)
    shapes, strides, c_in = [(3, 3, channels)], [1], channels
    for stage, count in enumerate(blocks):
        for index in range(count):
            c_out = channels << stage
            shapes += [(3, c_in, c_out), (3, c_out, c_out)]
            strides += [2 if stage and not index else 1, 1]
            c_in = c_out
    shapes.append((1, c_in, classes))
    weights = [random.integers(0, 2, (k, k, ins, outs), np.uint8) for k, ins, outs in shapes]
    network = Published(weights, [*strides, 1], padding, relu=padding == "matlab")
    for index, size in enumerate([ins for _, ins, _ in shapes] + [classes]):
        gamma, beta = np.ones(size), np.zeros(size)
        if index in (0, 3):
            gamma, beta = random.uniform(0.5, 1.5, size), random.uniform(-0.5, 0.5, size)
            gamma[1] *= -1
        network.norms.append([gamma, beta, np.zeros(size), np.ones(size)])
    if seen:
        network(images(seen, seed + 1), moments=True)
    return network
