"""Stability: how far a map moves under changes of the image that nobody would see.

Noise: the largest relative change over a few draws (max-sensitivity, Yeh et al. 2019, arXiv
1901.09392), here with noise of a fixed Euclidean length. On purpose: patterns of blocks, each up or
down by at most 5 % of the image's range, of which the worst is looked for in rounds (after Ghorbani
et al. 2019, arXiv 1710.10547, who follow a gradient: what is found here is a lower bound of what
can be done). Changes that turn the finding do not count: there the map has to move.
"""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap, ImageTensor
from lightbox.domain.quality import Block, Direction, QualityMetric

METRICS = (
    QualityMetric(
        "stability",
        Block.ROBUSTNESS,
        Direction.LOWER,
        "Largest relative change of the fast map under noise of 2 % of the image's contrast.",
        "Yeh et al. 2019, arXiv 1901.09392",
    ),
    QualityMetric(
        "stability_adversarial",
        Block.ROBUSTNESS,
        Direction.HIGHER,
        "Lowest rank correlation of the fast map with itself that a search found under changes of "
        "at most 5 % of the image's range that keep the finding.",
        "after Ghorbani et al. 2019, arXiv 1710.10547",
    ),
)

DRAWS = 8
NOISE = 0.02
CHANGE = 0.05
ROUNDS = 3
_BLOCKS = (4, 8, 16, 32)


def noisy_copies(tensor: ImageTensor) -> ImageTensor:
    """Return the image with noise, shape (DRAWS, C, H, W).

    The noise of each copy has the Euclidean length of ``NOISE`` times the image without its mean.
    """
    draw = np.random.default_rng(0)
    noise = draw.standard_normal((DRAWS, *tensor.shape[1:]))
    length = float(np.linalg.norm(tensor - tensor.mean()))
    own = np.linalg.norm(noise.reshape(DRAWS, -1), axis=1).reshape(-1, 1, 1, 1)
    out: ImageTensor = (tensor + NOISE * length * noise / own).astype(np.float32)
    return out


def changed_copies(tensor: ImageTensor, best: FloatMap | None, number: int) -> ImageTensor:
    """Return the image with block patterns of the allowed strength, shape (DRAWS, C, H, W).

    Parameters
    ----------
    tensor : array, shape (1, C, H, W)
        The image.
    best : array, shape (C, H, W), or None
        The change that did most so far: parts of it are drawn anew.
    number : int
        Of the round.
    """
    draw = np.random.default_rng([1, number])
    signs = np.stack([_pattern(draw, tensor.shape[2:], i) for i in range(DRAWS)])[:, None]
    changed = tensor + CHANGE * float(np.ptp(tensor)) * signs
    if best is not None:
        where = np.stack([_pattern(draw, tensor.shape[2:], i) for i in range(DRAWS)])[:, None]
        changed = np.where(where > 0, best[None], changed)
    out: ImageTensor = np.clip(changed, tensor.min(), tensor.max()).astype(np.float32)
    return out


def relative_change(one: FloatMap, other: FloatMap) -> float:
    """Euclidean length of the difference over that of the first map."""
    return float(np.linalg.norm(other - one) / np.linalg.norm(one))


def _pattern(draw: np.random.Generator, shape: tuple[int, ...], number: int) -> FloatMap:
    """Blocks of +1 and -1."""
    blocks = _BLOCKS[number % len(_BLOCKS)]
    coarse = draw.choice([-1.0, 1.0], (min(blocks, shape[0]), min(blocks, shape[1])))
    row = np.arange(shape[0]) * coarse.shape[0] // shape[0]
    column = np.arange(shape[1]) * coarse.shape[1] // shape[1]
    out: FloatMap = coarse[row[:, None], column[None, :]]
    return out
