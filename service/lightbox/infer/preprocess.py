"""Decoded pixels to the network's input, as the manifest describes it.

Nothing here looks at window values or at the number of bits: the same picture stored with 8 or
16 bits, with or without a window, gives the same tensor up to rounding. Where values have a unit,
as in CT, a manifest may state levels in place of the frame's own percentiles.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np
from PIL import Image

from lightbox.domain.arrays import FloatMap, ImageTensor, Mask
from lightbox.domain.background import Background
from lightbox.domain.errors import ModelPackageError, UnreadableError
from lightbox.domain.geometry import FrameGeometry
from lightbox.domain.model_package import Preprocessing

_EACH = 127
"""Every so manieth value is in the sample; a prime, so that it is no column of an image."""
_MARGIN = 8


def geometry_for(
    spec: Preprocessing, source: tuple[int, int], spacing: tuple[float, float] | None = None
) -> FrameGeometry:
    """How a frame of ``source`` = (rows, columns) pixels is placed in the model frame.

    Parameters
    ----------
    spec : Preprocessing
    source : tuple of two ints
    spacing : tuple of two floats, or None
        The frame's, millimetres between rows and between columns.

    Raises
    ------
    UnreadableError
        If the model needs millimetres and the frame has none.
    """
    match spec.fit:
        case "pad":
            return FrameGeometry.pad(source, spec.size)
        case "crop":
            return FrameGeometry.crop(source, spec.size)
        case "stretch":
            return FrameGeometry.stretch(source, spec.size)
        case "spacing":
            assert spec.spacing is not None  # the manifest was checked
            if spacing is None:
                raise UnreadableError(
                    "the frame", "states no Pixel Spacing, and the model measures in millimetres"
                )
            return FrameGeometry.spaced(source, spec.size, spacing, spec.spacing)


def model_input(
    spec: Preprocessing, pixels: FloatMap, spacing: tuple[float, float] | None = None
) -> ImageTensor:
    """Normalise and resample one frame.

    Parameters
    ----------
    spec : Preprocessing
        The ``[preprocessing]`` table of the manifest.
    pixels : array, shape (rows, columns) or (rows, columns, 3)
        Values after the modality LUT, larger is brighter.
    spacing : tuple of two floats, or None
        Millimetres between rows and between columns.

    Returns
    -------
    array, shape (1, channels, H, W), float32

    Raises
    ------
    UnreadableError
        If the model needs millimetres and the frame has none.
    """
    grey = pixels.astype(np.float32, copy=False)
    if grey.ndim == 3:  # ITU-R BT.601 luma, as PIL's convert("L")
        grey = grey @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    unit = _unit_range(spec, grey)
    resized = _resample(unit, geometry_for(spec, grey.shape, spacing))
    return _normalised(spec, resized[None, None])


def percentiles(values: FloatMap, wanted: tuple[float, float]) -> tuple[float, float]:
    """Return ``np.percentile(values, wanted)``, bit for bit, in a fraction of its time.

    Only the two ends are looked through, beyond bounds that a sample suggests; where it misleads, and of
    few values, numpy is asked.

    Parameters
    ----------
    values : array, float32
        Of any shape.
    wanted : tuple of two floats
        From 0 to 100, the lower one below 50, the upper one above.
    """
    flat = values.ravel()
    places = (flat.size - 1) * np.true_divide(wanted, 100)  # as numpy's method "linear"
    first, last = (int(place) for place in places)
    some = np.sort(flat[::_EACH])
    reach = 2 * int(max(first, flat.size - last) / _EACH) + _MARGIN
    if 2 * reach < some.size and not np.isnan(flat.max()):
        lower, upper = flat[flat <= some[reach]], flat[flat >= some[-reach]]
        last -= flat.size - upper.size
        if first + 1 < lower.size and last >= 0 and last + 1 < upper.size:
            lower.partition((first, first + 1))
            upper.partition((last, last + 1))
            below = np.array([lower[first], upper[last]])
            above = np.array([lower[first + 1], upper[last + 1]])
            return _between(below, above, places - np.floor(places))
    low, high = np.percentile(values, wanted)
    return low, high


def _between(below: FloatMap, above: FloatMap, part: FloatMap) -> tuple[float, float]:
    """Interpolate, from the nearer side as numpy does."""
    step = above - below
    low, high = np.where(part >= 0.5, above - step * (1 - part), below + step * part)
    return low, high


def _normalised(spec: Preprocessing, unit: FloatMap) -> ImageTensor:
    """Bring levels of 0 to 1, shape (B, 1, H, W), to the network's channels and scale."""
    channels = np.repeat(unit, spec.channels, axis=1)
    mean = np.asarray(spec.mean, dtype=np.float32).reshape(-1, 1, 1)
    std = np.asarray(spec.std, dtype=np.float32).reshape(-1, 1, 1)
    tensor: ImageTensor = np.ascontiguousarray((channels - mean) / std, dtype=np.float32)
    return tensor


def _unit_range(spec: Preprocessing, grey: FloatMap) -> FloatMap:
    """Scale to 0..1 between the levels, or two percentiles; a frame flat by those becomes zero."""
    low, high = spec.levels or percentiles(grey, spec.percentiles)
    if high <= low:
        low, high = float(grey.min()), float(grey.max())
    if high <= low:
        return np.zeros_like(grey)
    unit = grey - np.float32(low)
    unit /= np.float32(high - low)
    return np.clip(unit, 0.0, 1.0, out=unit)


def _resample(unit: FloatMap, geometry: FrameGeometry) -> FloatMap:
    """Antialiased bilinear resampling of the canvas (outside of the source: 0)."""
    rows, columns = geometry.rows, geometry.columns
    before = (max(0, int(np.ceil(rows.offset))), max(0, int(np.ceil(columns.offset))))
    after = tuple(
        max(0, int(np.ceil(axis.canvas - axis.offset - axis.source))) for axis in (rows, columns)
    )
    around = ((before[0], after[0]), (before[1], after[1]))
    canvas = np.pad(unit, around) if any(map(any, around)) else unit
    top, left = before[0] - rows.offset, before[1] - columns.offset
    box = (left, top, left + columns.canvas, top + rows.canvas)
    image = Image.fromarray(np.ascontiguousarray(canvas, dtype=np.float32))
    height, width = geometry.model_shape
    resized: FloatMap = np.asarray(
        image.resize((width, height), Image.Resampling.BILINEAR, box=box)
    )
    return resized


def background_bytes(unit: FloatMap, lesions: Mask) -> bytes:
    """Return the file of these images.

    Parameters
    ----------
    unit : array, shape (m, H, W)
        Levels from 0 to 1, before normalisation; kept in 8 bits.
    lesions : array, shape (m, H, W), bool
    """
    levels = np.rint(np.clip(unit, 0.0, 1.0) * 255.0).astype(np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(stream, levels=levels, lesions=np.packbits(lesions, axis=-1))
    return stream.getvalue()


def read_background(data: bytes, preprocessing: Preprocessing, thing: str) -> Background:
    """Read the file and normalise its images as the model's input is.

    Raises
    ------
    ModelPackageError
        If it is no such file, or its images have another size.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            levels, packed = arrays["levels"], arrays["lesions"]
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ModelPackageError(
            thing, "is no file of background images", "expected the arrays levels and lesions"
        ) from error
    if levels.ndim != 3 or levels.shape[1:] != preprocessing.size or levels.dtype != np.uint8:
        raise ModelPackageError(
            thing,
            f"its levels have shape {levels.shape} and type {levels.dtype}",
            f"expected uint8 of shape (images, {preprocessing.size[0]}, {preprocessing.size[1]})",
        )
    width = levels.shape[2]
    lesions = np.unpackbits(packed, axis=-1)[..., :width].astype(np.bool_)
    if lesions.shape != levels.shape:
        raise ModelPackageError(
            thing, f"its lesions have shape {lesions.shape}", f"expected {levels.shape}"
        )
    unit = (levels / np.float32(255.0))[:, None]
    return Background(_normalised(preprocessing, unit), lesions)
