"""What is on a screen, measured in its pixels: the image, and the colours that lie on it.

``LIGHTBOX_PICTURES=FOLDER`` keeps what was seen: the pictures of ``conformance/RESULTS.md``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from lightbox.domain.arrays import Mask, Picture

_Number = TypeVar("_Number", bound=np.generic)
_PICTURES = os.environ.get("LIGHTBOX_PICTURES", "")
_FRAME = 4
"""Around the viewport that is active, pixels."""
_BLACK = 20
_COLOURFUL = 40
_MOSTLY = 0.6


@dataclass(frozen=True, slots=True)
class Box:
    """Where an image lies on a screen: its edges, in pixels of the screen."""

    top: int
    bottom: int
    left: int
    right: int


class Seen:
    """A picture of a viewport in which a square, grey image is shown.

    Parameters
    ----------
    pixels : array, shape (rows, columns, 3), uint8
    size : int
        Rows and columns of the image that is shown.
    """

    def __init__(self, pixels: Picture, size: int) -> None:
        self.pixels = pixels
        self._size = size

    @property
    def box(self) -> Box | None:
        """The image: rows and columns that mostly are not black; None where there is none."""
        bright = np.zeros(self.pixels.shape[:2], dtype=np.bool_)
        inside = slice(_FRAME, -_FRAME)
        bright[inside, inside] = self.pixels[inside, inside].max(axis=2) > _BLACK
        if not bright.any():
            return None
        return Box(*_longest(bright.mean(1)), *_longest(bright.mean(0)))

    def sampled(self) -> Picture:
        """Return the colour in the middle of every pixel of the image, shape (size, size, 3)."""
        box = self.box
        assert box is not None, "nothing is shown"
        middle = (np.arange(self._size) + 0.5) / self._size
        rows = (box.top + middle * (box.bottom - box.top)).astype(int)
        columns = (box.left + middle * (box.right - box.left)).astype(int)
        sampled: Picture = self.pixels[np.ix_(rows, columns)]
        return sampled

    def coloured(self) -> Mask:
        """Return the pixels of the image that are not grey, shape (size, size)."""
        sampled = self.sampled().astype(int)
        mask: Mask = sampled.max(axis=2) - sampled.min(axis=2) > _COLOURFUL
        return mask

    def brightest_column(self, first_row: int) -> float:
        """Return the middle of what is brightest and grey from this row of the image down."""
        lower = self.sampled()[first_row:].min(axis=2)
        found = np.flatnonzero((lower > 0.75 * lower.max()).any(axis=0))
        return float(found.mean()) + 0.5


def _longest(share: npt.NDArray[np.float64]) -> tuple[int, int]:
    """Return where the longest run of lines that mostly are not black begins and ends.

    What goes to the frame goes on beneath it.
    """
    share[:_FRAME], share[-_FRAME:] = share[_FRAME], share[-_FRAME - 1]
    edges = np.flatnonzero(np.diff(np.pad(share > _MOSTLY * share.max(), 1).astype(int)))
    begins, ends = edges[0::2], edges[1::2]
    at = int(np.argmax(ends - begins))
    return int(begins[at]), int(ends[at])


@dataclass(frozen=True, slots=True)
class Fitted:
    """An image that just fits a screen, in the middle: which of its pixels is where.

    Parameters
    ----------
    screen : tuple of two ints
        Rows and columns of the screen.
    image : tuple of two ints
        Rows and columns of the image.
    aspect : float
        Height of a pixel of the image by its width.
    """

    screen: tuple[int, int]
    image: tuple[int, int]
    aspect: float = 1.0

    @property
    def box(self) -> Box:
        """Where the image lies."""
        height, width = self.image[0] * self.aspect, float(self.image[1])
        scale = min(self.screen[0] / height, self.screen[1] / width)
        rows, columns = round(height * scale), round(width * scale)
        top, left = (self.screen[0] - rows) // 2, (self.screen[1] - columns) // 2
        return Box(top, top + rows, left, left + columns)

    def cut(self, seen: Picture) -> Picture:
        """Return what is seen of the image, without what is beside it."""
        box = self.box
        return seen[box.top : box.bottom, box.left : box.right]

    def drawn(self, values: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
        """Return the values of the image's pixels as large as it is seen."""
        box = self.box
        rows = (np.arange(box.bottom - box.top) + 0.5) / (box.bottom - box.top) * self.image[0]
        columns = (np.arange(box.right - box.left) + 0.5) / (box.right - box.left) * self.image[1]
        taken: npt.NDArray[_Number] = values[np.ix_(rows.astype(int), columns.astype(int))]
        return taken


def correlation(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Return Pearson's correlation of two arrays of one shape, 0 where one is constant."""
    a, b = (values.astype(np.float64) - values.mean() for values in (one, other))
    both = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.vdot(a, b)) / both if both else 0.0


def overlap(one: Mask, other: Mask) -> float:
    """Return how much two masks agree: what both cover of what either covers."""
    either = np.logical_or(one, other).sum()
    return float(np.logical_and(one, other).sum() / either) if either else 1.0


def likeness(screen: Picture, picture: Picture) -> float:
    """Return the correlation of a picture with the place on a screen into which it just fits.

    Parameters
    ----------
    screen, picture : array, shape (rows, columns, 3), uint8
    """
    fitted = Fitted(screen.shape[:2], picture.shape[:2])
    box = fitted.box
    size = (box.right - box.left, box.bottom - box.top)
    wanted = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    return correlation(fitted.cut(screen), wanted)


def keep(name: str, picture: Picture) -> None:
    """Keep what was seen, where pictures are asked for."""
    if _PICTURES:
        Image.fromarray(picture).save(Path(_PICTURES) / f"{name}.webp", quality=85)
