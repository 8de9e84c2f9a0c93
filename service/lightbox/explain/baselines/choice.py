"""Baselines: what stands where a region is absent.

The choice is the model package's and is shown with every result: a blurred lesion may still be a
lesion to the model, and the value of nothing decides what there is to share out.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np

from lightbox.domain.arrays import FloatMap, ImageTensor, LabelMap
from lightbox.domain.background import Background
from lightbox.domain.errors import ExplanationError
from lightbox.domain.model_package import Explanation
from lightbox.explain.baselines.background import lesion_free, mean_image
from lightbox.explain.baselines.inpainting import inpainted

NEEDS_BACKGROUND = frozenset({"background", "lesion_free"})
"""Kinds that only a package with background images can have."""


def baseline_of(
    spec: Explanation,
    tensor: ImageTensor,
    regions: LabelMap | None = None,
    background: Background | None = None,
) -> FloatMap:
    """Make the baseline that the manifest asks for.

    Parameters
    ----------
    spec : Explanation
        The ``[explanation]`` table of the manifest.
    tensor : array, shape (1, C, H, W), float32
        The model's input.
    regions : array, shape (H, W), or None
        Region of each pixel; the whole image is one where there are none.
    background : Background or None
        The package's background images.

    Returns
    -------
    array, shape (C, H, W), float32

    Raises
    ------
    ExplanationError
        If the kind needs background images and there are none.
    """
    image = tensor[0]
    if regions is None:
        regions = np.zeros(image.shape[1:], dtype=np.int16)
    match spec.baseline:
        case "blur":
            return blurred(image, spec.baseline_cells)
        case "mean":
            level = image.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
            return np.broadcast_to(level, image.shape).astype(np.float32)
        case "zero":  # of the normalised input: the level that training subtracted, not black
            return np.zeros_like(image)
        case "inpaint":
            return inpainted(image, regions)
        case "background":
            return mean_image(_given(background, spec.baseline))
        case "lesion_free":
            return lesion_free(image, regions, _given(background, spec.baseline))
        case _ as unreachable:
            assert_never(unreachable)


def _given(background: Background | None, kind: str) -> Background:
    if background is None:
        raise ExplanationError(
            f"baseline {kind}",
            "the model package has no background images",
            "add background.npz to it, or state another explanation.baseline",
        )
    return background


def blurred(image: FloatMap, cells: int) -> FloatMap:
    """Average over ``cells`` x ``cells`` cells and interpolate back bilinearly.

    The same numbers as torch's ``adaptive_avg_pool2d`` and ``interpolate(mode="bilinear",
    align_corners=False)``, with which models are trained.

    Parameters
    ----------
    image : array, shape (C, H, W)
        A model input without its batch axis.
    cells : int
        Cells per side.

    Returns
    -------
    array, shape (C, H, W), float32
    """
    down, across = (_smooth(length, cells) for length in image.shape[1:])
    out: FloatMap = (down @ image.astype(np.float64) @ across.T).astype(np.float32)
    return out


def _smooth(length: int, cells: int) -> FloatMap:
    """Averaging and interpolation along one axis as one matrix, shape (length, length)."""
    index = np.arange(cells)
    start, stop = (index * length) // cells, -((-(index + 1) * length) // cells)
    pixel = np.arange(length)
    inside = (pixel >= start[:, None]) & (pixel < stop[:, None])
    average = inside / inside.sum(axis=1, keepdims=True)
    at = np.clip((pixel + 0.5) * (cells / length) - 0.5, 0.0, cells - 1.0)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, cells - 1)
    weights = np.zeros((length, cells))
    weights[pixel, low] += 1.0 - (at - low)
    weights[pixel, high] += at - low
    out: FloatMap = weights @ average
    return out
