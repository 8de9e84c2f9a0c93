from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explained_builders import a_picture
from lightbox.domain.arrays import FloatMap, LabelMap
from lightbox.domain.errors import ExplanationError
from lightbox.domain.frame import Frame
from lightbox.domain.geometry import FrameGeometry
from lightbox.domain.model_package import Explanation
from lightbox.domain.prediction import FrameRef
from lightbox.explain.players.choice import regions_of
from lightbox.explain.players.grid import grid_regions
from lightbox.explain.players.superpixels import superpixel_regions

SQUARE = FrameGeometry.stretch((96, 96), (96, 96))


def a_head(size: int = 96) -> FloatMap:
    return a_picture(size, size)[None].astype(np.float32) / 255


def pieces_of(labels: LabelMap, player: int) -> int:
    """Count pieces by a flood fill, pixel by pixel."""
    left = {(int(y), int(x)) for y, x in np.argwhere(labels == player)}
    count = 0
    while left:
        count += 1
        edge = [left.pop()]
        while edge:
            y, x = edge.pop()
            for beside in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if beside in left:
                    left.remove(beside)
                    edge.append(beside)
    return count


def test_a_border_between_dark_and_bright_is_a_border_of_regions() -> None:
    image = np.zeros((1, 96, 96), np.float32)
    image[0, :, 30:] = 1.0  # the grid's border would be at 48
    labels = superpixel_regions(image, SQUARE, (2, 2))
    crossing = [player for player in range(4) if len(np.unique(image[0][labels == player])) > 1]
    assert crossing == []


def test_superpixels_follow_the_image_better_than_the_grid_does() -> None:
    image = a_head()

    def spread_within(labels: LabelMap) -> float:
        parts = [image[0][labels == player] for player in range(16)]
        return float(sum(part.size * part.var() for part in parts) / image.size)

    found = superpixel_regions(image, SQUARE, (4, 4))
    assert spread_within(found) < 0.7 * spread_within(grid_regions(SQUARE, (4, 4)))


def test_a_region_stays_around_the_cell_that_it_is_named_after() -> None:
    labels = superpixel_regions(a_head(), SQUARE, (4, 4))
    for player in range(16):
        row, column = divmod(player, 4)
        y, x = (place.mean() / 24 for place in np.nonzero(labels == player))
        assert abs(y - row - 0.5) < 1
        assert abs(x - column - 0.5) < 1


def test_the_same_image_gives_the_same_regions() -> None:
    assert np.array_equal(
        superpixel_regions(a_head(), SQUARE, (4, 4)), superpixel_regions(a_head(), SQUARE, (4, 4))
    )


def test_a_flat_image_is_cut_into_the_cells_of_the_grid() -> None:
    flat = np.full((1, 96, 96), 3.0, np.float32)
    assert np.array_equal(superpixel_regions(flat, SQUARE, (4, 3)), grid_regions(SQUARE, (4, 3)))


@given(
    seed=st.integers(0, 99),
    coarse=st.integers(2, 24),
    grid=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
@settings(max_examples=25, deadline=None)
def test_whatever_the_image_every_region_is_whole_and_of_some_size(
    seed: int, coarse: int, grid: tuple[int, int]
) -> None:
    blocks = np.random.default_rng(seed).random((1, coarse, coarse)) ** 3
    image = np.kron(blocks, np.ones((1, 4, 4)))[:, :72, :72].astype(np.float32)
    side = image.shape[1]
    geometry = FrameGeometry.stretch((side, side), (side, side))
    try:
        cells = grid_regions(geometry, grid)
    except ExplanationError:
        return
    labels = superpixel_regions(image, geometry, grid)
    n = grid[0] * grid[1]
    assert labels.dtype == np.int16
    sizes = np.bincount(labels.ravel(), minlength=n)
    assert sizes.size == n
    assert sizes.min() >= min(0.25 * labels.size / n, np.bincount(cells.ravel()).min())
    assert all(pieces_of(labels, player) == 1 for player in range(n))


def test_padding_belongs_to_the_nearest_region_and_does_not_move_the_others() -> None:
    geometry = FrameGeometry.pad((48, 96), (96, 96))
    image = np.zeros((1, 96, 96), np.float32)
    image[0, 24:72] = a_head()[0, 24:72]
    labels = superpixel_regions(image, geometry, (2, 3))
    assert np.array_equal(labels[:24], np.tile(labels[24], (24, 1)))
    assert np.array_equal(labels[72:], np.tile(labels[71], (24, 1)))
    assert set(np.unique(geometry.labels_to_source(labels))) == set(range(6))


def test_a_region_that_no_source_pixel_would_show_is_refused() -> None:
    with pytest.raises(ExplanationError, match=r"only \d+ of 36 .* source frame .*grid"):
        superpixel_regions(a_head(), FrameGeometry.stretch((4, 4), (96, 96)), (6, 6))


def test_the_manifest_chooses_between_grid_and_superpixels() -> None:
    image = a_head()
    frame = Frame(FrameRef("1.2"), image[None], np.zeros((96, 96), np.uint8), SQUARE)
    spec = Explanation(grid=(4, 4))
    assert np.array_equal(regions_of(spec, frame), grid_regions(SQUARE, (4, 4)))
    grown = regions_of(spec.model_copy(update={"regions": "superpixels"}), frame)
    assert np.array_equal(grown, superpixel_regions(image, SQUARE, (4, 4)))
    assert not np.array_equal(grown, regions_of(spec, frame))
