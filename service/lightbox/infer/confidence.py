"""Logits to calibrated probabilities, and which frame is the most suspicious."""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap
from lightbox.domain.errors import ExplanationError
from lightbox.domain.model_package import ModelPackage


def probabilities(package: ModelPackage, logits: FloatMap) -> FloatMap:
    """Return calibrated probabilities, shape (B, classes), float64: softmax(logits / T).

    Temperature scaling: Guo et al. 2017 (arXiv 1706.04599).

    Raises
    ------
    ExplanationError
        If the logits are not finite, or all equal: such a network has said nothing.
    """
    if not np.isfinite(logits).all():
        raise ExplanationError(
            f"model {package.name}",
            "answered with numbers that are not finite: the result is withheld",
            "check the image and the model (`lightbox models check`)",
        )
    scaled = logits.astype(np.float64) / package.calibration.temperature
    if logits.shape[1] > 1 and (np.ptp(scaled, axis=1) == 0).any():
        raise ExplanationError(
            f"model {package.name}",
            "gave every finding the same score: the result is withheld",
            "check the image and the model (`lightbox models check`)",
        )
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    calibrated: FloatMap = weights / weights.sum(axis=1, keepdims=True)
    return calibrated


def suspicion(package: ModelPackage, calibrated: FloatMap) -> FloatMap:
    """Return, per frame, the highest probability of a finding that is not negative; shape (B,)."""
    positive = [i for i, finding in enumerate(package.findings) if not finding.negative]
    most: FloatMap = calibrated[:, positive or range(len(package.findings))].max(axis=1)
    return most
