"""The picture: original beside explanation, with all that a reader must know, in words.

The four corners stay empty: there viewers print their own text. No patient is named: a picture
outlives its header.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle

import numpy as np
from PIL import Image, ImageDraw

from lightbox.domain.arrays import Mask, Picture
from lightbox.domain.explained import Explained
from lightbox.domain.result import NOT_FOR_DIAGNOSIS
from lightbox.results import wording
from lightbox.results.header.source import Source
from lightbox.results.lesion.colours import LESION_COLOURS
from lightbox.results.lesion.size import size_of, size_words
from lightbox.results.picture import colour
from lightbox.results.picture.legend import BAR_WIDTH, legend
from lightbox.results.picture.panels import (
    PANEL,
    SMALLER,
    View,
    heat,
    original,
    outlined_lesions,
    regions,
    view_of,
)
from lightbox.results.picture.places import audit_sentence, contrast_sentence
from lightbox.results.picture.slice_words import further_slice_line
from lightbox.results.picture.typeset import Pen, legible, line_height, width_of, wrap
from lightbox.results.replacing.sentence import replaces_sentence

MARGIN = 40
_GAP = 28
SMALLEST_WIDTH = 1240
_SMALLEST_ROW = 150
TOP = 118
"""Pixels above the panels: warning and finding."""
_CAPTION = 32
_CAPTION_WIDTH = 220
_TEXT = 20
_KEY_WIDTH = 132
FOOT = 74
"""Pixels below the table: room for the warning."""
_TABLE_SHARE = 0.66

Row = tuple[str, str, colour.Rgb]


def render(explained: Explained, source: Source) -> Picture:
    """Return the picture of a key frame.

    Returns
    -------
    array, shape (height, width, 3), uint8
    """
    attribution, frame = explained.attribution, explained.frame
    lesions = lesions_in(explained)
    between = explained.fast is not None or bool(lesions)
    shape = (frame.picture.shape[0], frame.picture.shape[1])
    view = view_of(shape, frame.pixel_spacing, SMALLER if between else PANEL)
    panels = _panels(explained, lesions, view)
    panel_width, panel_height = view.size
    gap = max(_GAP, _CAPTION_WIDTH - panel_width)
    content = len(panels) * (panel_width + gap) - gap + BAR_WIDTH
    width = max(SMALLEST_WIDTH, content + 2 * MARGIN)
    table = Table.of(rows(explained, source), width)
    panel_top = TOP + _CAPTION
    row_height = max(panel_height, _SMALLEST_ROW)
    table_top = panel_top + row_height + 24
    image = Image.new("RGB", (width, table_top + table.height + FOOT), colour.BACKGROUND)
    draw = ImageDraw.Draw(image)
    head(image, explained)
    start = (width - content) // 2
    for number, (panel, caption) in enumerate(panels):
        x = start + number * (panel_width + gap)
        y = panel_top + (row_height - panel_height) // 2
        image.paste(Image.fromarray(panel), (x, y))
        draw.rectangle((x - 1, y - 1, x + panel_width, y + panel_height), outline=colour.FRAME)
        Pen(draw, 18, colour.MUTED).write((x + panel_width / 2, panel_top - 10), caption, "ms")
    if not attribution.lies_nowhere:
        bar = legend(attribution, row_height, outlined=not wording.is_negative(explained))
        image.paste(bar, (start + content - BAR_WIDTH + 16, panel_top))
    table.write(draw, table_top)
    return np.asarray(image)


def _panels(
    explained: Explained, lesions: list[tuple[Mask, colour.Rgb]], view: View
) -> list[tuple[Picture, str]]:
    """Return the panels with their captions: original, lesions, fast map, what is explained."""
    attribution = explained.attribution
    outlined = not wording.is_negative(explained)  # an outline would look like a lesion
    left = original(explained.frame.picture, view)
    shown = [(left, "Original")]
    if lesions:
        shown.append((outlined_lesions(left, lesions, view), "Lesion, as the model outlined it"))
    if explained.fast is not None:
        name = wording.method_name(explained.fast.method)
        shown.append((heat(left, explained.fast, view, outlined=outlined), f"Fast map: {name}"))
    has_regions = attribution.players is not None and attribution.estimate.values is not None
    right = (
        regions(left, attribution, view)
        if has_regions
        else heat(left, attribution, view, outlined=outlined)
    )
    return [*shown, (right, wording.caption(explained))]


def lesions_in(explained: Explained) -> list[tuple[Mask, colour.Rgb]]:
    """Return the lesions in the key frame, each with the colour of its segment."""
    return [
        (plane.mask, ink)
        for lesion, ink in zip(explained.lesions, cycle(LESION_COLOURS), strict=False)
        for plane in lesion.planes
        if plane.ref == explained.prediction.key_frame
    ]


def _lesion_rows(explained: Explained) -> Iterator[Row]:
    """Yield finding, probability and sizes of each lesion."""
    for number, lesion in enumerate(explained.lesions, start=1):
        label = explained.package.finding(lesion.target).words
        key = "Lesion" if len(explained.lesions) == 1 else f"Lesion {number}"
        said = f"{label}, {wording.percent(lesion.probability)}"
        yield key, f"{said}: {size_words(size_of(explained, lesion))}", colour.TEXT


@lru_cache(maxsize=1)
def banner() -> Image.Image:
    """Return the warning on its band; not to be drawn on."""
    size, height = 24, 40
    width = round(width_of(NOT_FOR_DIAGNOSIS, size, bold=True)) + 44
    image = Image.new("RGB", (width, height), colour.WARNING)
    pen = Pen(ImageDraw.Draw(image), size, colour.WARNING_TEXT, bold=True)
    pen.write((width / 2, height / 2), NOT_FOR_DIAGNOSIS, "mm")
    return image


def warn(image: Image.Image) -> None:
    """Paste the warning above and below: viewers lay controls of their own over the one or other."""
    warning = banner()
    left = (image.width - warning.width) // 2
    image.paste(warning, (left, 16))
    image.paste(warning, (left, image.height - 16 - warning.height))


def head(image: Image.Image, explained: Explained) -> None:
    """Draw the warnings and the finding, centred."""
    warn(image)
    draw, width = ImageDraw.Draw(image), image.width
    text = wording.headline(explained)
    size = next((s for s in (30, 26, 22, 18) if width_of(text, s, bold=True) <= 0.62 * width), 18)
    lines = wrap(text, size, round(0.62 * width))
    top = 86 - (len(lines[:2]) - 1) * size * 0.6
    for number, line in enumerate(lines[:2]):  # the confidence stands at the end
        at = (width / 2, top + number * size * 1.2)
        Pen(draw, size, colour.TEXT, bold=True).write(at, line, "mm")


def rows(explained: Explained, source: Source) -> list[Row]:
    """Return key, text and colour of every line of the table that has something to say."""
    attribution, prediction = explained.attribution, explained.prediction
    cell = "Map cell" if attribution.estimate.values is None else "Region"
    found: list[Row] = [
        ("Caution", wording.demonstration_remark(explained), colour.CAUTION),
        ("Caution", wording.target_remark(explained), colour.CAUTION),
        ("Caution", wording.confidence_remark(explained), colour.CAUTION),
        ("Caution", explained.job.caveat, colour.CAUTION),
        *(("Caution", warning, colour.CAUTION) for warning in attribution.warnings),
        ("Replaces", replaces_sentence(explained), colour.CAUTION),
        *_lesion_rows(explained),
        ("Result", audit_sentence(explained, source), colour.TEXT),
        ("Contrast", contrast_sentence(explained, source), colour.TEXT),
        ("Others", wording.others_line(explained), colour.TEXT),
        ("Threshold", wording.site_line(explained), colour.TEXT),
        ("Slice", further_slice_line(explained), colour.TEXT),
        ("Model", f"{prediction.model} {prediction.version}", colour.TEXT),
        ("Method", wording.method_sentence(explained), colour.TEXT),
        ("Known limits", wording.limits_line(explained), colour.TEXT),
        ("Source", wording.source_line(source), colour.TEXT),
        ("Made", wording.time_line(explained), colour.TEXT),
        ("Reason", wording.reason_line(explained), colour.TEXT),
        (cell, wording.cell_line(attribution, explained.frame.pixel_spacing), colour.TEXT),
        ("Check", wording.trust_line(attribution), colour.TEXT),
        ("Quality", wording.quality_line(attribution), colour.TEXT),
    ]
    return [row for row in found if row[1]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of key and text, wrapped to the width of a picture.

    Attributes
    ----------
    lines : tuple
        Key, lines of text and colour of each row.
    left : int
        Where the keys begin, pixels.
    """

    lines: tuple[tuple[str, list[str], colour.Rgb], ...]
    left: int

    @classmethod
    def of(cls, listed: Iterable[Row], width: int) -> Table:
        """Wrap rows for a picture of this width."""
        wide = round(width * _TABLE_SHARE) - _KEY_WIDTH
        lines = tuple((key, wrap(legible(text), _TEXT, wide), ink) for key, text, ink in listed)
        return cls(lines, round(width * (1 - _TABLE_SHARE) / 2))

    @property
    def height(self) -> int:
        """How much room it takes, pixels."""
        lines = sum(len(text) for _, text, _ in self.lines)
        return lines * line_height(_TEXT) + 6 * len(self.lines)

    def write(self, draw: ImageDraw.ImageDraw, top: int) -> None:
        """Draw it; what comes again is named once."""
        y, previous = top, ""
        for key, lines, ink in self.lines:
            if key != previous:
                key_ink = colour.CAUTION if ink == colour.CAUTION else colour.MUTED
                Pen(draw, _TEXT, key_ink).write((self.left, y), key)
            previous = key
            for line in lines:
                Pen(draw, _TEXT, ink).write((self.left + _KEY_WIDTH, y), line)
                y += line_height(_TEXT)
            y += 6
