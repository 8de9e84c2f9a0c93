"""What stays of an explanation when baseline or image change a little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fakes.arithmetic_runtime import ArithmeticRuntime
from lightbox.domain.arrays import FloatMap, ImageTensor
from lightbox.domain.model_package import Explanation
from lightbox.explain.quality.stability import (
    CHANGE,
    DRAWS,
    NOISE,
    changed_copies,
    noisy_copies,
    relative_change,
)
from lightbox.explain.robustness import second_baseline
from lightbox.explain.subject import Subject
from lightbox.ports import Output
from unit.explain.test_attribute import SIZE, a_door, a_subject, audited, quarters


def a_ramp() -> ImageTensor:
    return np.linspace(0.5, 2.0, 144, dtype=np.float32).reshape(1, 1, *SIZE)


def ramped(**changes: object) -> Subject:
    subject = a_subject((24, 20), grid=(3, 2), **changes)
    return replace(subject, frame=replace(subject.frame, tensor=a_ramp()))


def test_noise_has_the_length_that_was_promised() -> None:
    image = a_ramp()
    copies = noisy_copies(image)
    assert copies.shape == (DRAWS, 1, *SIZE)
    length = np.linalg.norm(image - image.mean())
    away = np.linalg.norm((copies - image).reshape(DRAWS, -1), axis=1)
    assert away == pytest.approx(np.full(DRAWS, NOISE * length), rel=1e-4)
    assert np.array_equal(copies, noisy_copies(image))


def test_a_change_on_purpose_stays_within_its_bounds_and_the_images_range() -> None:
    image = a_ramp()
    first = changed_copies(image, None, 0)
    later = changed_copies(image, first[3], 1)
    for copies in (first, later):
        assert np.abs(copies - image).max() <= CHANGE * np.ptp(image) + 1e-6
        assert copies.min() >= image.min()
        assert copies.max() <= image.max()
        assert len({copy.tobytes() for copy in copies}) == DRAWS
    shared = [(copy == first[3]).mean() for copy in later]
    assert min(shared) > 0.3  # parts of the best one so far are kept


def test_a_map_that_follows_its_image_is_measured_as_stable() -> None:
    subject, runtime = ramped(), ArithmeticRuntime(quarters(9, -3, 0, 5))
    fast = a_door().fast(subject, runtime.predict(subject.frame.tensor))
    _, found = audited(subject, runtime, fast)
    assert 0.0 < found.quality["stability"] < 0.1
    assert found.quality["stability_adversarial"] > 0.8
    assert not any("not stable" in sentence for sentence in found.warnings)


def test_a_map_that_a_small_change_turns_over_is_said_on_the_picture() -> None:
    class Fickle(ArithmeticRuntime):
        def predict(self, images: ImageTensor) -> Output:
            output = super().predict(images)
            assert output.cam is not None
            plain = output.cam[:, 0, 0] == np.float32(9 * 0.5)  # only the image itself
            cam = np.where(plain[:, None, None], output.cam, output.cam.max() - output.cam)
            return replace(output, cam=cam)

    subject, runtime = ramped(), Fickle(quarters(9, -3, 0, 5))
    fast = a_door().fast(subject, runtime.predict(subject.frame.tensor))
    _, found = audited(subject, runtime, fast)
    assert found.quality["stability"] > 0.5
    assert found.quality["stability_adversarial"] < 0.0
    assert any(s.startswith("The fast map is not stable") for s in found.warnings)


def test_changes_that_turn_the_finding_do_not_count() -> None:
    class Turning(ArithmeticRuntime):
        def _logits(self, product: FloatMap) -> FloatMap:
            logits = super()._logits(product)
            image = np.float32((quarters(9, -3, 0, 5) * a_ramp()[0, 0]).mean())
            turned = np.abs(logits[:, 1] - image) > 1e-6
            return np.where(turned[:, None] & (logits[:, 1:] > 1.0), logits[:, ::-1], logits)

    subject, runtime = ramped(), Turning(quarters(9, -3, 0, 5))
    fast = a_door().fast(subject, runtime.predict(subject.frame.tensor))
    _, found = audited(subject, runtime, fast)
    assert "stability" not in found.quality
    assert "stability_adversarial" not in found.quality


def test_an_audit_says_how_the_order_changes_with_another_baseline() -> None:
    subject = ramped(second_baseline="mean")
    runtime = ArithmeticRuntime(quarters(9, -3, 0, 5))
    _, found = audited(subject, runtime, None)
    assert -1.0 <= found.quality["agreement_baseline"] < 1.0
    assert found.parameters["second_baseline"] == "mean"
    assert "stability" not in found.quality  # there is no fast map


def test_a_baseline_that_turns_the_order_is_said_on_the_picture() -> None:
    # Hidden by zero the brightest region counts most; hidden by the mean the darkest helps.
    subject = ramped(second_baseline="mean")
    weights = np.kron(np.array([[3.0, 2.6], [1.6, 1.4], [1.0, 0.95]]), np.ones((4, 6)))
    runtime = ArithmeticRuntime(weights)
    _, found = audited(subject, runtime, None)
    turned = found.quality["agreement_baseline"] < 0.2
    assert turned == any("order of the regions depends" in s for s in found.warnings)
    assert turned


def test_only_a_second_baseline_that_is_another_one_is_used() -> None:
    def second(**keys: object) -> str:
        spec = Explanation.model_validate({"background_sha256": "0" * 64, **keys})
        return second_baseline(spec, has_background=False)

    assert second(baseline="blur") == "mean"
    assert second(baseline="mean") == "blur"
    assert second(baseline="mean", second_baseline="inpaint") == "inpaint"
    assert second(baseline="blur", second_baseline="") == ""
    assert second(baseline="blur", second_baseline="lesion_free") == ""


def test_relative_change_is_of_the_first_map() -> None:
    assert relative_change(np.array([3.0, 4.0]), np.array([3.0, 3.0])) == pytest.approx(0.2)
