"""Agreement: whether the fast map and the audit say the same about the regions."""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap, LabelMap, PlayerValues
from lightbox.domain.quality import Block, Direction, QualityMetric

TOP = 0.2
"""Share of the regions that counts as the top."""

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
        "Overlap (intersection over union) of the top fifth of the regions of either.",
    ),
)


def region_means(source_map: FloatMap, players: LabelMap, n_players: int) -> PlayerValues:
    """Mean of a map in each region, shape (n_players,); pixels of no region do not count."""
    inside = players >= 0
    label = players[inside]
    total = np.bincount(label, weights=source_map[inside], minlength=n_players)
    out: PlayerValues = total / np.bincount(label, minlength=n_players)
    return out


def rank_correlation(first: PlayerValues, second: PlayerValues) -> float | None:
    """Spearman's rank correlation, ties shared; None where either is constant."""
    if np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return None
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def top_overlap(first: PlayerValues, second: PlayerValues) -> float:
    """Intersection over union of the highest fifth (at least one) of the regions of each."""
    count = max(1, round(TOP * first.size))
    tops = [set(np.argsort(-values, kind="stable")[:count].tolist()) for values in (first, second)]
    return len(tops[0] & tops[1]) / len(tops[0] | tops[1])


def _ranks(values: PlayerValues) -> PlayerValues:
    """Ranks from 0; equal values share the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    out: PlayerValues = (last - (count + 1) / 2.0)[place]
    return out
