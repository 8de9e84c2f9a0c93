"""A grid of even regions over what is seen of the source."""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap, LabelMap
from lightbox.domain.errors import ExplanationError
from lightbox.domain.geometry import Axis, FrameGeometry


def grid_regions(geometry: FrameGeometry, grid: tuple[int, int]) -> LabelMap:
    """Cut the part of the model frame that shows the source into a grid of even regions.

    Parameters
    ----------
    geometry : FrameGeometry
        How the source lies in the model frame.
    grid : tuple of int
        Rows and columns of the grid.

    Returns
    -------
    array, shape (H, W) of the model frame, int16
        Region of each pixel, row by row from the upper left; padding belongs to the nearest region.

    Raises
    ------
    ExplanationError
        If a region would be empty in the model frame or in the source frame.
    """
    rows = _bands(geometry.rows, grid[0])
    columns = _bands(geometry.columns, grid[1])
    labels: LabelMap = (rows[:, None] * grid[1] + columns[None, :]).astype(np.int16)
    return without_empty(labels, geometry, grid)


def without_empty(labels: LabelMap, geometry: FrameGeometry, grid: tuple[int, int]) -> LabelMap:
    """Return regions each of which has pixels.

    Raises
    ------
    ExplanationError
        If a region is empty in the model frame or in the source frame.
    """
    wanted = grid[0] * grid[1]
    for frame, found in (
        ("model", np.unique(labels).size),
        ("source", np.setdiff1d(geometry.labels_to_source(labels), -1).size),
    ):
        if found != wanted:
            raise ExplanationError(
                f"grid of {grid[0]} x {grid[1]} regions",
                f"only {found} of {wanted} regions have pixels in the {frame} frame",
                "name fewer rows or columns under [explanation] grid",
            )
    return labels


def visible(axis: Axis) -> tuple[float, float]:
    """Return where the source begins and ends along one axis, in model pixels."""
    edges = axis.to_model(np.array([0.0, float(axis.source)]))
    return max(float(edges[0]), 0.0), min(float(edges[1]), float(axis.model))


def _bands(axis: Axis, count: int) -> FloatMap:
    """Band of each model pixel along one axis, 0 to count - 1."""
    low, high = visible(axis)
    centres = np.arange(axis.model) + 0.5
    band = np.floor((centres - low) / (high - low) * count)
    out: FloatMap = np.clip(band, 0, count - 1)
    return out
