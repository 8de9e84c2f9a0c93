"""Agreement: whether fast map, audit and occlusion say the same about the regions."""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap, LabelMap, PlayerValues
from lightbox.domain.quality import Block, Direction, QualityMetric

TOP = 0.5
"""A region belongs to the top from this share of the highest value on."""

METRICS = (
    QualityMetric(
        "agreement",
        Block.ROBUSTNESS,
        Direction.HIGHER,
        "Rank correlation (Spearman) of the fast map's mean in each region with its value.",
    ),
    QualityMetric(
        "agreement_top",
        Block.ROBUSTNESS,
        Direction.HIGHER,
        "Overlap of the regions with at least half of the highest value in either.",
    ),
    QualityMetric(
        "agreement_occlusion",
        Block.ROBUSTNESS,
        Direction.HIGHER,
        "Rank correlation of the values with what hiding each region alone costs.",
    ),
    QualityMetric(
        "agreement_baseline",
        Block.ROBUSTNESS,
        Direction.HIGHER,
        "Rank correlation of what hiding each region alone costs with the same for another "
        "baseline.",
    ),
)


def region_means(source_map: FloatMap, players: LabelMap, n_players: int) -> PlayerValues:
    """Mean of a map in each region, shape (n_players,); pixels of no region do not count."""
    label = (players.ravel() + 1).astype(np.intp)  # 0 is no region
    total = np.bincount(label, weights=source_map.ravel(), minlength=n_players + 1)
    out: PlayerValues = (total / np.maximum(np.bincount(label, minlength=n_players + 1), 1))[1:]
    return out


def rank_correlation(first: PlayerValues, second: PlayerValues) -> float | None:
    """Spearman's rank correlation, ties shared; None where either is constant."""
    if np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return None
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def in_steps(values: PlayerValues, step: float) -> PlayerValues:
    """Round to whole steps, so that what cannot be told apart has the same rank."""
    out: PlayerValues = np.round(values / step)
    return out


def top_overlap(first: PlayerValues, second: PlayerValues) -> float | None:
    """Intersection over union of the top regions of each; None where either has no positive one."""
    if first.max() <= 0.0 or second.max() <= 0.0:
        return None
    one, other = (values >= TOP * values.max() for values in (first, second))
    return float((one & other).sum() / (one | other).sum())


def _ranks(values: PlayerValues) -> PlayerValues:
    """Ranks from 0; equal values share the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    out: PlayerValues = (last - (count + 1) / 2.0)[place]
    return out
