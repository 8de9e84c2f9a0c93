"""A picture without an image: that nothing was analysed, and why. The corners stay empty here too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from lightbox.domain.arrays import Picture
from lightbox.results.picture import colour
from lightbox.results.picture.render import FOOT, warn
from lightbox.results.picture.typeset import Pen, legible, line_height, wrap

_WIDTH = 1240
_LEFT = 220
_KEY_WIDTH = 132
_TEXT = 20
_TOP = 190


def card(headline: str, subline: str, rows: Sequence[tuple[str, str]]) -> Picture:
    """Return a card: the warning, a headline, what it means, and a table of key and text.

    Returns
    -------
    array, shape (height, width, 3), uint8
    """
    wide = _WIDTH - 2 * _LEFT - _KEY_WIDTH
    table = [(key, wrap(legible(text), _TEXT, wide)) for key, text in rows if text]
    lines = sum(len(text) for _, text in table)
    height = _TOP + lines * line_height(_TEXT) + 6 * len(table) + FOOT
    image = Image.new("RGB", (_WIDTH, height), colour.BACKGROUND)
    warn(image)
    draw = ImageDraw.Draw(image)
    Pen(draw, 30, colour.TEXT, bold=True).write((_WIDTH / 2, 90), headline, "mm")
    Pen(draw, 22, colour.CAUTION).write((_WIDTH / 2, 132), subline, "mm")
    y = _TOP
    for key, text in table:
        Pen(draw, _TEXT, colour.MUTED).write((_LEFT, y), key)
        for line in text:
            Pen(draw, _TEXT, colour.TEXT).write((_LEFT + _KEY_WIDTH, y), line)
            y += line_height(_TEXT)
        y += 6
    return np.asarray(image)
