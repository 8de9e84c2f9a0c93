"""How concentrated a map is: entropy and Gini sparseness of its absolute values."""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap
from lightbox.domain.quality import Block, Direction, QualityMetric

ENTROPY = QualityMetric(
    "entropy",
    Block.PLAUSIBILITY,
    Direction.LOWER,
    "Entropy of the shares of the cells, over its maximum: 1 is an even map, 0 a single cell.",
    "Bhatt et al. 2020, arXiv 2005.00631",
)
SPARSENESS = QualityMetric(
    "sparseness",
    Block.PLAUSIBILITY,
    Direction.HIGHER,
    "Gini coefficient of the cells: 0 is an even map, towards 1 a single cell.",
    "Chalasani et al. 2020, arXiv 1810.06583",
)
METRICS = (ENTROPY, SPARSENESS)


def entropy(cells: FloatMap) -> float:
    """Entropy of |a| / sum |a| divided by log(number of cells), 0 to 1."""
    share = _shares(cells)
    if share.size == 1:
        return 0.0
    present = share[share > 0]
    return abs(float((present * np.log(present)).sum() / np.log(share.size)))


def sparseness(cells: FloatMap) -> float:
    """Gini coefficient of |a|, 0 to 1."""
    share = np.sort(_shares(cells))
    rank = np.arange(1, share.size + 1)
    return float(((2 * rank - share.size - 1) * share).sum() / share.size)


def _shares(cells: FloatMap) -> FloatMap:
    size = np.abs(cells, dtype=np.float64).ravel()
    out: FloatMap = size / size.sum()
    return out
