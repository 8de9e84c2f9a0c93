"""The network's input is a function of the picture, not of how it was stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dicom_images import a_picture
from lightbox.domain.errors import UnreadableError
from lightbox.domain.model_package import Preprocessing
from lightbox.infer.preprocess import model_input, percentiles

PICTURE = a_picture().astype(np.float32)


def a_spec(**values: object) -> Preprocessing:
    return Preprocessing.model_validate({"size": [32, 24], **values})


@settings(deadline=None)  # on a busy machine anything takes long
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(1, 1), (7, 9), (64, 61), (200, 300), (256, 256), (512, 512)]),
    kind=st.sampled_from(["whole", "few levels", "normal", "background", "ramp", "far apart"]),
    wanted=st.sampled_from([(0.5, 99.5), (0.0, 100.0), (1.0, 99.0), (2.5, 97.5), (49.0, 51.0)]),
)
def test_percentiles_are_numpys_bit_for_bit(
    seed: int, shape: tuple[int, int], kind: str, wanted: tuple[float, float]
) -> None:
    rng = np.random.default_rng(seed)
    values = {
        "whole": rng.integers(-1024, 3072, shape),
        "few levels": rng.integers(0, 3, shape),
        "normal": rng.normal(0, 1e3, shape),
        "background": np.maximum(rng.normal(-100, 100, shape), 0),
        "ramp": np.arange(np.prod(shape)).reshape(shape),  # where a sample is no sample
        "far apart": np.where(rng.random(shape) < 1e-3, 1e30, rng.random(shape)),
    }[kind].astype(np.float32)

    ours, numpys = percentiles(values, wanted), np.percentile(values, wanted)

    assert np.array(ours).tobytes() == numpys.tobytes()


def test_percentiles_of_what_is_no_number_are_none() -> None:
    values = np.zeros((300, 300), np.float32)
    values[150, 150] = np.nan

    assert np.isnan(percentiles(values, (0.5, 99.5))).all()


@settings(deadline=None)
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


def test_levels_state_what_becomes_black_and_white_whatever_else_is_in_the_frame() -> None:
    spec = a_spec(size=[8, 8], fit="stretch", levels=[-160, 240])
    slice_ = np.full((8, 8), 40.0)
    slice_[0, :3] = (-1000, 240, 3000)

    tensor = model_input(spec, slice_)[0, 0]

    np.testing.assert_allclose(tensor[0, :4], [0, 1, 1, 0.5], atol=1e-6)
    assert np.ptp(tensor[1:]) < 1e-6


@pytest.mark.parametrize("between", [(0.5, 0.5), (1.0, 1.0), (0.8, 1.6), (3.0, 2.0)])
def test_a_disc_has_the_same_millimetres_in_the_input_whatever_the_spacing(
    between: tuple[float, float],
) -> None:
    spec = a_spec(size=[64, 64], fit="spacing", spacing=[1.5, 1.5], levels=[0, 1])
    rows, columns = round(120 / between[0]), round(90 / between[1])
    y = (np.arange(rows) + 0.5) * between[0] - 60
    x = (np.arange(columns) + 0.5) * between[1] - 45
    disc = (np.hypot(*np.meshgrid(y - 12, x + 9, indexing="ij")) < 15).astype(np.float32)

    tensor = model_input(spec, disc, between)[0, 0]

    at = (np.arange(64) + 0.5 - 32) * 1.5
    weight = tensor / tensor.sum()
    assert tensor.sum() * 1.5**2 == pytest.approx(np.pi * 15**2, rel=0.05)
    assert weight.sum(1) @ at == pytest.approx(12, abs=0.4)
    assert weight.sum(0) @ at == pytest.approx(-9, abs=0.4)


def test_a_frame_without_millimetres_is_refused_where_the_model_needs_them() -> None:
    spec = a_spec(fit="spacing", spacing=[1, 1])
    with pytest.raises(UnreadableError, match="no Pixel Spacing"):
        model_input(spec, PICTURE)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"fit": "spacing"}, 'goes with fit = "spacing"'),
        ({"spacing": [1, 1]}, 'goes with fit = "spacing"'),
        ({"fit": "spacing", "spacing": [1, 0]}, "expected millimetres"),
        ({"levels": [240, -160]}, "expected the lower one first"),
        (
            {"channels": 3, "mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]},
            "here they are of levels from 0 to 1: divide them by 255",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        a_spec(**wrong)
