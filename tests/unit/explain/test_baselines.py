from __future__ import annotations

import numpy as np
import pytest

from lightbox.domain.arrays import ImageTensor
from lightbox.domain.model_package import Explanation
from lightbox.explain.baselines import baseline_of, blurred


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
