"""Players: the regions of the image among which the value is shared out."""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap, LabelMap
from lightbox.domain.errors import ExplanationError
from lightbox.domain.geometry import Axis, FrameGeometry

_ROWS = {
    1: ("",),
    2: ("upper", "lower"),
    3: ("upper", "middle", "lower"),
    4: ("top", "upper middle", "lower middle", "bottom"),
}
_COLUMNS = {
    1: ("",),
    2: ("left", "right"),
    3: ("left", "centre", "right"),
    4: ("left", "centre left", "centre right", "right"),
}


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


def region_name(index: int, grid: tuple[int, int]) -> str:
    """Name a region as it is seen in the picture: "upper left", "middle centre".

    Left is the left of the picture, which in most views is the patient's right side.
    """
    row, column = divmod(index, grid[1])
    words = (_word(_ROWS, row, grid[0], "row"), _word(_COLUMNS, column, grid[1], "column"))
    return " ".join(word for word in words if word) or "whole picture"


def _word(names: dict[int, tuple[str, ...]], index: int, count: int, kind: str) -> str:
    return names[count][index] if count in names else f"{kind} {index + 1} of {count}"


def _bands(axis: Axis, count: int) -> FloatMap:
    """Band of each model pixel along one axis, 0 to count - 1."""
    edges = axis.to_model(np.array([0.0, float(axis.source)]))
    low, high = max(float(edges[0]), 0.0), min(float(edges[1]), float(axis.model))
    centres = np.arange(axis.model) + 0.5
    band = np.floor((centres - low) / (high - low) * count)
    out: FloatMap = np.clip(band, 0, count - 1)
    return out
