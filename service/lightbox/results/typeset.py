"""Letters: one TrueType face (Pillow's own, so it is everywhere the same), wrapping, drawing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from PIL import ImageDraw, ImageFont

from lightbox.results.colour import Rgb


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the face in ``size`` pixels."""
    face = ImageFont.load_default(size)
    if not isinstance(face, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType: no scalable font")
    return face


def width_of(text: str, size: int) -> int:
    """Return the advance of one line, pixels."""
    return round(font(size).getlength(text))


def line_height(size: int) -> int:
    """Return the distance of two lines, pixels."""
    return round(size * 1.36)


def wrap(text: str, size: int, width: int) -> list[str]:
    """Break into lines that fit ``width`` pixels; a word that is too long is broken inside."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        candidate = f"{line} {word}".strip()
        if width_of(candidate, size) <= width:
            line = candidate
            continue
        if line:
            lines.append(line)
        *whole, line = _pieces(word, size, width)
        lines.extend(whole)
    return [*lines, line] if line else lines


def _pieces(word: str, size: int, width: int) -> list[str]:
    pieces, piece = [], ""
    for letter in word:
        if piece and width_of(piece + letter, size) > width:
            pieces.append(piece)
            piece = ""
        piece += letter
    return [*pieces, piece]


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws text of one size and colour."""

    draw: ImageDraw.ImageDraw
    size: int
    colour: Rgb
    bold: bool = False

    def write(self, at: tuple[float, float], text: str, anchor: str = "la") -> None:
        """Draw one line; ``anchor`` as in Pillow ("la": left and top, "mm": centred)."""
        stroke = 0.5 if self.bold else 0.0
        self.draw.text(
            at,
            text,
            font=font(self.size),
            fill=self.colour,
            anchor=anchor,
            stroke_width=stroke,
            stroke_fill=self.colour,
        )
