"""Background images of a model package: what its pictures look like where no lesion is."""

from __future__ import annotations

from dataclasses import dataclass

from lightbox.domain.arrays import FloatMap, Mask


@dataclass(frozen=True, slots=True)
class Background:
    """A set of images as the network sees them.

    Attributes
    ----------
    images : array, shape (m, C, H, W), float32
        Preprocessed model inputs.
    lesions : array, shape (m, H, W), bool
        Where a lesion lies: these pixels are never shown.
    """

    images: FloatMap
    lesions: Mask
