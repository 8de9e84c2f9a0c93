"""The region is where the attribution is at least half of its maximum, and supports."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explained_builders import a_cam, a_shapley
from lightbox.domain.attribution import Estimate
from lightbox.domain.geometry import FrameGeometry
from lightbox.results.mask import region_mask, supporting_players

GEOMETRY = FrameGeometry.pad((60, 80), (32, 32))


@given(arrays(np.float32, (6, 5), elements=st.floats(-1, 1, width=32)))
def test_a_map_gives_the_pixels_of_its_upper_half(source_map: np.ndarray) -> None:
    mask = region_mask(replace(a_cam(GEOMETRY), source_map=source_map))
    top = source_map.max()
    expected = source_map >= 0.5 * top if top > 0 else np.zeros_like(source_map, dtype=bool)
    assert np.array_equal(mask, expected)


def test_not_a_number_is_outside() -> None:
    source_map = np.array([[np.nan, 1.0], [0.2, 0.6]], dtype=np.float32)
    mask = region_mask(replace(a_cam(GEOMETRY), source_map=source_map))
    assert mask.tolist() == [[False, True], [False, True]]


def test_a_map_without_any_number_has_no_region() -> None:
    nothing = np.full((3, 3), np.nan, dtype=np.float32)
    assert not region_mask(replace(a_cam(GEOMETRY), source_map=nothing)).any()


def test_regions_are_those_of_the_players_that_support_most() -> None:
    attribution = a_shapley(GEOMETRY)
    assert attribution.players is not None
    assert np.array_equal(region_mask(attribution), attribution.players == 4)


def test_where_all_players_oppose_there_is_no_region() -> None:
    attribution = a_shapley(GEOMETRY)
    opposing = replace(attribution, estimate=Estimate(values=np.full(12, -0.1)))
    assert not region_mask(opposing).any()


@given(arrays(np.float64, 9, elements=st.floats(-1, 1)))
def test_the_strongest_supporter_is_always_among_them(values: np.ndarray) -> None:
    chosen = supporting_players(values)
    if values.max() > 0:
        assert int(np.argmax(values)) in chosen
        assert (values[chosen] > 0).all()
    else:
        assert chosen.size == 0
