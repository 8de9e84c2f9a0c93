"""HiResCAM: gradient times activation in every cell, so each cell shows what it itself adds.

Where the head is a mean and a linear layer this is Grad-CAM.
"""

from __future__ import annotations

from lightbox.domain.arrays import FloatMap
from lightbox.explain.class_activation import COST, FAMILY, NEEDS, class_activation
from lightbox.explain.plugin import MethodCard

CARD = MethodCard(
    name="hires_cam",
    family=FAMILY,
    paper="Draelos & Carin 2020, arXiv 2011.08891",
    needs=NEEDS,
    cost=COST,
    note="equals grad_cam where the head is a mean and a linear layer",
)


def weigh(activation: FloatMap, gradient: FloatMap) -> FloatMap:
    """Sum over k of G_k A_k, each of shape (K, cells)."""
    out: FloatMap = (gradient * activation).sum(axis=0)
    return out


METHOD = class_activation(CARD, weigh)
