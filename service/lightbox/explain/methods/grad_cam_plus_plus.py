"""Grad-CAM++: positive gradients, each weighted so that every place of a finding counts alike."""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap
from lightbox.explain.class_activation import COST, FAMILY, NEEDS, class_activation
from lightbox.explain.plugin import MethodCard

CARD = MethodCard(
    name="grad_cam_plus_plus",
    family=FAMILY,
    paper="Chattopadhyay et al. 2018, arXiv 1710.11063",
    needs=NEEDS,
    cost=COST,
    note="higher derivatives as powers of the first, as the paper has them for exp(logit)",
)

_NEVER_ZERO = 1e-6
"""Added to the denominator, as in pytorch-grad-cam."""


def weigh(activation: FloatMap, gradient: FloatMap) -> FloatMap:
    """Sum over k of A_k sum(share relu(G_k)), share = G^2 / (2 G^2 + sum(A_k) G^3)."""
    square = gradient**2
    whole = activation.sum(axis=1, keepdims=True) * square * gradient
    share = np.where(gradient != 0.0, square / (2.0 * square + whole + _NEVER_ZERO), 0.0)
    out: FloatMap = (np.maximum(gradient, 0.0) * share).sum(axis=1) @ activation
    return out


METHOD = class_activation(CARD, weigh)
