from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lightbox.domain.errors import UnsoundError
from lightbox.domain.model_package import ModelPackage
from lightbox.infer.confidence import probabilities, suspicion
from packages import a_loaded_package


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    """Temperature 2; normal, pneumonia, tumour."""
    return a_loaded_package(tmp_path).package


def test_logits_are_divided_by_the_temperature(package: ModelPackage) -> None:
    calibrated = probabilities(package, np.array([[0.0, 2.0, 0.0]], dtype=np.float32))

    e = np.e
    np.testing.assert_allclose(calibrated, [[1 / (2 + e), e / (2 + e), 1 / (2 + e)]])


def test_large_logits_do_not_overflow(package: ModelPackage) -> None:
    calibrated = probabilities(package, np.array([[9e3, 0.0, -9e3]], dtype=np.float32))

    np.testing.assert_array_equal(calibrated, [[1.0, 0.0, 0.0]])


@pytest.mark.parametrize("size", [1.1e4, -1.1e4, 3e38])
def test_numbers_that_no_classifier_gives_are_withheld(package: ModelPackage, size: float) -> None:
    with pytest.raises(UnsoundError, match="far out of range: the result is withheld"):
        probabilities(package, np.array([[size, 0.0, 1.0]], dtype=np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_withheld(package: ModelPackage, bad: float) -> None:
    with pytest.raises(UnsoundError, match="not finite: the result is withheld"):
        probabilities(package, np.array([[0.0, 1.0, 2.0], [bad, 0.0, 1.0]], dtype=np.float32))


def test_a_network_that_says_nothing_is_withheld(package: ModelPackage) -> None:
    with pytest.raises(UnsoundError, match="every finding the same score"):
        probabilities(package, np.array([[0.5, 0.5, 0.5]], dtype=np.float32))


def test_the_most_suspicious_frame_is_that_of_a_finding_not_of_normal(
    package: ModelPackage,
) -> None:
    each = suspicion(package, np.array([[0.9, 0.06, 0.04], [0.4, 0.3, 0.3], [0.5, 0.1, 0.4]]))

    np.testing.assert_allclose(each, [0.06, 0.3, 0.4])
