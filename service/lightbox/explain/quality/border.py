"""How much of a map lies at the border of the source frame, where shortcuts live."""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap
from lightbox.domain.quality import Block, Direction, QualityMetric

BAND = 0.1
"""Width of the border, as a share of each side's length."""

METRIC = QualityMetric(
    "border_mass",
    Block.PLAUSIBILITY,
    Direction.LOWER,
    "Share of the absolute attribution in the outer tenth of the frame; an even map has 0.36.",
)


def border_mass(source_map: FloatMap) -> float:
    """Return the share of |a| in the border band.

    Parameters
    ----------
    source_map : array, shape (rows, columns)
        In source pixels, not zero everywhere.

    Returns
    -------
    float
        0 to 1.
    """
    size = np.abs(source_map)
    rows, columns = (round(BAND * length) for length in size.shape)
    inner = size[rows : size.shape[0] - rows, columns : size.shape[1] - columns]
    total = float(size.sum(dtype=np.float64))
    return 1.0 - float(inner.sum(dtype=np.float64)) / total
