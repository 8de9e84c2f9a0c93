"""Completeness: whether the values add up to what there was to share out."""

from __future__ import annotations

from lightbox.domain.arrays import PlayerValues
from lightbox.domain.quality import Block, Direction, QualityMetric

METRIC = QualityMetric(
    "completeness_residual",
    Block.FAITHFULNESS,
    Direction.LOWER,
    "|sum of the values - (v(all regions) - v(none))|, in the unit of v.",
    "Sundararajan et al. 2017, arXiv 1703.01365",
)


def completeness_residual(values: PlayerValues, v_empty: float, v_full: float) -> float:
    """Sum of the values minus (v(N) - v(empty)); signed, in the unit of v."""
    return float(values.sum()) - (v_full - v_empty)
