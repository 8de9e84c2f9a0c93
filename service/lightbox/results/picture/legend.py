"""The colour bar beside the right panel: numbers, and what the colours mean in words."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from lightbox.domain.arrays import Picture
from lightbox.domain.attribution import Attribution
from lightbox.results.mask import SHARE_OF_MAXIMUM
from lightbox.results.picture import colour
from lightbox.results.picture.typeset import Pen
from lightbox.results.wording import signed_text

BAR_WIDTH = 118
"""Room for bar, numbers and words, pixels."""
_BAR = 18
_WORDS = 26
_SIZE = 16
_SMALL = 14


def legend(attribution: Attribution, height: int, *, outlined: bool) -> Image.Image:
    """Return the bar with its words, ``BAR_WIDTH`` wide; not to be drawn on."""
    values = attribution.estimate.values
    if values is None:
        return _amounts(height, outlined=outlined)
    top = float(np.abs(values).max()) if values.size else 0.0
    return _signed(height, round(top, 4))


def _bar(image: Image.Image, height: int, colours: Picture) -> None:
    """Draw the colours from top to bottom."""
    strip = np.repeat(colours[:, None, :], _BAR, axis=1)
    image.paste(Image.fromarray(strip), (1, _WORDS))
    box = (0, _WORDS - 1, _BAR + 1, _WORDS + height)
    ImageDraw.Draw(image).rectangle(box, outline=colour.FRAME)


@lru_cache(maxsize=16)
def _amounts(panel_height: int, *, outlined: bool) -> Image.Image:
    """Return the legend of a map: the same for every map of this height."""
    image = Image.new("RGB", (BAR_WIDTH, panel_height + 1), colour.BACKGROUND)
    height = panel_height - _WORDS
    falling = np.linspace(255.0, 0.0, height).round().astype(np.uint8)
    _bar(image, height, colour.INFERNO[falling])
    draw = ImageDraw.Draw(image)
    Pen(draw, _SIZE, colour.MUTED).write((0, 0), "relative")
    for value in (1.0, 0.75, SHARE_OF_MAXIMUM, 0.25, 0.0):
        level = _WORDS + round((1.0 - value) * (height - 1))
        _tick(draw, level, f"{value:.2f}", {1.0: "la", 0.0: "ld"}.get(value, "lm"))
        if value == SHARE_OF_MAXIMUM and outlined:
            Pen(draw, _SMALL, colour.MUTED).write((_BAR + 10, level + 18), "outline", "lm")
    return image


@lru_cache(maxsize=16)
def _signed(panel_height: int, top: float) -> Image.Image:
    """Return the legend of signed values from -top to +top."""
    image = Image.new("RGB", (BAR_WIDTH, panel_height + 1), colour.BACKGROUND)
    height = panel_height - 2 * _WORDS
    _bar(image, height, colour.diverging(np.linspace(1.0, -1.0, height)))
    draw = ImageDraw.Draw(image)
    Pen(draw, _SIZE, colour.TEXT).write((0, 0), "supports")
    Pen(draw, _SIZE, colour.TEXT).write((0, _WORDS + height + 6), "opposes")
    for share in (1.0, 0.5, 0.0, -0.5, -1.0):
        level = _WORDS + round((1.0 - share) / 2 * (height - 1))
        anchor = {1.0: "la", -1.0: "ld"}.get(share, "lm")
        _tick(draw, level, signed_text(share * top), anchor)
    return image


def _tick(draw: ImageDraw.ImageDraw, level: int, text: str, anchor: str) -> None:
    draw.line((_BAR + 1, level, _BAR + 6, level), fill=colour.MUTED)
    Pen(draw, _SIZE, colour.TEXT).write((_BAR + 10, level), text, anchor)
