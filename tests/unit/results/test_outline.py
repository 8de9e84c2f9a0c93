"""An outline encloses exactly the pixels of its mask, before it is simplified."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from lightbox.results.outline import outlines


def area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2


def test_one_pixel_is_a_square_around_its_centre() -> None:
    mask = np.zeros((5, 7), dtype=bool)
    mask[2, 4] = True
    (polygon,) = outlines(mask, tolerance=0.0)
    assert sorted(map(tuple, polygon.tolist())) == [(4, 2), (4, 3), (5, 2), (5, 3)]


def test_nothing_has_no_outline() -> None:
    assert outlines(np.zeros((4, 4), dtype=bool)) == []


def test_everything_is_the_frame() -> None:
    (polygon,) = outlines(np.ones((4, 6), dtype=bool))
    assert area(polygon) == 24
    assert len(polygon) == 4


def test_a_hole_is_not_a_part() -> None:
    mask = np.ones((9, 9), dtype=bool)
    mask[3:6, 3:6] = False
    assert [area(p) for p in outlines(mask)] == [81]


def test_parts_come_largest_first_and_specks_are_left_out() -> None:
    mask = np.zeros((40, 40), dtype=bool)
    mask[1:6, 1:6] = True
    mask[20:35, 20:35] = True
    mask[38, 2] = True
    assert [area(p) for p in outlines(mask, tolerance=0.0)] == [225, 25]


@given(arrays(np.bool_, (7, 6), elements=st.booleans()))
def test_outer_areas_less_holes_are_the_mask(mask: np.ndarray) -> None:
    filled = np.zeros(mask.shape, dtype=bool)
    for polygon in outlines(mask, tolerance=0.0, most=99):
        scaled = Image.new("1", (mask.shape[1] * 4, mask.shape[0] * 4))
        corners = [(4 * x - 0.5, 4 * y - 0.5) for x, y in polygon]
        ImageDraw.Draw(scaled).polygon(corners, fill=1)
        filled |= np.asarray(scaled)[2::4, 2::4]
    largest = mask.sum()
    if largest <= 20:  # no part is under a twentieth: every pixel is inside an outline
        assert (filled | ~mask).all()


@given(st.floats(6, 25), st.floats(0.3, 1.5))
def test_simplifying_moves_no_edge_by_more_than_the_tolerance(
    radius: float, tolerance: float
) -> None:
    y, x = np.mgrid[0:64, 0:64]
    mask = (x - 32) ** 2 + (y - 32) ** 2 < radius**2
    (full,) = outlines(mask, tolerance=0.0)
    (simple,) = outlines(mask, tolerance=tolerance)
    assert len(simple) <= len(full)
    assert area(simple) == pytest.approx(area(full), abs=tolerance * 2 * np.pi * (radius + 2))
