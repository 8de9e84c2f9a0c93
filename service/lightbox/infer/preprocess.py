"""Decoded pixels to the network's input, as the manifest describes it.

Nothing here looks at window values or at the number of bits: the same picture stored with 8 or
16 bits, with or without a window, gives the same tensor up to rounding.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from lightbox.domain.arrays import FloatMap, ImageTensor
from lightbox.domain.geometry import FrameGeometry
from lightbox.domain.model_package import Preprocessing


def geometry_for(spec: Preprocessing, source: tuple[int, int]) -> FrameGeometry:
    """How a frame of ``source`` = (rows, columns) pixels is placed in the model frame."""
    match spec.fit:
        case "pad":
            return FrameGeometry.pad(source, spec.size)
        case "crop":
            return FrameGeometry.crop(source, spec.size)
        case "stretch":
            return FrameGeometry.stretch(source, spec.size)


def model_input(spec: Preprocessing, pixels: FloatMap) -> ImageTensor:
    """Normalise and resample one frame.

    Parameters
    ----------
    spec : Preprocessing
        The ``[preprocessing]`` table of the manifest.
    pixels : array, shape (rows, columns) or (rows, columns, 3)
        Values after the modality LUT, larger is brighter.

    Returns
    -------
    array, shape (1, channels, H, W), float32
    """
    grey = pixels.astype(np.float32)
    if grey.ndim == 3:  # ITU-R BT.601 luma, as PIL's convert("L")
        grey = grey @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    unit = _unit_range(spec, grey)
    resized = _resample(unit, geometry_for(spec, grey.shape))
    channels = np.repeat(resized[None], spec.channels, axis=0)
    mean = np.asarray(spec.mean, dtype=np.float32).reshape(-1, 1, 1)
    std = np.asarray(spec.std, dtype=np.float32).reshape(-1, 1, 1)
    tensor: ImageTensor = np.ascontiguousarray((channels - mean) / std, dtype=np.float32)[None]
    return tensor


def _unit_range(spec: Preprocessing, grey: FloatMap) -> FloatMap:
    """Scale to 0..1 between two percentiles of the frame; a flat frame becomes zero."""
    low, high = np.percentile(grey, spec.percentiles)
    if high <= low:
        low, high = float(grey.min()), float(grey.max())
    if high <= low:
        return np.zeros_like(grey)
    unit: FloatMap = np.clip((grey - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return unit


def _resample(unit: FloatMap, geometry: FrameGeometry) -> FloatMap:
    """Antialiased bilinear resampling of the canvas (outside of the source: 0)."""
    rows, columns = geometry.rows, geometry.columns
    before = (max(0, int(np.ceil(rows.offset))), max(0, int(np.ceil(columns.offset))))
    after = tuple(
        max(0, int(np.ceil(axis.canvas - axis.offset - axis.source))) for axis in (rows, columns)
    )
    canvas = np.pad(unit, ((before[0], after[0]), (before[1], after[1])))
    top, left = before[0] - rows.offset, before[1] - columns.offset
    box = (left, top, left + columns.canvas, top + rows.canvas)
    image = Image.fromarray(np.ascontiguousarray(canvas, dtype=np.float32))
    height, width = geometry.model_shape
    resized: FloatMap = np.asarray(
        image.resize((width, height), Image.Resampling.BILINEAR, box=box)
    )
    return resized
