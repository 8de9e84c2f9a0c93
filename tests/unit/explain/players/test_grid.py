from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightbox.domain.errors import ExplanationError
from lightbox.domain.geometry import FrameGeometry
from lightbox.domain.regions import region_name
from lightbox.explain.players.grid import grid_regions


def test_regions_are_numbered_row_by_row_from_the_upper_left() -> None:
    labels = grid_regions(FrameGeometry.stretch((50, 60), (4, 6)), (2, 3))
    assert labels.dtype == np.int16
    assert labels.tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2


def test_padding_belongs_to_the_nearest_region() -> None:
    labels = grid_regions(FrameGeometry.pad((10, 20), (20, 20)), (2, 1))
    assert labels[:, 0].tolist() == [0] * 10 + [1] * 10
    tall = grid_regions(FrameGeometry.pad((20, 8), (20, 20)), (1, 4))
    assert tall[0].tolist() == [0] * 8 + [1, 1, 2, 2] + [3] * 8


@given(
    source=st.tuples(st.integers(8, 90), st.integers(8, 90)),
    grid=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    fit=st.sampled_from([FrameGeometry.pad, FrameGeometry.crop, FrameGeometry.stretch]),
)
def test_regions_are_even_where_the_source_is_seen_and_never_empty(
    source: tuple[int, int],
    grid: tuple[int, int],
    fit: Callable[[tuple[int, int], tuple[int, int]], FrameGeometry],
) -> None:
    geometry = fit(source, (64, 48))
    try:
        labels = grid_regions(geometry, grid)
    except ExplanationError:  # a very long, thin source: too few pixels for the grid
        assert max(source) > 4 * min(source)
        return
    players = geometry.labels_to_source(labels)
    for frame in (labels, players[players >= 0]):
        assert np.unique(frame).tolist() == list(range(grid[0] * grid[1]))
    heights = [(players == i).any(axis=1).sum() for i in range(0, grid[0] * grid[1], grid[1])]
    assert max(heights) - min(heights) <= 2 + max(source) // 48


def test_a_grid_finer_than_the_image_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(ExplanationError, match=r"only 9 of 16 .* source frame .*grid"):
        grid_regions(FrameGeometry.pad((3, 3), (64, 64)), (4, 4))


@pytest.mark.parametrize(
    ("index", "grid", "name"),
    [
        (0, (4, 3), "top left"),
        (11, (4, 3), "bottom right"),
        (4, (3, 3), "middle centre"),
        (1, (1, 2), "right"),
        (0, (1, 1), "whole picture"),
        (48, (7, 7), "row 7 of 7 column 7 of 7"),
    ],
)
def test_regions_have_names_that_a_reader_finds_in_the_picture(
    index: int, grid: tuple[int, int], name: str
) -> None:
    assert region_name(index, grid) == name
