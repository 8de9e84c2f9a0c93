"""XGrad-CAM: the gradients of a channel averaged with its activation as the weight.

Derived from the axioms of sensitivity and conservation.
"""

from __future__ import annotations

from lightbox.domain.arrays import FloatMap
from lightbox.explain.class_activation import COST, FAMILY, NEEDS, class_activation
from lightbox.explain.plugin import MethodCard

CARD = MethodCard(
    name="xgrad_cam",
    family=FAMILY,
    paper="Fu et al. 2020, arXiv 2008.02312",
    needs=NEEDS,
    cost=COST,
)

_NEVER_ZERO = 1e-7
"""Added to the sum of a channel, as in pytorch-grad-cam."""


def weigh(activation: FloatMap, gradient: FloatMap) -> FloatMap:
    """Sum over k of A_k sum(G_k A_k) / sum(A_k), each of shape (K, cells)."""
    alone = activation.sum(axis=1) + _NEVER_ZERO
    out: FloatMap = ((gradient * activation).sum(axis=1) / alone) @ activation
    return out


METHOD = class_activation(CARD, weigh)
