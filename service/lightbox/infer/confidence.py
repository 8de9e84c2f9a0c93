"""Logits to calibrated probabilities, and which frame is the most suspicious."""

from __future__ import annotations

import threading

import numpy as np

from lightbox.domain.arrays import FloatMap, ImageTensor
from lightbox.domain.errors import UnsoundError
from lightbox.domain.model_package import ModelPackage

_MOST_LOGIT = 1e4
"""Beyond it no trained classifier answers: float32 probabilities are 0 and 1 at a hundredth."""


def probabilities(package: ModelPackage, logits: FloatMap) -> FloatMap:
    """Return calibrated probabilities, shape (B, classes), float64: softmax(logits / T).

    Temperature scaling: Guo et al. 2017 (arXiv 1706.04599).

    Raises
    ------
    UnsoundError
        If the logits are not finite, out of range, or all equal: such a network has said nothing.
    """
    if not np.isfinite(logits).all():
        raise _unsound(package, "answered with numbers that are not finite")
    if np.abs(logits).max(initial=0.0) > _MOST_LOGIT:
        raise _unsound(package, "answered with numbers far out of range")
    scaled = logits.astype(np.float64) / package.calibration.temperature
    if logits.shape[1] > 1 and (np.ptp(scaled, axis=1) == 0).any():
        raise _unsound(package, "gave every finding the same score")
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    calibrated: FloatMap = weights / weights.sum(axis=1, keepdims=True)
    return calibrated


def suspicion(package: ModelPackage, calibrated: FloatMap) -> FloatMap:
    """Return, per frame, the highest probability of a finding that is not negative; shape (B,)."""
    positive = [i for i, finding in enumerate(package.findings) if not finding.negative]
    most: FloatMap = calibrated[:, positive or range(len(package.findings))].max(axis=1)
    return most


class Repeats:
    """Notices a network that gives different images one answer: its weights are not what they were.

    Parameters
    ----------
    package : ModelPackage
        Of the network.
    """

    def __init__(self, package: ModelPackage) -> None:
        self._package = package
        self._lock = threading.Lock()
        self._last: tuple[FloatMap, FloatMap] | None = None

    def check(self, images: ImageTensor, logits: FloatMap) -> None:
        """Compare each answer with the one before it.

        Parameters
        ----------
        images : array, shape (B, C, H, W)
        logits : array, shape (B, classes)

        Raises
        ------
        UnsoundError
            If another image had exactly the same logits.
        """
        with self._lock:
            for image, answer in zip(images, logits, strict=True):
                last, self._last = self._last, (image, answer)
                if last is None or not np.array_equal(last[1], answer):
                    continue
                if not np.array_equal(last[0], image):
                    raise _unsound(self._package, "gave two different images exactly one answer")
            self._last = images[-1].copy(), logits[-1].copy()  # not the whole batch


def _unsound(package: ModelPackage, what: str) -> UnsoundError:
    return UnsoundError(
        f"model {package.name}",
        f"{what}: the result is withheld",
        "check the image and the model (`lightbox models check`)",
    )
