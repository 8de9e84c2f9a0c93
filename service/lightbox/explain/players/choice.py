"""The regions that a model's manifest asks for."""

from __future__ import annotations

from typing import assert_never

from lightbox.domain.arrays import LabelMap
from lightbox.domain.frame import Frame
from lightbox.domain.model_package import Explanation
from lightbox.explain.players.grid import grid_regions
from lightbox.explain.players.superpixels import superpixel_regions


def regions_of(spec: Explanation, frame: Frame) -> LabelMap:
    """Cut the model frame into the players of an audit.

    Parameters
    ----------
    spec : Explanation
        The ``[explanation]`` table of the manifest.
    frame : Frame
        The model's input and where it is from.

    Returns
    -------
    array, shape (H, W) of the model frame, int16
        0 to ``rows * columns of the grid - 1``, whichever way they are made; a region is named
        after the cell of the grid that it is, or grew from.

    Raises
    ------
    ExplanationError
        If a region would be empty in the model frame or in the source frame.
    """
    match spec.regions:
        case "grid":
            return grid_regions(frame.geometry, spec.grid)
        case "superpixels":
            return superpixel_regions(frame.tensor[0], frame.geometry, spec.grid)
        case _ as unreachable:
            assert_never(unreachable)
