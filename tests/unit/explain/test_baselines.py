from __future__ import annotations

import numpy as np
import pytest

from lightbox.domain.arrays import ImageTensor, LabelMap
from lightbox.domain.background import Background
from lightbox.domain.errors import ExplanationError
from lightbox.domain.model_package import Explanation
from lightbox.explain.baselines.choice import baseline_of, blurred
from lightbox.explain.baselines.inpainting import inner_pixels


def an_image(channels: int = 1, height: int = 30, width: int = 22) -> ImageTensor:
    rng = np.random.default_rng(0)
    return rng.standard_normal((1, channels, height, width)).astype(np.float32)


@pytest.mark.parametrize("cells", [1, 4, 6, 7, 22])
def test_blur_is_what_models_are_trained_with(cells: int) -> None:
    torch = pytest.importorskip("torch", reason="the extra torch is not installed")
    image = torch.from_numpy(an_image(3))
    pooled = torch.nn.functional.adaptive_avg_pool2d(image, cells)
    expected = torch.nn.functional.interpolate(
        pooled, image.shape[2:], mode="bilinear", align_corners=False
    )
    assert blurred(image[0].numpy(), cells) == pytest.approx(expected[0].numpy(), abs=5e-6)


def test_blur_keeps_a_constant_image() -> None:
    assert blurred(np.full((1, 9, 9), 3.0, np.float32), 4) == pytest.approx(3.0)


def test_mean_is_one_level_per_channel() -> None:
    tensor = an_image(2)
    found = baseline_of(Explanation(baseline="mean"), tensor)
    assert found.shape == tensor.shape[1:]
    assert found.dtype == np.float32
    assert found[1, 3, 4] == pytest.approx(tensor[0, 1].mean(), abs=1e-6)
    assert np.ptp(found[0]) == 0


def test_zero_is_the_level_that_normalisation_subtracted() -> None:
    assert not baseline_of(Explanation(baseline="zero"), an_image()).any()
    assert np.array_equal(
        baseline_of(Explanation(baseline="blur", baseline_cells=5), an_image()),
        blurred(an_image()[0], 5),
    )


def quartered(height: int = 30, width: int = 22) -> LabelMap:
    rows = (np.arange(height) * 2 // height)[:, None]
    return (rows * 2 + np.arange(width) * 2 // width).astype(np.int16)


def test_inpainting_keeps_edges_and_fills_between_them_without_extremes() -> None:
    tensor, regions = an_image(2), quartered()
    found = baseline_of(Explanation(baseline="inpaint"), tensor, regions)
    inner = inner_pixels(regions)
    assert inner.any()
    assert np.array_equal(found[:, ~inner], tensor[0][:, ~inner])
    around = (
        found[:, :-2, 1:-1] + found[:, 2:, 1:-1] + found[:, 1:-1, :-2] + found[:, 1:-1, 2:]
    ) / 4.0
    middle = inner[1:-1, 1:-1]
    assert np.abs(around - found[:, 1:-1, 1:-1])[:, middle].max() < 1e-4  # Laplace's equation
    for region in range(4):
        edge = tensor[0][:, (regions == region) & ~inner]
        inside = found[:, (regions == region) & inner]
        assert inside.min() >= edge.min()
        assert inside.max() <= edge.max()


def test_inpainting_takes_a_lesion_away_and_keeps_a_slope() -> None:
    rows, columns = np.mgrid[0:30, 0:22].astype(np.float32)
    slope = (0.1 * rows + 0.2 * columns)[None, None]
    lesion = slope.copy()
    lesion[0, 0, 5:9, 4:7] += 50.0
    spec = Explanation(baseline="inpaint")
    assert baseline_of(spec, slope, quartered()) == pytest.approx(slope[0], abs=1e-3)
    assert baseline_of(spec, lesion, quartered()) == pytest.approx(slope[0], abs=1e-3)


def some_background(images: int = 5) -> Background:
    rng = np.random.default_rng(1)
    lesions = np.zeros((images, 30, 22), np.bool_)
    lesions[:2, :15, :11] = True  # in the first region of the first two
    return Background(rng.standard_normal((images, 1, 30, 22)).astype(np.float32), lesions)


WITH_SET = {"background_sha256": "0" * 64}


def test_the_mean_of_the_background_never_shows_a_lesion() -> None:
    background = some_background()
    background.images[background.lesions[:, None]] = 1000.0
    found = baseline_of(
        Explanation(baseline="background", **WITH_SET), an_image(), background=background
    )
    assert found[:, :15, :11] == pytest.approx(
        background.images[2:, :, :15, :11].mean(axis=0), abs=1e-5
    )
    assert np.abs(found).max() < 10.0


def test_a_lesion_free_patch_is_of_the_image_whose_surroundings_are_most_alike() -> None:
    background, regions = some_background(), quartered()
    tensor = background.images[3:4] + 0.01
    tensor[:, :, 3:9, 3:9] = 50.0  # a lesion
    spec = Explanation(baseline="lesion_free", **WITH_SET)
    found = baseline_of(spec, tensor, regions, background)
    assert np.array_equal(found, background.images[3])
    alike_but_ill = background.images[0:1]
    found = baseline_of(spec, alike_but_ill, regions, background)
    assert not np.array_equal(found[:, :15, :11], background.images[0][:, :15, :11])
    assert np.array_equal(found[:, 15:, 11:], background.images[0][:, 15:, 11:])


@pytest.mark.parametrize("kind", ["background", "lesion_free"])
def test_without_background_images_the_missing_file_is_named(kind: str) -> None:
    spec = Explanation.model_validate({"baseline": kind, **WITH_SET})
    with pytest.raises(ExplanationError, match=r"no background images \(add background.npz"):
        baseline_of(spec, an_image())
