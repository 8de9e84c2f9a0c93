"""The network's input is a function of the picture, not of how it was stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_images import a_picture
from lightbox.domain.model_package import Preprocessing
from lightbox.infer.preprocess import model_input

PICTURE = a_picture().astype(np.float32)


def a_spec(**values: object) -> Preprocessing:
    return Preprocessing.model_validate({"size": [32, 24], **values})


@given(slope=st.floats(0.01, 1000), intercept=st.floats(-5000, 5000))
def test_scale_and_offset_of_the_values_do_not_matter(slope: float, intercept: float) -> None:
    same = model_input(a_spec(), (PICTURE.astype(np.float64) * slope + intercept))

    spread = 1e-3 * max(1.0, abs(intercept) / slope / 100)
    np.testing.assert_allclose(same, model_input(a_spec(), PICTURE), atol=spread)


@pytest.mark.parametrize("level", [0, -1000, 65535])
def test_a_flat_frame_becomes_zero_before_normalisation(level: float) -> None:
    flat = model_input(a_spec(mean=[0.25], std=[0.5]), np.full((50, 40), level))

    np.testing.assert_allclose(flat, -0.5)


def test_values_lie_between_the_normalised_ends() -> None:
    tensor = model_input(a_spec(mean=[0.2], std=[0.2]), PICTURE)

    assert tensor.min() >= -1 - 1e-5
    assert tensor.max() <= 4 + 1e-5
    assert (tensor.shape, tensor.dtype) == ((1, 1, 32, 24), np.dtype(np.float32))


def test_grey_is_repeated_for_networks_with_three_channels() -> None:
    spec = a_spec(channels=3, mean=[0.1, 0.2, 0.3], std=[1.0, 1.0, 1.0])
    tensor = model_input(spec, PICTURE)

    np.testing.assert_allclose(tensor[0, 0] + 0.1, tensor[0, 2] + 0.3, atol=1e-6)


def test_grey_stored_as_colour_is_the_same_picture() -> None:
    colour = np.repeat(PICTURE[..., None], 3, axis=2)

    np.testing.assert_allclose(
        model_input(a_spec(), colour), model_input(a_spec(), PICTURE), atol=1e-5
    )


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_each_fit_fills_the_models_frame(fit: str) -> None:
    tensor = model_input(a_spec(fit=fit, percentiles=[0, 100]), np.ones((41, 73)) + PICTURE[0, 0])

    assert tensor.shape == (1, 1, 32, 24)
    assert np.isfinite(tensor).all()


def test_padding_is_black() -> None:
    wide = np.full((10, 80), 100.0)
    wide[:, :40] = 50.0
    tensor = model_input(a_spec(percentiles=[0, 100]), wide)

    assert tensor[0, 0, 0].max() == 0
    assert tensor[0, 0, 16, -1] == pytest.approx(1)
