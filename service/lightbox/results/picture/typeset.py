"""Letters: one face of our own, so that a picture is the same on every machine; wrapping, drawing.

The face (DejaVu Sans Condensed, ``fonts/``) has the letters of Latin-1 and Latin Extended-A.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

from lightbox.results.picture.colour import Rgb

_TRIED = 20
_SHAPELESS = "\u4e00"
"""A letter that the face lacks: it is drawn as the box of all such letters."""


@lru_cache(maxsize=32)
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the face in ``size`` pixels."""
    name = "DejaVuSansCondensed-Bold.ttf" if bold else "DejaVuSansCondensed.ttf"
    data = files("lightbox.results.picture").joinpath("fonts", name).read_bytes()
    # The basic engine is in every build of Pillow; Raqm would lay out differently where it is.
    return ImageFont.truetype(BytesIO(data), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=4096)
def width_of(text: str, size: int, *, bold: bool = False) -> float:
    """Return the advance of a word or line, pixels."""
    return font(size, bold=bold).getlength(text)


def legible(text: str) -> str:
    """Return a text with "?" for each letter that the face has no shape for."""
    return (
        text
        if text.isascii()
        else "".join(c if c.isspace() or _has_shape(c) else "?" for c in text)
    )


@lru_cache(maxsize=1024)
def _has_shape(letter: str) -> bool:
    return bytes(font(_TRIED).getmask(letter)) != bytes(font(_TRIED).getmask(_SHAPELESS))


def line_height(size: int) -> int:
    """Return the distance of two lines, pixels."""
    return round(size * 1.36)


def wrap(text: str, size: int, width: int) -> list[str]:
    """Break into lines that fit ``width`` pixels; a word that is too long is broken inside."""
    lines: list[str] = []
    line, used = "", 0.0
    gap = width_of(" ", size)
    for word in text.split():
        needed = width_of(word, size) + (gap if line else 0.0)
        if used + needed <= width:
            line, used = f"{line} {word}" if line else word, used + needed
            continue
        if line:
            lines.append(line)
        *whole, line = _pieces(word, size, width)
        lines.extend(whole)
        used = width_of(line, size)
    return [*lines, line] if line else lines


def _pieces(word: str, size: int, width: int) -> list[str]:
    pieces, piece = [], ""
    for letter in word:
        if piece and width_of(piece + letter, size) > width:
            pieces.append(piece)
            piece = ""
        piece += letter
    return [*pieces, piece]


@lru_cache(maxsize=256)
def _stencil(text: str, size: int, anchor: str, *, bold: bool) -> tuple[Image.Image, int, int]:
    """Return a line as a stencil, and where it lies from its anchor: most lines come again."""
    face = font(size, bold=bold)
    left, top, right, bottom = (round(edge) for edge in face.getbbox(text, anchor=anchor))
    image = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(image).text((-left, -top), text, font=face, fill=255, anchor=anchor)
    return image, left, top


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws text of one size and colour."""

    draw: ImageDraw.ImageDraw
    size: int
    colour: Rgb
    bold: bool = False

    def write(self, at: tuple[float, float], text: str, anchor: str = "la") -> None:
        """Draw one line; ``anchor`` as in Pillow ("la": left and top, "mm": centred)."""
        stencil, left, top = _stencil(text, self.size, anchor, bold=self.bold)
        self.draw.bitmap((round(at[0]) + left, round(at[1]) + top), stencil, fill=self.colour)
