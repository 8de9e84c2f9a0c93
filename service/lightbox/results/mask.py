"""The region that a viewer overlays: a thresholded attribution. One rule, said on the objects."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lightbox.domain.arrays import FloatMap, Mask, PlayerValues
from lightbox.domain.attribution import Attribution

PlayerIndices: TypeAlias = npt.NDArray[np.int64]
"""Indices of players, shape (n,)."""

SHARE_OF_MAXIMUM = 0.5
RULE = "attribution at least 50 % of its maximum"
"""For maps per pixel, for players per region; only what supports the finding."""


def supporting_players(values: PlayerValues) -> PlayerIndices:
    """Return the players whose value is at least half of the largest; none if none is positive."""
    if values.size == 0 or values.max() <= 0:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero((values >= SHARE_OF_MAXIMUM * values.max()) & (values > 0))


def highest(source_map: FloatMap) -> float:
    """Return the largest number of a map, 0 if there is none."""
    return float(np.nan_to_num(source_map, posinf=0.0).max(initial=0.0))


def region_mask(attribution: Attribution) -> Mask:
    """Return where the attribution supports the finding most.

    Returns
    -------
    array, shape (rows, columns) of the source frame, bool
        All False where nothing supports it.
    """
    values, players = attribution.estimate.values, attribution.players
    if values is not None and players is not None:
        return np.isin(players, supporting_players(values))
    source_map = attribution.source_map
    top = highest(source_map)
    if top <= 0:
        return np.zeros(source_map.shape, dtype=np.bool_)
    mask: Mask = np.nan_to_num(source_map) >= SHARE_OF_MAXIMUM * top
    return mask
