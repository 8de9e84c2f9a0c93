"""Colours: perceptually even for amounts, diverging and colour-blind-safe for signed values."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lightbox.domain.arrays import FloatMap, Picture

Rgb = tuple[int, int, int]

BACKGROUND: Rgb = (16, 18, 22)
TEXT: Rgb = (236, 238, 240)
MUTED: Rgb = (158, 166, 176)
WARNING: Rgb = (255, 196, 61)
WARNING_TEXT: Rgb = (20, 16, 0)
CAUTION: Rgb = (255, 170, 90)
FRAME: Rgb = (70, 76, 84)
OUTLINE: Rgb = (255, 255, 255)

_INFERNO_STEPS = (
    (0, 0, 4), (22, 11, 57), (66, 10, 104), (106, 23, 110), (147, 38, 103), (188, 55, 84),
    (221, 81, 58), (243, 120, 25), (252, 165, 10), (246, 215, 70), (252, 255, 164),
)  # fmt: skip
"""Eleven steps of inferno (Smith and van der Walt, CC0), even in lightness."""

_DIVERGING_STEPS = (
    (33, 90, 180), (72, 139, 214), (150, 195, 235), (247, 247, 247), (253, 190, 120),
    (240, 130, 30), (214, 84, 0),
)  # fmt: skip
"""Blue (opposes) over white to orange (supports): told apart with every colour blindness."""


def _table(anchors: tuple[Rgb, ...]) -> Picture:
    at = np.linspace(0.0, 1.0, 256)
    knots = np.linspace(0.0, 1.0, len(anchors))
    channels = np.asarray(anchors, dtype=np.float64).T
    table = np.stack([np.interp(at, knots, channel) for channel in channels], axis=1)
    return np.round(table).astype(np.uint8)


INFERNO = _table(_INFERNO_STEPS)
"""Colour of amounts from 0 to 255, shape (256, 3)."""
_DIVERGING = _table(_DIVERGING_STEPS)


def diverging(signed: FloatMap) -> Picture:
    """Colour values from -1 (opposes) to +1 (supports); shape (...,) becomes (..., 3)."""
    return _DIVERGING[np.round((np.clip(signed, -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)]


def blend(under: Picture, over: Picture, opacity: Picture) -> Picture:
    """Lay ``over`` on ``under``; ``opacity`` (rows, columns) is 0 (nothing) to 255 (covers)."""
    mixed = Image.composite(Image.fromarray(over), Image.fromarray(under), Image.fromarray(opacity))
    return np.array(mixed)
