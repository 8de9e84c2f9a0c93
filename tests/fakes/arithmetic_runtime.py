"""A runtime whose network is a formula: logits are linear in the mean of each part of the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, FloatMap, ImageTensor, LabelMap
from lightbox.ports import Output


class ArithmeticRuntime:
    """Two classes; logit 1 is ``gain`` times the input's mean under ``weights``, logit 0 is 0.

    Attributes
    ----------
    batches : list of int
        How many images each call of ``value`` asked for.
    together : int
        Images that may share a pass.
    """

    together = 4
    arithmetic: Mapping[str, str] = {"engine": "a formula"}

    def __init__(self, weights: FloatMap, gain: float = 1.0) -> None:
        self._weights = weights
        self._gain = gain
        self.batches: list[int] = []

    def predict(self, images: ImageTensor) -> Output:
        """Run images, shape (B, 1, H, W); the map is the positive part of weights x image."""
        product = images[:, 0] * self._weights
        return Output(self._logits(product), np.maximum(product, 0.0).astype(np.float32))

    def layers(self, images: ImageTensor, targets: Sequence[int] = ()) -> Output:
        """Run images; the layer is weights x image, class 0 has no gradient and class 1 an even one."""
        product = images * self._weights
        logits = self._logits(product[:, 0])
        classes = np.array(targets or logits.argmax(axis=1))
        slope = (classes * self._gain / product[0].size)[:, None, None, None]
        gradient = np.broadcast_to(slope, product.shape).astype(np.float32)
        return Output(logits, None, product.astype(np.float32), gradient, tuple(targets))

    def value(
        self,
        image: FloatMap,
        baseline: FloatMap,
        regions: LabelMap,
        coalitions: CoalitionMatrix,
    ) -> FloatMap:
        """Return logits of masked images, shape (n_coalitions, 2)."""
        self.batches.append(len(coalitions))
        with_no_region = np.pad(coalitions, ((0, 0), (0, 1)), constant_values=True)
        shown = np.where(with_no_region[:, regions], image[0], baseline[0])
        return self._logits(shown * self._weights)

    def _logits(self, product: FloatMap) -> FloatMap:
        second = self._gain * product.mean(axis=(1, 2))
        out: FloatMap = np.stack([np.zeros_like(second), second], axis=1).astype(np.float32)
        return out
