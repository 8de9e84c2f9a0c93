"""An image's border, for every card: where markers, collimation and burned-in text stand."""

from __future__ import annotations

import torch
from torch import Tensor

BORDER = 0.12
"""Width of what is called the border, of the image's side."""


def border_erased(images: Tensor) -> Tensor:
    """Return images (…, H, W) with their border at the level of the normalisation's mean."""
    return torch.where(_frame_of(images), 0.0, images)


def border_alone(images: Tensor) -> Tensor:
    """Return images (…, H, W) with nothing but their border."""
    return torch.where(_frame_of(images), images, 0.0)


def with_and_without_border(images: Tensor) -> dict[str, Tensor]:
    """Return what a card compares, by the words that it calls it."""
    return {
        "the whole image": images,
        "without its border": border_erased(images),
        "its border alone": border_alone(images),
    }


def _frame_of(images: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    frame = torch.ones(height, width, dtype=torch.bool)
    high, wide = int(BORDER * height), int(BORDER * width)
    frame[high : height - high, wide : width - wide] = False
    return frame
