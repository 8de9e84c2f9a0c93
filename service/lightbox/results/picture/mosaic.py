"""The mosaic: the key slices of a series, each with what the model looked at, on one page.

Under each slice stand its instance and probability, its place along the stack and a scale; the key
slice has a light frame. All else is as in the picture of one slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from lightbox.domain.arrays import Picture
from lightbox.domain.explained import Explained
from lightbox.results.header.source import Source
from lightbox.results.picture import colour
from lightbox.results.picture.legend import BAR_WIDTH, legend
from lightbox.results.picture.panels import (
    SMALLER,
    View,
    heat,
    original,
    outlined_lesions,
    view_of,
)
from lightbox.results.picture.render import (
    FOOT,
    MARGIN,
    SMALLEST_WIDTH,
    TOP,
    Row,
    Table,
    head,
    lesions_in,
    rows,
)
from lightbox.results.picture.slice_words import position_words, slice_name, slices_line
from lightbox.results.picture.typeset import Pen, legible, width_of
from lightbox.results.wording import is_negative, percent

_LONGEST = 400
"""Longest side of a slice, pixels, where three stand in a row."""
_NARROWEST = 300
"""Room that the words under a slice take, pixels."""
_LOWEST = 120
_PORTRAIT = 1.2
"""Height by width from which four slices stand in one row."""
_GAP = 24
_WORDS = 66
_NAME = 19
_PLACE = 16
_LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200)
"""Lengths of a scale, millimetres."""
_SCALE_SHARE = 0.3
_OF_ONE_MAP = frozenset({"Check", "Quality", "Source", "Result", "Contrast"})
"""Rows that are about one slice."""
_OF_MAPS = frozenset({"Method", "Map cell"})
"""Rows that are about maps; where lesions are outlined, none is shown."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One key slice: what is shown of it, and where it comes from."""

    explained: Explained
    source: Source


def mosaic(explained: Explained, tiles: Sequence[Tile]) -> Picture:
    """Return the picture of a series' key slices.

    Parameters
    ----------
    explained : Explained
        Of the key frame.
    tiles : sequence of Tile
        In the order in which they are shown; the key frame is among them.

    Returns
    -------
    array, shape (height, width, 3), uint8
    """
    has_legend = not explained.lesions and not explained.attribution.lies_nowhere
    layout = _Layout.of(tiles, has_legend=has_legend)
    width = max(SMALLEST_WIDTH, layout.content + 2 * MARGIN)
    table = Table.of(_rows(explained, tiles), width)
    table_top = TOP + layout.height + 12
    image = Image.new("RGB", (width, table_top + table.height + FOOT), colour.BACKGROUND)
    head(image, explained)
    start = (width - layout.content) // 2
    for number, (tile, view) in enumerate(zip(tiles, layout.views, strict=True)):
        down, across = divmod(number, layout.columns)
        x = start + across * (layout.cell + _GAP)
        _draw(image, tile, view, (x, TOP + layout.tops[down], layout.cell, layout.rows[down]))
    if has_legend:
        bar = legend(explained.attribution, layout.rows[0], outlined=not is_negative(explained))
        image.paste(bar, (start + layout.content - BAR_WIDTH + 16, TOP))
    table.write(ImageDraw.Draw(image), table_top)
    return np.asarray(image)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the slices stand.

    Attributes
    ----------
    cell : int
        Width of each, words included, pixels.
    rows, tops : tuple of int
        Height of the slices in each row, and where it begins below the head.
    """

    columns: int
    views: tuple[View, ...]
    cell: int
    rows: tuple[int, ...]
    tops: tuple[int, ...]
    has_legend: bool

    @classmethod
    def of(cls, tiles: Sequence[Tile], *, has_legend: bool) -> _Layout:
        high, wide = tiles[0].explained.frame.picture.shape[:2]
        four = 4 if high > _PORTRAIT * wide else 2
        columns = {1: 1, 2: 2, 4: four}.get(len(tiles), 3)
        longest = SMALLER if columns < 3 else _LONGEST
        views = []
        for tile in tiles:
            rows, columns_of = tile.explained.frame.picture.shape[:2]
            views.append(view_of((rows, columns_of), tile.explained.frame.pixel_spacing, longest))
        cell = max(_NARROWEST, *(view.size[0] for view in views))
        heights = [view.size[1] for view in views]
        in_rows = [
            max(_LOWEST, *heights[at : at + columns]) for at in range(0, len(tiles), columns)
        ]
        tops = np.cumsum([0, *(height + _WORDS + _GAP // 2 for height in in_rows)]).tolist()
        return cls(columns, tuple(views), cell, tuple(in_rows), tuple(tops), has_legend)

    @property
    def content(self) -> int:
        """Width of all, pixels."""
        slices = self.columns * (self.cell + _GAP) - _GAP
        return slices + (BAR_WIDTH if self.has_legend else 0)

    @property
    def height(self) -> int:
        """Height of all, pixels."""
        return self.tops[-1]


def _draw(image: Image.Image, tile: Tile, view: View, box: tuple[int, int, int, int]) -> None:
    """Draw a slice into its place: left, top, width and height without the words."""
    left, top, wide, high = box
    explained = tile.explained
    is_key = explained.unit is None
    width, height = view.size
    x, y = left + (wide - width) // 2, top + (high - height) // 2
    image.paste(Image.fromarray(_panel(explained, view)), (x, y))
    draw = ImageDraw.Draw(image)
    for out in range(1, 4 if is_key else 2):
        around = (x - out, y - out, x + width + out - 1, y + height + out - 1)
        draw.rectangle(around, outline=colour.TEXT if is_key else colour.FRAME)
    middle, below = left + wide / 2, top + high + 20
    Pen(draw, _NAME, colour.TEXT, bold=is_key).write((middle, below), _name(tile), "mm")
    _place(draw, tile, view, (middle, below + 25))


def _panel(explained: Explained, view: View) -> Picture:
    """Return a slice with its lesions, else with its map."""
    under = original(explained.frame.picture, view)
    if explained.lesions:
        return outlined_lesions(under, lesions_in(explained), view)
    return heat(under, explained.attribution, view, outlined=not is_negative(explained))


def _name(tile: Tile) -> str:
    confidence = percent(tile.explained.prediction.confidence)
    key = "Key slice: " if tile.explained.unit is None else ""
    name = slice_name(tile.source)
    return legible(f"{key}{name.lower() if key else name}, {confidence}")


def _place(draw: ImageDraw.ImageDraw, tile: Tile, view: View, middle: tuple[float, float]) -> None:
    """Write where the slice lies, and draw a scale beside it."""
    words = position_words(tile.source)
    length, pixels = _scale(tile, view)
    said = f"{length} mm" if length else ""
    bar = pixels + 8 if length else 0
    gap = 28 if words and length else 0
    total = width_of(words, _PLACE) + gap + bar + width_of(said, _PLACE)
    x, y = middle[0] - total / 2, middle[1]
    pen = Pen(draw, _PLACE, colour.MUTED)
    pen.write((x, y), words, "lm")
    if not length:
        return
    x += width_of(words, _PLACE) + gap
    draw.line((x, y, x + pixels, y), fill=colour.TEXT, width=2)
    for end in (x, x + pixels):
        draw.line((end, y - 5, end, y + 5), fill=colour.TEXT, width=2)
    pen.write((x + bar, y), said, "lm")


def _scale(tile: Tile, view: View) -> tuple[int, float]:
    """Return a round length that fits, millimetres, and how long it is here, pixels; (0, 0): none."""
    spacing = tile.explained.frame.pixel_spacing
    if not spacing or min(spacing) <= 0:
        return 0, 0.0
    columns = tile.explained.frame.picture.shape[1]
    per_mm = view.size[0] / (columns * spacing[1])
    fitting = [one for one in _LENGTHS if one * per_mm <= _SCALE_SHARE * view.size[0]]
    return (fitting[-1], fitting[-1] * per_mm) if fitting else (0, 0.0)


def _rows(explained: Explained, tiles: Sequence[Tile]) -> list[Row]:
    """Return the rows of the table: those of the picture that are about the series, and its own."""
    sources = [tile.source for tile in tiles]
    said = replace(explained.attribution, warnings=_warnings(tiles))
    key = next(tile.source for tile in tiles if tile.explained.unit is None)
    left_out = _OF_ONE_MAP | _OF_MAPS if explained.lesions else _OF_ONE_MAP
    every = rows(replace(explained, attribution=said), key)
    found = [row for row in every if row[0] not in left_out]
    own: list[Row] = [("Slices", slices_line(explained, sources), colour.TEXT)]
    if explained.lesions:
        own.append(("Outlines", "The lesion, as the model outlined it", colour.TEXT))
    elif not explained.attribution.lies_nowhere:
        words = "Each relative to the maximum of its own slice: compare places, not slices"
        own.append(("Maps", words, colour.TEXT))
    series = key.text("SeriesNumber") or "without number"
    own.append(("Source", f"Series {series}", colour.TEXT))
    at = next((i for i, row in enumerate(found) if row[0] == "Model"), len(found))
    return [*found[:at], *own, *found[at:]]


def _warnings(tiles: Sequence[Tile]) -> tuple[str, ...]:
    """Return what is to be known of the maps, each sentence once, with the slices it is about."""
    about: dict[str, list[str]] = {}
    for tile in tiles:
        for sentence in tile.explained.attribution.warnings:
            about.setdefault(sentence, []).append(slice_name(tile.source))
    return tuple(
        sentence if len(names) == len(tiles) else f"{', '.join(names)}: {sentence}"
        for sentence, names in about.items()
    )
