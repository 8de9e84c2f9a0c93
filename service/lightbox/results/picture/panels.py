"""The two panels: the source as a viewer shows it, and the same with the explanation over it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from lightbox.domain.arrays import LabelMap, Mask, Picture, PlayerValues
from lightbox.domain.attribution import Attribution
from lightbox.results.mask import SHARE_OF_MAXIMUM, highest, supporting_players
from lightbox.results.picture.colour import INFERNO, OUTLINE, Rgb, blend, diverging
from lightbox.results.picture.typeset import font, width_of
from lightbox.results.wording import signed_text

PANEL = 640
"""Longest side of a panel, pixels, where there are two."""
SMALLER = 512
"""The same where there are three."""
_SHORTEST = 8
_TRANSPARENT_UNDER = 0.15
_OPAQUE_FROM = 0.45
_STRONGEST = 0.62
_STEP = 4
"""Places of regions are found on every fourth pixel."""


@dataclass(frozen=True, slots=True)
class View:
    """How source pixels become panel pixels: which source row and column each one shows."""

    rows: np.ndarray
    columns: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the panel, pixels."""
        return self.columns.size, self.rows.size

    def sample(self, array: np.ndarray) -> np.ndarray:
        """Take the nearest source pixel of every panel pixel."""
        taken: np.ndarray = array[self.rows[:, None], self.columns[None, :]]
        return taken


def view_of(
    shape: tuple[int, int], spacing: tuple[float, float] | None, longest: int = PANEL
) -> View:
    """Fit a source frame into a panel, in its true proportions.

    Parameters
    ----------
    shape : tuple of two ints
        Rows and columns of the source frame.
    spacing : tuple of two floats, or None
        Millimetres between rows and between columns; unequal ones change the proportions.
    longest : int
        Longest side of the panel, pixels.
    """
    ratio = spacing[0] / spacing[1] if spacing and min(spacing) > 0 else 1.0
    ratio = ratio if 0.2 <= ratio <= 5.0 else 1.0
    height, width = shape[0] * ratio, float(shape[1])
    scale = longest / max(height, width)
    panel = (
        max(_SHORTEST, round(height * scale)),
        max(_SHORTEST, round(width * scale)),
    )
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * (length / n)).astype(np.int64), length - 1)
        for n, length in zip(panel, shape, strict=True)
    )
    return View(rows, columns)


def original(picture: Picture, view: View) -> Picture:
    """Return the source in panel size, RGB."""
    image = Image.fromarray(picture)
    resized = image.resize(view.size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(resized.convert("RGB"))


def heat(panel: Picture, attribution: Attribution, view: View, *, outlined: bool) -> Picture:
    """Lay a map over the panel: inferno, clear under 15 % of its maximum, outline at 50 %."""
    top = highest(attribution.source_map)
    if top <= 0:
        return panel
    amount = np.nan_to_num(view.sample(attribution.source_map)) / top
    level = np.round(np.clip(amount, 0.0, 1.0) * 255).astype(np.uint8)
    mixed = blend(panel, np.take(INFERNO, level, axis=0), np.take(_HEAT_OPACITY, level))
    return _outlined(mixed, amount >= SHARE_OF_MAXIMUM) if outlined else mixed


def _heat_opacity() -> Picture:
    amount = np.linspace(0.0, 1.0, 256)
    ramp = (amount - _TRANSPARENT_UNDER) / (_OPAQUE_FROM - _TRANSPARENT_UNDER)
    return np.round(np.clip(ramp, 0.0, 1.0) * _STRONGEST * 255).astype(np.uint8)


_HEAT_OPACITY = _heat_opacity()


def regions(panel: Picture, attribution: Attribution, view: View) -> Picture:
    """Lay signed regions over the panel, each with its value; outlined are those of the SEG.

    Raises
    ------
    ValueError
        If the attribution has no players: :func:`heat` is for those.
    """
    values, players = attribution.estimate.values, attribution.players
    if values is None or players is None:
        raise ValueError("a region map needs players and their values")
    labels: LabelMap = view.sample(players)
    top = float(np.abs(values).max()) if values.size else 0.0
    signed = np.insert(values / top if top > 0 else np.zeros_like(values), 0, 0.0)
    opacity = np.round(255 * _STRONGEST * np.abs(signed) ** 0.7).astype(np.uint8)
    entry = labels + 1  # the label -1 takes the first entry: nothing
    mixed = blend(panel, np.take(diverging(signed), entry, axis=0), np.take(opacity, entry))
    edge = _borders(labels)
    mixed[edge] = mixed[edge] // 3 * 2 + 70
    mixed = _outlined(mixed, np.isin(labels, supporting_players(values)))
    image = Image.fromarray(mixed)
    errors = None if attribution.estimate.exact else attribution.estimate.standard_errors
    _label(image, labels, values, errors)
    return np.asarray(image)


def outlined_lesions(panel: Picture, lesions: Iterable[tuple[Mask, Rgb]], view: View) -> Picture:
    """Draw the border of each lesion in its colour; nothing is laid over the anatomy."""
    drawn = panel.copy()
    for mask, ink in lesions:
        drawn = _outlined(drawn, view.sample(mask), ink)
    return drawn


def _label(
    image: Image.Image, labels: LabelMap, values: PlayerValues, errors: PlayerValues | None
) -> None:
    """Write each region's value, and its standard error, where there is room."""
    draw = ImageDraw.Draw(image)
    coarse = labels[_STEP // 2 :: _STEP, _STEP // 2 :: _STEP]
    for player, value in enumerate(values):
        rows, columns = np.nonzero(coarse == player)
        if rows.size == 0:
            continue
        lines = [signed_text(value)]
        if errors is not None:
            lines.append(f"\u00b1 {errors[player]:.2f}")
        room = ((np.ptp(columns) + 1) * _STEP, (np.ptp(rows) + 1) * _STEP)
        centre = (_STEP * (float(columns.mean()) + 0.5), _STEP * (float(rows.mean()) + 0.5))
        for size in (22, 18, 15, 12):
            wide = max(width_of(line, size, bold=True) for line in lines)
            if wide + 8 <= room[0] and len(lines) * size + 8 <= room[1]:
                draw.multiline_text(
                    centre,
                    "\n".join(lines),
                    font=font(size, bold=True),
                    fill=(255, 255, 255),
                    anchor="mm",
                    align="center",
                    stroke_width=2,
                    stroke_fill=(0, 0, 0),
                )
                break


def _borders(labels: LabelMap | Mask) -> Mask:
    """Say where the right or the lower neighbour has another label."""
    edge = np.zeros(labels.shape, dtype=np.bool_)
    edge[:, :-1] = labels[:, :-1] != labels[:, 1:]
    edge[:-1, :] |= labels[:-1, :] != labels[1:, :]
    return edge


def _outlined(panel: Picture, mask: Mask, ink: Rgb = OUTLINE) -> Picture:
    """Draw the border of a mask, two pixels wide."""
    edge = _borders(mask)
    edge[1:, :] |= edge[:-1, :]
    edge[:, 1:] |= edge[:, :-1]
    panel[edge] = ink
    return panel
