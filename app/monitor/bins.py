"""Distributions over fixed bins: how they are made in training, how events are counted into them, how far two differ.

Imports numpy only, for training needs it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
FREQUENT = 0.05  # a value with such a share of all rows has a bin of its own
LEAST = 1e-4  # what an empty bin counts as: the index would be infinite

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Binned:
    """Rising edges, the shares of the bins that they part, and the mean of what is in them.

    Bin i ends at edges[i], which belongs to it; the last one is open.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    mean: float


def binned(values: Floats) -> Binned:
    """Quantiles as edges; beside them, every frequent value ends a bin and is alone in it."""
    edges = set(np.quantile(values, QUANTILES, method="higher").tolist())
    found, counts = np.unique(values, return_counts=True)
    for at in np.flatnonzero(counts >= FREQUENT * len(values)):
        edges |= {float(edge) for edge in found[max(0, at - 1) : at + 1]}
    edges.discard(float(found[-1]))  # the last bin would be empty
    rising = tuple(sorted(edges)) or (float(found[-1]),)
    shares = counted(values, rising) / len(values)
    return Binned(rising, tuple(shares.tolist()), float(values.mean()))


def counted(values: Floats, edges: Sequence[float]) -> Ints:
    """How many of the values are in each bin."""
    return np.bincount(np.searchsorted(np.asarray(edges), values, side="left"), minlength=len(edges) + 1)


def psi(counts: Sequence[float] | Ints, reference: Sequence[float]) -> float:
    """The population stability index of some counts against shares: 0 where they are alike, at least 0.

    A half is added to each count, as if it had been seen already: a bin that is rare in training and empty in a few
    hundred events is no drift.
    """
    seen = np.asarray(counts, np.float64) + 0.5
    seen /= seen.sum()
    wanted = np.maximum(np.asarray(reference, np.float64), LEAST)
    return float(((seen - wanted) * np.log(seen / wanted)).sum())


class Spread:
    """Bins of rising width for what spans from a millisecond to an hour: quantiles within 5 %."""

    FIRST, FACTOR, COUNT = 1.0, 1.1, 160
    edges = FIRST * FACTOR ** np.arange(COUNT - 1)

    @classmethod
    def counts(cls, values: Floats) -> Ints:
        return np.bincount(np.searchsorted(cls.edges, values, side="left"), minlength=cls.COUNT)

    @classmethod
    def quantile(cls, counts: Ints, share: float) -> float | None:
        """The value below which `share` of what was counted lies; None of nothing."""
        total = int(counts.sum())
        if not total:
            return None
        at = int(np.searchsorted(np.cumsum(counts), share * total))
        return float(cls.edges[min(at, cls.COUNT - 2)] / cls.FACTOR**0.5)
