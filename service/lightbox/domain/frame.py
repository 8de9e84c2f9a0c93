"""A decoded frame: what the network sees, what a person sees, and how the two lie together."""

from __future__ import annotations

from dataclasses import dataclass

from lightbox.domain.arrays import ImageTensor, Picture
from lightbox.domain.geometry import FrameGeometry
from lightbox.domain.prediction import FrameRef


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of one instance, decoded and preprocessed for one model.

    Attributes
    ----------
    tensor : array, shape (1, C, H, W), float32
        Model input.
    picture : array, shape (rows, columns) or (rows, columns, 3), uint8
        As a viewer would show it (VOI LUT or window applied, MONOCHROME1 inverted).
    pixel_spacing : tuple of two floats, or None
        Millimetres between rows and between columns, where the source says so.
    """

    ref: FrameRef
    tensor: ImageTensor
    picture: Picture
    geometry: FrameGeometry
    pixel_spacing: tuple[float, float] | None = None
