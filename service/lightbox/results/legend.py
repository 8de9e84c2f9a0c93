"""The colour bar beside the right panel: numbers, and what the colours mean in words."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from lightbox.domain.attribution import Attribution
from lightbox.results import colour
from lightbox.results.mask import SHARE_OF_MAXIMUM
from lightbox.results.typeset import Pen

BAR_WIDTH = 118
"""Room for bar, numbers and words, pixels."""
_BAR = 18
_WORDS = 26
_SIZE = 16


def draw_legend(
    image: Image.Image, at: tuple[int, int], height: int, attribution: Attribution
) -> None:
    """Draw the bar with its top left corner ``at``, as high as the panel."""
    values = attribution.estimate.values
    if values is None:
        _amounts(image, at, height)
    else:
        top = float(np.abs(values).max()) if values.size else 0.0
        _signed(image, at, height, top)


def _bar(image: Image.Image, at: tuple[int, int], height: int, colours: np.ndarray) -> None:
    strip = np.repeat(colours[:, None, :], _BAR, axis=1)
    image.paste(Image.fromarray(strip.astype(np.uint8)), at)
    box = (at[0] - 1, at[1] - 1, at[0] + _BAR, at[1] + height)
    ImageDraw.Draw(image).rectangle(box, outline=colour.FRAME)


def _amounts(image: Image.Image, at: tuple[int, int], height: int) -> None:
    x, y = at[0], at[1] + _WORDS
    height -= _WORDS
    falling = np.linspace(255.0, 0.0, height).round().astype(np.uint8)
    _bar(image, (x, y), height, colour.INFERNO[falling])
    draw = ImageDraw.Draw(image)
    Pen(draw, _SIZE, colour.MUTED).write((x, at[1]), "relative")
    for value in (1.0, 0.75, SHARE_OF_MAXIMUM, 0.25, 0.0):
        level = y + round((1.0 - value) * (height - 1))
        draw.line((x + _BAR, level, x + _BAR + 5, level), fill=colour.MUTED)
        at_end = {1.0: "la", 0.0: "ld"}.get(value, "lm")
        Pen(draw, _SIZE, colour.TEXT).write((x + _BAR + 9, level), f"{value:.2f}", at_end)
        if value == SHARE_OF_MAXIMUM:
            Pen(draw, 14, colour.MUTED).write((x + _BAR + 9, level + 18), "outline", "lm")


def _signed(image: Image.Image, at: tuple[int, int], height: int, top: float) -> None:
    x, y = at[0], at[1] + _WORDS
    height -= 2 * _WORDS
    _bar(image, (x, y), height, colour.diverging(np.linspace(1.0, -1.0, height)))
    draw = ImageDraw.Draw(image)
    Pen(draw, _SIZE, colour.TEXT).write((x, at[1]), "supports")
    Pen(draw, _SIZE, colour.TEXT).write((x, y + height + 8), "opposes")
    for share in (1.0, 0.5, 0.0, -0.5, -1.0):
        level = y + round((1.0 - share) / 2 * (height - 1))
        draw.line((x + _BAR, level, x + _BAR + 5, level), fill=colour.MUTED)
        text = f"{share * top:+.2f}".replace("-", "\u2212") if share else "0"
        anchor = {1.0: "la", -1.0: "ld"}.get(share, "lm")
        Pen(draw, _SIZE, colour.TEXT).write((x + _BAR + 9, level), text, anchor)
