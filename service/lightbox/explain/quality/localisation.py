"""How a map lies to a mask that a reader drew: pointing game, overlap, mass.

Pointing game: Zhang et al. 2018 (arXiv 1608.00507); mass: Arras et al. 2022 (arXiv 2003.07258).
"""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap, Mask
from lightbox.domain.errors import UsageError
from lightbox.domain.quality import Block, Direction, Plausibility, QualityMetric

METRICS = (
    QualityMetric(
        "pointing_game",
        Block.PLAUSIBILITY,
        Direction.HIGHER,
        "1 where the map's maximum is inside the mask.",
        "Zhang et al. 2018, arXiv 1608.00507",
    ),
    QualityMetric(
        "iou",
        Block.PLAUSIBILITY,
        Direction.HIGHER,
        "Overlap of the mask with the map's highest pixels, as many as the mask has.",
    ),
    QualityMetric(
        "mass",
        Block.PLAUSIBILITY,
        Direction.HIGHER,
        "Share of the positive attribution that is inside the mask.",
        "Arras et al. 2022, arXiv 2003.07258",
    ),
)


def plausibility(source_map: FloatMap, mask: Mask) -> Plausibility:
    """Compare a map with a mask, both in source pixels.

    Parameters
    ----------
    source_map : array, shape (rows, columns)
    mask : array, shape (rows, columns), bool

    Returns
    -------
    Plausibility
        Where pixels share the maximum (a region of equal values), the pointing game is the share
        of them that is inside; overlap and mass count ties in the same fair way.

    Raises
    ------
    UsageError
        If the mask is empty or of another shape.
    """
    if mask.shape != source_map.shape:
        raise UsageError(
            "mask",
            f"it has {mask.shape[0]} x {mask.shape[1]} pixels, the image has "
            f"{source_map.shape[0]} x {source_map.shape[1]}",
            "draw it on the source image",
        )
    area = int(mask.sum())
    if area == 0:
        raise UsageError("mask", "it is empty", "mark the finding with values other than 0")
    positive = np.clip(source_map.astype(np.float64), 0.0, None)
    total = float(positive.sum())
    hottest = source_map == source_map.max()
    shared = _fair_overlap(source_map, mask, area)
    return Plausibility(
        pointing_game=float(mask[hottest].mean()),
        iou=shared / (2 * area - shared),
        mass=float(positive[mask].sum()) / total if total > 0.0 else 0.0,
    )


def _fair_overlap(source_map: FloatMap, mask: Mask, area: int) -> float:
    """Pixels of the mask among the highest ``area``; ties at the edge count in proportion."""
    edge = np.partition(source_map, source_map.size - area, axis=None)[source_map.size - area]
    above, level = source_map > edge, source_map == edge
    wanted = (area - int(above.sum())) / int(level.sum())
    return float(mask[above].sum()) + wanted * float(mask[level].sum())
