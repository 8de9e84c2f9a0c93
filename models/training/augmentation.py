"""What training images are put through: moved, changed in contrast, and partly covered.

Random regions are replaced by a baseline, so that the images that an audit makes are on the
manifold of what a network has seen.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lightbox.domain.model_package import Preprocessing

_LEFT_ALONE = 0.2  # share of the images whose borders stay
_WIDEST = 0.2  # of the image's side
_KNOTS = (6, 6)  # of an elastic deformation


def augment(
    spec: Preprocessing,
    images: Tensor,
    masks: Tensor,
    draw: torch.Generator,
    *,
    mirrored: bool = True,
    bent: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Rotate, scale, mirror, shift, bend, and change contrast; image and mask move together.

    ``images`` are normalised as ``spec`` says, shape (N, 1, H, W); so are the ones returned.
    ``mirrored`` is False where left and right differ: the heart's side is evidence. ``bent`` is how
    far a point moves elastically, one standard deviation, in halves of the image's side.
    """
    n = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=draw)

    angle, scale = uniform(-0.35, 0.35), uniform(0.825, 1.175)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0) if mirrored else torch.ones(n)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0] = torch.cos(angle) * scale * mirror
    matrix[:, 0, 1] = -torch.sin(angle) * scale
    matrix[:, 1, 0] = torch.sin(angle) * scale * mirror
    matrix[:, 1, 1] = torch.cos(angle) * scale
    matrix[:, :, 2] = uniform(-0.1, 0.1, 2)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    if bent:
        shifts = bent * torch.randn(n, 2, *_KNOTS, generator=draw)
        shifts = functional.interpolate(shifts, images.shape[-2:], mode="bicubic")
        grid = grid + shifts.permute(0, 2, 3, 1)
    unit = images * spec.std[0] + spec.mean[0]
    unit = functional.grid_sample(unit, grid, align_corners=False)
    masks = functional.grid_sample(masks, grid, align_corners=False)
    unit = unit * uniform(0.75, 1.25, 1, 1, 1) + uniform(-0.075, 0.075, 1, 1, 1)
    unit = unit.clamp(1e-4, 1.0) ** uniform(0.7, 1.3, 1, 1, 1)
    unit = unit + 0.02 * torch.randn(unit.shape, generator=draw)
    return (unit - spec.mean[0]) / spec.std[0], masks


def vary(spec: Preprocessing, images: Tensor, masks: Tensor, draw: torch.Generator) -> Tensor:
    """Change what differs between patients: sharpness, the coil's shading, how a lesion shows.

    Half of the lesions are faded into what surrounds them, or set off from it. Shapes and levels
    are those of :func:`augment`.
    """
    n, size = len(images), images.shape[-2:]

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, 1, 1, 1, generator=draw)

    smooth = functional.avg_pool2d(images, 3, 1, 1)
    images = images + uniform(-0.8, 0.8) * (images - smooth)
    outside = torch.cat([images * (1 - masks), 1 - masks], 1)
    around = functional.avg_pool2d(functional.avg_pool2d(outside, 8), 5, 1, 2)
    around = functional.interpolate(around, size, mode="bilinear", align_corners=False)
    level = around[:, :1] / around[:, 1:].clamp(min=0.05)
    chosen = (uniform(0, 1) < 0.5).float()
    images = images + chosen * uniform(-0.4, 0.6) * masks * (level - images)
    shade = 0.15 * torch.randn(n, 1, 3, 3, generator=draw)
    shade = functional.interpolate(shade, size, mode="bicubic").exp()
    return ((images * spec.std[0] + spec.mean[0]) * shade - spec.mean[0]) / spec.std[0]


def baseline(images: Tensor, kind: int) -> Tensor:
    """Return what stands where a region is absent: a blur (6 or 12 cells a side) or the mean."""
    if kind == 0:
        return images.mean((2, 3), keepdim=True).expand_as(images)
    cells = functional.adaptive_avg_pool2d(images, 6 if kind == 1 else 12)
    return functional.interpolate(cells, images.shape[-2:], mode="bilinear", align_corners=False)


def cover(images: Tensor, masks: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Replace random grid regions by a baseline; return the images and the masks still visible."""
    n = len(images)
    rows, columns = [(4, 3), (4, 4), (7, 7)][rng.integers(3)]
    chance = torch.from_numpy(rng.uniform(0.0, 1.0, (n, 1, 1, 1)))
    keep = (torch.from_numpy(rng.random((n, 1, rows, columns))) < chance).float()
    keep = functional.interpolate(keep, list(images.shape[-2:]), mode="nearest")
    covered = images * keep + baseline(images, int(rng.integers(3))) * (1 - keep)
    return covered, masks * keep


def overwrite_borders(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Replace a frame of random widths, in most of the images, by a random level with noise.

    What an image's edge says of hospital, collimation and markers cannot be relied on then.
    """
    height, width = images.shape[-2:]
    out = images.clone()
    for image in out:
        if rng.random() < _LEFT_ALONE:
            continue
        top, bottom = (int(height * rng.uniform(0.0, _WIDEST)) for _ in range(2))
        left, right = (int(width * rng.uniform(0.0, _WIDEST)) for _ in range(2))
        level, noise = rng.uniform(-1.0, 4.0), rng.uniform(0.0, 0.5)
        frame = torch.ones(1, height, width, dtype=torch.bool)
        frame[:, top : height - bottom, left : width - right] = False
        filled = level + noise * rng.standard_normal(int(frame.sum()))
        image[frame] = torch.from_numpy(filled).float()
    return out
