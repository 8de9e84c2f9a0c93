"""Deletion and insertion of regions in the order of the explanation, against random orders.

Petsiuk et al. 2018 (arXiv 1806.07421), on regions, with the package's baseline. The mean over
random orders is the mean of v over coalitions of each size, so it needs no draws of its own: a full
table gives it exactly, a sample that is uniform within each size without bias.
"""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, PlayerValues
from lightbox.domain.quality import Block, Direction, QualityMetric

_SOURCE = "Petsiuk et al. 2018, arXiv 1806.07421"

METRICS = (
    QualityMetric(
        "deletion",
        Block.FAITHFULNESS,
        Direction.LOWER,
        "Mean of v while the highest regions go first, minus the same for random orders.",
        _SOURCE,
    ),
    QualityMetric(
        "insertion",
        Block.FAITHFULNESS,
        Direction.HIGHER,
        "Mean of v while the highest regions come first, minus the same for random orders.",
        _SOURCE,
    ),
    QualityMetric(
        "deletion_fast_map",
        Block.FAITHFULNESS,
        Direction.LOWER,
        "The same as deletion, in the order that the fast map gives the regions.",
        _SOURCE,
    ),
    QualityMetric(
        "insertion_fast_map",
        Block.FAITHFULNESS,
        Direction.HIGHER,
        "The same as insertion, in the order that the fast map gives the regions.",
        _SOURCE,
    ),
)


def prefixes(values: PlayerValues) -> CoalitionMatrix:
    """Coalitions that arise while regions come in, highest value first.

    Parameters
    ----------
    values : array, shape (n,)
        Importance of each region; of equal ones the first comes first.

    Returns
    -------
    array, shape (n + 1, n), bool
        From none to all; the complements, in this order, are those of deletion.
    """
    rank = np.empty(values.size, dtype=np.int64)
    rank[np.argsort(-values, kind="stable")] = np.arange(values.size)
    return rank[None, :] < np.arange(values.size + 1)[:, None]


def mean_by_size(coalitions: CoalitionMatrix, values: PlayerValues) -> PlayerValues | None:
    """Mean of v over the coalitions of each size 0 to n, sizes that are missing interpolated.

    Parameters
    ----------
    coalitions : array, shape (m, n), bool
        A full table, or draws that are uniform within each size.
    values : array, shape (m,)
        v of each row.

    Returns
    -------
    array, shape (n + 1,), or None
        None where fewer than half of the sizes were seen: no fair reference.
    """
    n = coalitions.shape[1]
    sizes = coalitions.sum(axis=1)
    count = np.bincount(sizes, minlength=n + 1)
    seen = np.flatnonzero(count)
    if 2 * seen.size < n + 1:
        return None
    mean = np.bincount(sizes, weights=values, minlength=n + 1)[seen] / count[seen]
    out: PlayerValues = np.interp(np.arange(n + 1), seen, mean)
    return out


def area(curve: PlayerValues) -> float:
    """Mean height of a curve over equal steps (trapezoids)."""
    return float((curve[:-1] + curve[1:]).mean() / 2.0)
