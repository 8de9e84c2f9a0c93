"""Superpixels: regions that follow what is seen in the image, grown from the cells of a grid.

SLIC (Achanta et al. 2012, IEEE TPAMI 34:2274), deterministic: nothing is drawn. Two deviations, so
that an audit can rely on its players: there are exactly as many as the grid has cells, and none is
smaller than a quarter of an even share; where intensities alone would make a smaller one, position
counts for more, until in the limit the regions are the cells.
"""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap, LabelMap
from lightbox.domain.geometry import Axis, FrameGeometry
from lightbox.explain.players.grid import grid_regions, visible, without_empty

COMPACTNESS = 0.25
"""Weight of one cell's length against the whole range of intensities."""

_SMALLEST = 0.25
"""Of an even share of the pixels."""

_ROUNDS = 10
"""Of assignment and new centres: Achanta et al. found that enough."""

_TIGHTENINGS = 6
"""How often position may come to count twice as much."""


def superpixel_regions(image: FloatMap, geometry: FrameGeometry, grid: tuple[int, int]) -> LabelMap:
    """Cut the part of the model frame that shows the source into superpixels.

    Parameters
    ----------
    image : array, shape (C, H, W)
        The model's input.
    geometry : FrameGeometry
        How the source lies in the model frame.
    grid : tuple of int
        Rows and columns of cells that the regions grow from.

    Returns
    -------
    array, shape (H, W) of the model frame, int16
        Connected regions, numbered by the cells that they grew from, row by row from the upper
        left; padding belongs to the nearest region.

    Raises
    ------
    ExplanationError
        If a region would be empty in the model frame or in the source frame.
    """
    cells = grid_regions(geometry, grid)
    rows, columns = (_whole_pixels(axis) for axis in (geometry.rows, geometry.columns))
    seen = image[:, rows, columns].astype(np.float64)
    start = cells[rows, columns]
    labels = start
    least = _SMALLEST * start.size / (grid[0] * grid[1])
    compactness = COMPACTNESS
    for _ in range(_TIGHTENINGS):
        found = _connected(_clustered(_even(seen), start, compactness), start)
        if np.bincount(found.ravel(), minlength=grid[0] * grid[1]).min() >= least:
            labels = found
            break
        compactness *= 2.0
    around = [
        (part.start, length - part.stop)
        for part, length in zip((rows, columns), cells.shape, strict=True)
    ]
    out: LabelMap = np.pad(labels, around, mode="edge").astype(np.int16)
    return without_empty(out, geometry, grid)


def _whole_pixels(axis: Axis) -> slice:
    """Return the model pixels along one axis whose centres show the source."""
    low, high = visible(axis)
    return slice(int(np.ceil(low - 0.5)), int(np.ceil(high - 0.5)))


def _even(image: FloatMap) -> FloatMap:
    """Bring intensities to the range 0 to 1 (a flat image to 0)."""
    low, span = image.min(), np.ptp(image)
    out: FloatMap = (image - low) / (span or 1.0)
    return out


def _clustered(image: FloatMap, start: LabelMap, compactness: float) -> LabelMap:
    """Assign each pixel to the nearest centre, in intensity and position, of those around it."""
    n = int(start.max()) + 1
    height, width = start.shape
    side = np.sqrt(start.size / n)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    features = np.concatenate([image, compactness / side * np.stack([y, x])])
    # A region stays around the cell that it grew from, which gives it its name.
    middles = _means(np.stack([y, x]), start, np.bincount(start.ravel()).astype(np.float64))
    labels = start
    reach = int(np.ceil(side))
    for _ in range(_ROUNDS):
        count = np.maximum(np.bincount(labels.ravel(), minlength=n), 1)
        centres = _means(features, labels, count)
        nearest = np.full(start.shape, np.inf)
        found = labels.copy()
        for player in range(n):
            window = tuple(
                slice(max(0, int(m) - reach), int(m) + reach + 1) for m in middles[player]
            )
            part = features[(slice(None), *window)]
            apart = ((part - centres[player][:, None, None]) ** 2).sum(axis=0)
            closer = apart < nearest[window]
            nearest[window] = np.where(closer, apart, nearest[window])
            found[window] = np.where(closer, player, found[window])
        if np.array_equal(found, labels):
            break
        labels = found
    return labels


def _means(features: FloatMap, labels: LabelMap, count: FloatMap) -> FloatMap:
    """Mean of each feature in each region, shape (n, features); 0 where a region is empty."""
    flat = labels.ravel()
    sums = [np.bincount(flat, weights=one.ravel(), minlength=count.size) for one in features]
    out: FloatMap = np.stack(sums, axis=1) / count[:, None]
    return out


def _connected(labels: LabelMap, start: LabelMap) -> LabelMap:
    """Keep the largest piece of each region; the rest joins what lies beside it."""
    pieces = _pieces(labels)
    numbers, sizes = np.unique(pieces, return_counts=True)
    of_piece = labels.ravel()[numbers]  # a piece bears the index of its first pixel
    out = np.full(labels.shape, -1, dtype=np.int16)
    for player in range(int(start.max()) + 1):
        own = np.flatnonzero(of_piece == player)
        if own.size:
            out[pieces == numbers[own[np.argmax(sizes[own])]]] = player
    while (out < 0).any():
        around = np.pad(out, 1, constant_values=-1)
        for beside in (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]):
            out = np.where((out < 0) & (beside >= 0), beside, out)
    return out


def _pieces(labels: LabelMap) -> np.ndarray:
    """Give connected pieces of equal label (four neighbours) their first pixel's index."""
    pieces = np.arange(labels.size).reshape(labels.shape)
    down, across = labels[1:] == labels[:-1], labels[:, 1:] == labels[:, :-1]
    while True:
        before = pieces.copy()
        for same, one, other in (
            (down, pieces[1:], pieces[:-1]),
            (across, pieces[:, 1:], pieces[:, :-1]),
        ):
            least = np.where(same, np.minimum(one, other), one)
            more = np.where(same, np.minimum(one, other), other)
            one[...] = least
            other[...] = np.minimum(other, more)
        pieces = pieces.ravel()[pieces]  # a piece points at its first pixel's piece
        if np.array_equal(before, pieces):
            return pieces
