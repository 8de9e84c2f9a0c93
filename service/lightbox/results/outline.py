"""The outline of a mask as closed polygons, for spatial coordinates (PS3.3 C.18.6).

Coordinates run along the edges of pixels: the top left corner of the image is (0, 0), so a
polygon encloses exactly the pixels of the mask before it is simplified.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lightbox.domain.arrays import Mask

Polygon: TypeAlias = npt.NDArray[np.float64]
"""Corners as (column, row), shape (n, 2), not repeating the first one."""

_Corner = tuple[int, int]


def outlines(mask: Mask, tolerance: float = 0.75, most: int = 3) -> list[Polygon]:
    """Return the outer outlines of the largest parts of a mask, largest first.

    Parameters
    ----------
    mask : array, shape (rows, columns), bool
    tolerance : float
        Corners nearer than this to the line between their neighbours are left out, pixels.
    most : int
        So many parts at most; parts under a twentieth of the largest are left out.
    """
    found = parts(mask)
    return [
        _simplified(loop, tolerance) for loop in found[:most] if _area(loop) * 20 >= _area(found[0])
    ]


def parts(mask: Mask) -> list[Polygon]:
    """Return the outer outline of every connected part of a mask, in full, largest first."""
    loops = [np.asarray(loop, dtype=np.float64) for loop in _loops(mask)]
    sized = sorted(((_area(loop), i) for i, loop in enumerate(loops)), reverse=True)
    return [loops[i] for area, i in sized if area > 0]


def longest_line(outline: Polygon, spacing: tuple[float, float]) -> float:
    """Return the longest distance between two corners of an outline, millimetres.

    Parameters
    ----------
    outline : array, shape (n, 2)
        Corners as (column, row).
    spacing : tuple of two floats
        Millimetres between rows and between columns.
    """
    outer = _hull(np.unique(outline, axis=0) * np.asarray(spacing[::-1]))
    apart = outer[:, None] - outer[None]
    return float(np.hypot(apart[..., 0], apart[..., 1]).max())


def _hull(points: Polygon) -> Polygon:
    """Return the corners of the convex hull of sorted points (Andrew 1979)."""
    ordered = points.tolist()
    found: list[list[float]] = []
    for way in (ordered, ordered[::-1]):
        chain: list[list[float]] = []
        for point in way:
            while len(chain) >= 2 and not _turns_left(chain[-2], chain[-1], point):
                chain.pop()
            chain.append(point)
        found += chain[:-1]
    return np.asarray(found, dtype=np.float64)


def _turns_left(a: list[float], b: list[float], c: list[float]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0


def _loops(mask: Mask) -> list[list[_Corner]]:
    """Follow the edges between inside and outside, inside on the right, into closed loops."""
    padded = np.pad(mask, 1)
    leaving = _edges(padded)
    loops = []
    while leaving:
        start = next(iter(leaving))
        loop, at, heading = [start], start, (0, 0)
        while True:
            at, heading = _step(leaving, at, heading)
            if at == start:
                break
            loop.append(at)
        loops.append(loop)
    return loops


def _edges(padded: Mask) -> dict[_Corner, list[_Corner]]:
    """Return, for each corner (column, row), the corners that an edge leads to."""
    leaving: dict[_Corner, list[_Corner]] = {}
    inside, above = padded[1:, :], padded[:-1, :]
    for row, column in np.argwhere(inside & ~above).tolist():  # top edge: to the right
        leaving.setdefault((column - 1, row), []).append((column, row))
    for row, column in np.argwhere(above & ~inside).tolist():  # bottom edge: to the left
        leaving.setdefault((column, row), []).append((column - 1, row))
    inside, before = padded[:, 1:], padded[:, :-1]
    for row, column in np.argwhere(inside & ~before).tolist():  # left edge: upwards
        leaving.setdefault((column, row), []).append((column, row - 1))
    for row, column in np.argwhere(before & ~inside).tolist():  # right edge: downwards
        leaving.setdefault((column, row - 1), []).append((column, row))
    return leaving


def _step(
    leaving: dict[_Corner, list[_Corner]], at: _Corner, heading: _Corner
) -> tuple[_Corner, _Corner]:
    """Take the next edge; where two parts touch at a corner, stay with the one being followed."""
    choices = leaving[at]
    right = (-heading[1], heading[0])
    following = next(
        (c for c in choices if (c[0] - at[0], c[1] - at[1]) == right),
        choices[0],
    )
    choices.remove(following)
    if not choices:
        del leaving[at]
    return following, (following[0] - at[0], following[1] - at[1])


def _area(loop: Polygon) -> float:
    """Signed area; positive for outer outlines (clockwise on the screen), negative for holes."""
    x, y = loop[:, 0], loop[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def _simplified(loop: Polygon, tolerance: float) -> Polygon:
    """Drop corners by Douglas and Peucker (1973), on the two halves between far corners."""
    first = 0
    far = int(np.argmax(np.hypot(*(loop - loop[first]).T)))
    keep = np.zeros(len(loop) + 1, dtype=np.bool_)
    closed = np.vstack([loop, loop[:1]])
    keep[[first, far, len(loop)]] = True
    stack = [(first, far), (far, len(loop))]
    while stack:
        low, high = stack.pop()
        if high - low < 2:
            continue
        span = closed[high] - closed[low]
        between = closed[low + 1 : high] - closed[low]
        length = float(np.hypot(*span))
        if length:
            distance = np.abs(span[0] * between[:, 1] - span[1] * between[:, 0]) / length
        else:
            distance = np.hypot(*between.T)
        worst = int(np.argmax(distance))
        if distance[worst] > tolerance:
            middle = low + 1 + worst
            keep[middle] = True
            stack += [(low, middle), (middle, high)]
    return closed[:-1][keep[:-1]]
