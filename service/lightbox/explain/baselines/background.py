"""Baselines from other images: their mean, and patches of them that show no lesion."""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap, LabelMap, Mask
from lightbox.domain.background import Background

BAND = 6
"""Pixels around a region by which a patch is chosen."""


def mean_image(background: Background) -> FloatMap:
    """Mean of the images over those that show no lesion there.

    Returns
    -------
    array, shape (C, H, W), float32
        Where every image has a lesion, the mean of all of them.
    """
    free = ~background.lesions
    count = free.sum(axis=0)
    weight = np.where(count > 0, free / np.maximum(count, 1), 1.0 / len(free))
    out: FloatMap = (background.images * weight[:, None]).sum(axis=0).astype(np.float32)
    return out


def lesion_free(image: FloatMap, regions: LabelMap, background: Background) -> FloatMap:
    """Fill each region with the same place of another image, free of lesions there.

    Of the images that have no lesion in the region the one is taken whose surroundings of the
    region are most like this image's; where all have one, the mean image fills it.

    Parameters
    ----------
    image : array, shape (C, H, W)
        The model's input.
    regions : array, shape (H, W)
        Region of each pixel.
    background : Background
        Other images.

    Returns
    -------
    array, shape (C, H, W), float32
    """
    out = mean_image(background)
    for region in range(int(regions.max()) + 1):
        inside = regions == region
        able = np.flatnonzero(~background.lesions[:, inside].any(axis=1))
        if able.size == 0:
            continue
        band = _around(inside)
        away = np.abs(background.images[able][:, :, band] - image[:, band]).mean(axis=(1, 2))
        out[:, inside] = background.images[able[int(away.argmin())]][:, inside]
    return out


def _around(inside: Mask) -> Mask:
    """Pixels at most ``BAND`` rows and columns outside; of the whole image, its own."""
    grown = inside.copy()
    for axis in (0, 1):
        before = grown.copy()
        for step in range(1, BAND + 1):
            ahead = np.roll(before, step, axis)
            behind = np.roll(before, -step, axis)
            edge = [slice(None)] * 2
            edge[axis] = slice(0, step)
            ahead[tuple(edge)] = False
            edge[axis] = slice(-step, None)
            behind[tuple(edge)] = False
            grown |= ahead | behind
    band = grown & ~inside
    return band if band.any() else inside
