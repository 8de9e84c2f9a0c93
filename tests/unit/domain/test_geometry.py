"""The safety kernel: what the network marked is marked on the same pixels of the source."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightbox.domain.arrays import FloatMap
from lightbox.domain.geometry import FrameGeometry
from lightbox.domain.model_package import Preprocessing
from lightbox.infer.preprocess import geometry_for, model_input

Way = Callable[[tuple[int, int], tuple[int, int]], FrameGeometry]
WAYS: list[Way] = [FrameGeometry.pad, FrameGeometry.crop, FrameGeometry.stretch]

lengths = st.integers(1, 300)
shapes = st.tuples(lengths, lengths)
model_shapes = st.tuples(st.integers(1, 300), st.integers(1, 300))
ways = st.sampled_from(WAYS)

AWKWARD = [(65, 64), (64, 91), (91, 37), (33, 33), (201, 301), (31, 200)]
"""Odd, even, tall and wide."""


@given(way=ways, source=shapes, model=model_shapes)
def test_to_model_and_back_is_where_it_started(
    way: Way, source: tuple[int, int], model: tuple[int, int]
) -> None:
    geometry = way(source, model)

    for axis in (geometry.rows, geometry.columns):
        at = np.linspace(0, axis.source, 17)
        np.testing.assert_allclose(axis.to_source(axis.to_model(at)), at, atol=1e-9 * axis.source)


@given(way=ways, source=shapes, model=model_shapes)
def test_the_centre_of_the_source_is_the_centre_of_the_model_frame(
    way: Way, source: tuple[int, int], model: tuple[int, int]
) -> None:
    geometry = way(source, model)

    assert geometry.rows.to_model(np.array(source[0] / 2)) == pytest.approx(model[0] / 2)
    assert geometry.columns.to_model(np.array(source[1] / 2)) == pytest.approx(model[1] / 2)


@given(source=shapes, model=model_shapes)
def test_pad_and_crop_keep_the_aspect_ratio_and_stretch_fills_the_frame(
    source: tuple[int, int], model: tuple[int, int]
) -> None:
    for geometry in (FrameGeometry.pad(source, model), FrameGeometry.crop(source, model)):
        rows, columns = geometry.rows, geometry.columns
        assert rows.canvas / rows.model == pytest.approx(columns.canvas / columns.model)
    padded, cropped = FrameGeometry.pad(source, model), FrameGeometry.crop(source, model)
    assert min(padded.rows.offset, padded.columns.offset) == pytest.approx(0, abs=1e-6)
    assert max(cropped.rows.offset, cropped.columns.offset) == pytest.approx(0, abs=1e-6)
    assert padded.rows.offset >= -1e-6
    assert cropped.rows.offset <= 1e-6
    stretched = FrameGeometry.stretch(source, model)
    edges = stretched.rows.to_model(np.array([0.0, source[0]]))
    np.testing.assert_allclose(edges, [0, model[0]], atol=1e-9)


@given(
    way=ways,
    source=shapes,
    cells=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    level=st.floats(-100, 100),
)
def test_a_constant_map_stays_constant_where_the_model_looked_and_is_zero_elsewhere(
    way: Way, source: tuple[int, int], cells: tuple[int, int], level: float
) -> None:
    geometry = way(source, (192, 160))
    out = geometry.attribution_to_source(np.full(cells, level))

    seen = geometry.rows.source_seen()[:, None] & geometry.columns.source_seen()[None, :]
    assert out.shape == source
    np.testing.assert_allclose(out[seen], level, rtol=1e-5, atol=1e-5)
    assert (out[~seen] == 0).all()


@given(way=ways, source=shapes, seed=st.integers(0, 99))
def test_a_map_is_never_beyond_its_cells(way: Way, source: tuple[int, int], seed: int) -> None:
    cells = np.random.default_rng(seed).standard_normal((5, 7))
    out = way(source, (192, 160)).attribution_to_source(cells)

    assert min(cells.min(), 0.0) - 1e-5 <= out.min()
    assert out.max() <= max(cells.max(), 0.0) + 1e-5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", AWKWARD)
def test_a_map_of_positions_comes_back_as_the_positions(way: Way, source: tuple[int, int]) -> None:
    """Each cell says where it is; away from the frame's edge, source pixels must read just that."""
    geometry = way(source, (192, 160))
    rows = geometry.rows.to_source((np.arange(24) + 0.5) * 8.0)
    out = geometry.attribution_to_source(np.repeat(rows[:, None], 20, axis=1))

    centres = np.arange(source[0]) + 0.5
    inside = (centres >= rows[0]) & (centres <= rows[-1])
    middle = source[1] // 2  # cropping may have taken the first columns
    np.testing.assert_allclose(out[inside, middle], centres[inside], rtol=1e-5, atol=1e-4)


def corners(shape: tuple[int, int]) -> list[tuple[int, int]]:
    return [(r, c) for r in (0, shape[0] - 1) for c in (0, shape[1] - 1)]


@pytest.mark.parametrize("way", [FrameGeometry.pad, FrameGeometry.stretch])
@pytest.mark.parametrize("source", AWKWARD)
def test_a_blob_in_a_corner_of_the_source_comes_back_to_that_corner(
    way: Way, source: tuple[int, int]
) -> None:
    """Nearest cell forth, map back: the hottest source pixel is the one it came from."""
    geometry = way(source, (192, 192))
    for row, column in corners(source):
        cells = np.zeros((192, 192))
        at_row = int(geometry.rows.to_model(np.array(row + 0.5)))
        at_column = int(geometry.columns.to_model(np.array(column + 0.5)))
        cells[at_row, at_column] = 1.0

        hottest = np.unravel_index(geometry.attribution_to_source(cells).argmax(), source)

        a_cell = max(1.0, *geometry.cell_size((192, 192)))
        assert abs(int(hottest[0]) - row) <= a_cell
        assert abs(int(hottest[1]) - column) <= a_cell


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("source", AWKWARD)
def test_a_blob_survives_real_resampling_and_the_way_back(
    fit: str, source: tuple[int, int]
) -> None:
    """Through :func:`model_input` itself: geometry and resampling must mean the same place."""
    spec = Preprocessing.model_validate({"size": [96, 80], "fit": fit, "percentiles": [0.0, 100.0]})
    geometry = geometry_for(spec, source)
    for row, column in blob_places(geometry):
        pixels = np.zeros(source, dtype=np.float32)
        pixels[row, column] = 1000.0

        seen = geometry.attribution_to_source(model_input(spec, pixels)[0, 0])

        hottest = np.unravel_index(seen.argmax(), source)
        a_cell = np.maximum(1.0, geometry.cell_size((96, 80)))
        assert abs(int(hottest[0]) - row) <= a_cell[0]
        assert abs(int(hottest[1]) - column) <= a_cell[1]


def blob_places(geometry: FrameGeometry) -> list[tuple[int, int]]:
    """Corners of what the model can see, and one place off the middle."""
    ends = []
    for axis in (geometry.rows, geometry.columns):
        first, last = axis.to_source(np.array([0.0, axis.model]))
        low = int(np.ceil(max(first, 0.0)))
        high = int(np.floor(min(last, axis.source))) - 1
        ends.append((low, high, (2 * low + high) // 3))
    (top, bottom, middle_row), (left, right, middle_column) = ends
    corners_seen = [(r, c) for r in (top, bottom) for c in (left, right)]
    return [*corners_seen, (middle_row, middle_column)]


@given(way=ways, source=shapes, model=model_shapes)
def test_each_source_pixel_gets_the_label_of_the_model_pixel_over_its_centre(
    way: Way, source: tuple[int, int], model: tuple[int, int]
) -> None:
    geometry = way(source, model)
    labels = (np.arange(model[0] * model[1]) % 32_000).reshape(model).astype(np.int16)

    out = geometry.labels_to_source(labels)

    assert (out.shape, out.dtype) == (source, np.dtype(np.int16))
    for row, column in corners(source):
        at_row = float(geometry.rows.to_model(np.array(row + 0.5)))
        at_column = float(geometry.columns.to_model(np.array(column + 0.5)))
        inside = 0 <= at_row < model[0] and 0 <= at_column < model[1]
        expected = labels[int(at_row), int(at_column)] if inside else -1
        assert out[row, column] == expected


@pytest.mark.parametrize("source", AWKWARD)
def test_what_was_cropped_away_has_no_label(source: tuple[int, int]) -> None:
    geometry = FrameGeometry.crop(source, (96, 96))
    out = geometry.labels_to_source(np.zeros((96, 96), dtype=np.int16))

    shorter = min(source)
    assert (out == 0).sum() == pytest.approx(shorter**2, abs=2 * shorter)
    assert (out == -1).sum() + (out == 0).sum() == out.size


@pytest.mark.parametrize("source", AWKWARD)
def test_padding_and_stretching_label_every_source_pixel(source: tuple[int, int]) -> None:
    labels = np.ones((96, 80), dtype=np.int16)

    for way in (FrameGeometry.pad, FrameGeometry.stretch):
        assert (way(source, (96, 80)).labels_to_source(labels) == 1).all()


def test_a_cell_is_so_many_source_pixels() -> None:
    geometry = FrameGeometry.pad((480, 320), (192, 192))

    assert geometry.cell_size((24, 24)) == (20.0, 20.0)
    assert geometry.source_shape == (480, 320)
    assert geometry.model_shape == (192, 192)


def test_labels_of_a_grid_keep_their_order() -> None:
    rows = np.arange(96) * 4 // 96
    labels: FloatMap = np.repeat(rows[:, None], 96, axis=1)
    out = FrameGeometry.pad((101, 57), (96, 96)).labels_to_source(labels.astype(np.int16))

    assert (np.diff(out[:, 0]) >= 0).all()
    assert set(out.ravel()) == {0, 1, 2, 3}
