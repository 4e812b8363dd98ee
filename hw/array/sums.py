"""Shared sums: every output's signed sum of the same inputs, with few and narrow adders.

Two steps find them. First all outputs are referred to the one most like the others (or most unlike them), the pivot:
where output j differs from it (or from its opposite, whichever is nearer), both give +-(pivot - 2 d) with d the pivot's
terms in the places that differ, fewer than half of them. So an input has the same sign wherever it occurs, and pairs of
inputs coincide twice as often. Then the pair of terms that most sums have in common becomes a sum of its own, again
and again, until no two sums have a pair in common; of pairs as frequent, the one with the narrowest sum comes first,
then the one whose terms are needed least elsewhere. What is left of a sum is added up from its narrowest terms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Term(NamedTuple):
    """+-(value of `node` << shift)."""

    node: int
    shift: int = 0
    negative: bool = False


@dataclass(frozen=True)
class SharedSums:
    """A graph of adders. Nodes 0 to inputs - 1 are the inputs, then come the adders, after their operands.

    adders : the two terms that each adds
    outputs : a term for each output
    """

    inputs: int
    adders: tuple[tuple[Term, Term], ...]
    outputs: tuple[Term, ...]

    @cached_property
    def coefficients(self) -> NDArray[np.int64]:
        """int64 [nodes, inputs]: how often each node has each input."""
        rows = np.zeros((self.inputs + len(self.adders), self.inputs), np.int64)
        rows[: self.inputs] = np.eye(self.inputs)
        for node, terms in enumerate(self.adders, self.inputs):
            rows[node] = sum((-1) ** t.negative * (rows[t.node] << t.shift) for t in terms)
        return rows

    @cached_property
    def levels(self) -> list[int]:
        """Of each node: adders on the longest way to it."""
        levels = [0] * self.inputs
        for a, b in self.adders:
            levels.append(1 + max(levels[a.node], levels[b.node]))
        return levels


def share(weights: NDArray[np.bool_], top: int) -> SharedSums:
    """The sums of inputs 0..top with weights of +-1: bool [C_out, K], True is +1. Equal weights give equal graphs."""
    return _share(weights.tobytes(), weights.shape, top)


@lru_cache(maxsize=32)  # a planner builds many machines of the same layers
def _share(bits: bytes, shape: tuple[int, int], top: int) -> SharedSums:
    weights = np.frombuffer(bits, np.bool_).reshape(shape)
    signs = np.where(weights, 1, -1)
    alike = signs @ signs.T
    pivot = int(np.abs(alike).sum(axis=1).argmax())
    opposite = alike[pivot] < 0
    differing = weights ^ weights[pivot] ^ opposite[:, None]
    rows, which = np.unique(differing[differing.any(axis=1)], axis=0, return_inverse=True)
    everything = np.ones((1, weights.shape[1]), np.bool_)
    adders, (whole, *parts) = _add_up(np.vstack((everything, rows)), ~weights[pivot], top)
    found = []
    for part in parts:
        adders.append((whole, Term(part.node, 1, not part.negative)))
        found.append(Term(weights.shape[1] + len(adders) - 1))
    places = iter(which.ravel())
    outputs = [found[next(places)] if row.any() else whole for row in differing]
    return SharedSums(
        weights.shape[1],
        tuple(adders),
        tuple(t._replace(negative=t.negative ^ bool(flip)) for t, flip in zip(outputs, opposite, strict=True)),
    )


def _add_up(
    rows: NDArray[np.bool_], negative: NDArray[np.bool_], top: int
) -> tuple[list[tuple[Term, Term]], list[Term]]:
    """Adders for sums of the inputs that each row has, some of the inputs negative; the term that each sum became."""
    inputs = rows.shape[1]
    signs = negative.tolist()
    size = [1] * inputs
    adders: list[tuple[Term, Term]] = []

    def add(i, j):
        """A node for the sum of two; it has the sign of the first."""
        adders.append((Term(i), Term(j, 0, signs[i] != signs[j])))
        signs.append(signs[i])
        size.append(size[i] + size[j])
        return len(size) - 1

    terms = rows.T.astype(np.float32)  # [nodes, sums], exact
    common = terms @ terms.T  # the sums that have both of a pair
    np.fill_diagonal(common, 0)
    best = common.max(axis=0)
    while (most := best.max()) > 1:
        candidates = np.flatnonzero(best == most)
        i, j = np.nonzero(common[candidates] == most)
        i = candidates[i]
        needs, sizes = terms.sum(axis=1), np.array(size)
        bits = np.frexp(top * (sizes[i] + sizes[j]) + 0.5)[1]
        chosen = np.lexsort((j, i, needs[i] + needs[j], bits))[0]
        i, j = int(i[chosen]), int(j[chosen])
        node = add(i, j)
        stale = np.append(np.flatnonzero(np.maximum(common[i], common[j]) == best), [i, j, node])
        both = terms[i] * terms[j]
        terms = np.vstack((terms, both))
        terms[[i, j]] -= both
        common = np.pad(common, (0, 1))
        for k in (i, j, node):
            common[k] = common[:, k] = terms @ terms[k]
            common[k, k] = 0
        best = np.maximum(np.append(best, 0), common[node])
        best[stale] = common[stale].max(axis=1)

    totals = []
    for column in terms.T:
        queue = [(size[node], node) for node in np.flatnonzero(column).tolist()]
        heapify(queue)
        while len(queue) > 1:
            node = add(heappop(queue)[1], heappop(queue)[1])
            heappush(queue, (size[node], node))
        node = queue[0][1]
        totals.append(Term(node, 0, signs[node]))
    return adders, totals
