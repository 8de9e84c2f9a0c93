"""What every runtime keeps, whichever engine runs the network.

A test class of an implementation inherits :class:`RuntimeContract` and says how it is made; the
network is that of ``networks.a_pooled_classifier``.
"""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap
from lightbox.ports import Runtime

SIDE = 16
PLAYERS = 6


def some_images(count: int, seed: int = 0) -> FloatMap:
    return np.random.default_rng(seed).standard_normal((count, 1, SIDE, SIDE)).astype(np.float32)


def some_regions() -> np.ndarray:
    """Two by three regions; the last row of pixels belongs to none."""
    rows = np.arange(SIDE) * 2 // SIDE
    regions = (rows[:, None] * 3 + (np.arange(SIDE) * 3 // SIDE)[None]).astype(np.int16)
    regions[-1] = -1
    return regions


def some_coalitions(count: int) -> np.ndarray:
    return np.random.default_rng(1).random((count, PLAYERS)) < 0.5


class RuntimeContract:
    """What the ports promise."""

    def runtime(self) -> Runtime:
        raise NotImplementedError

    def test_each_image_gets_logits_and_a_map_that_is_not_negative(self) -> None:
        output = self.runtime().predict(some_images(5))

        assert output.logits.shape[0] == 5
        assert output.cam is not None
        assert output.cam.shape[0] == 5
        assert output.cam.min() >= 0

    def test_an_image_does_not_see_its_neighbours_in_the_batch(self) -> None:
        runtime, images = self.runtime(), some_images(5)
        together = runtime.predict(images)
        assert together.cam is not None

        for i in range(5):
            alone = runtime.predict(images[i : i + 1])
            assert alone.cam is not None
            np.testing.assert_allclose(alone.logits[0], together.logits[i], atol=1e-5)
            np.testing.assert_allclose(alone.cam[0], together.cam[i], atol=1e-5)

    def test_the_layer_and_its_gradient_come_with_the_same_logits(self) -> None:
        runtime, images = self.runtime(), some_images(3)
        bare = runtime.predict(images)

        output = runtime.layers(images)

        np.testing.assert_allclose(output.logits, bare.logits, atol=1e-5)
        assert output.activation is not None
        assert output.gradient is not None
        assert output.activation.shape == output.gradient.shape
        weight = output.gradient.mean(axis=(2, 3), keepdims=True)
        cam = np.maximum((weight * output.activation).sum(axis=1), 0.0)
        assert bare.cam is not None
        assert cam.shape == bare.cam.shape

    def test_the_gradient_is_of_the_class_that_is_asked_for(self) -> None:
        runtime, images = self.runtime(), some_images(2)
        winners = runtime.predict(images).logits.argmax(axis=1)

        winning = runtime.layers(images)
        asked = runtime.layers(images, tuple(int(winner) for winner in winners))
        other = runtime.layers(images, tuple(int(1 - min(winner, 1)) for winner in winners))

        assert asked.targets == tuple(winners)
        assert winning.gradient is not None
        assert asked.gradient is not None
        assert other.gradient is not None
        np.testing.assert_array_equal(winning.gradient, asked.gradient)
        assert not np.array_equal(winning.gradient, other.gradient)

    def test_masking_is_what_the_port_says(self) -> None:
        runtime = self.runtime()
        image, baseline = some_images(2, seed=2)
        regions, coalitions = some_regions(), some_coalitions(11)

        logits = runtime.value(image, baseline, regions, coalitions)

        shown = np.where((regions < 0) | coalitions[:, regions], image[0], baseline[0])
        masked = shown[:, None].astype(np.float32)
        np.testing.assert_allclose(logits, runtime.predict(masked).logits, atol=1e-5)

    def test_all_present_is_the_image_and_none_the_baseline(self) -> None:
        runtime = self.runtime()
        image, baseline = some_images(2, seed=3)
        regions = np.maximum(some_regions(), 0)
        ends = np.array([[True] * PLAYERS, [False] * PLAYERS])

        logits = runtime.value(image, baseline, regions, ends)

        bare = runtime.predict(np.stack([image, baseline])).logits
        np.testing.assert_allclose(logits, bare, atol=1e-5)

    def test_a_coalition_has_the_same_bits_wherever_it_is_asked_for(self) -> None:
        runtime = self.runtime()
        image, baseline = some_images(2, seed=4)
        regions, coalitions = some_regions(), some_coalitions(70)

        first = runtime.value(image, baseline, regions, coalitions)
        again = self.runtime().value(image, baseline, regions, coalitions)
        parts = [
            runtime.value(image, baseline, regions, coalitions[start : start + 7])
            for start in range(0, 70, 7)
        ]
        backwards = runtime.value(image, baseline, regions, coalitions[::-1])[::-1]

        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(first, np.concatenate(parts))
        np.testing.assert_array_equal(first, backwards)
