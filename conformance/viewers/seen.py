"""What is on a screen, measured in its pixels: the image, and the colours that lie on it.

``LIGHTBOX_PICTURES=FOLDER`` keeps what was seen: the pictures of ``conformance/RESULTS.md``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from lightbox.domain.arrays import Mask, Picture

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
    height, width = screen.shape[:2]
    scale = min(height / picture.shape[0], width / picture.shape[1])
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    fitted = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    shown = screen[top : top + size[1], left : left + size[0]]
    one, other = (pixels.astype(np.float64) - pixels.mean() for pixels in (shown, fitted))
    size_of_both = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.vdot(one, other)) / size_of_both if size_of_both else 0.0


def keep(name: str, picture: Picture) -> None:
    """Keep what was seen, where pictures are asked for."""
    if _PICTURES:
        Image.fromarray(picture).save(Path(_PICTURES) / f"{name}.webp", quality=85)
