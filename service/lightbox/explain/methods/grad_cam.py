"""Grad-CAM: the target layer's channels, weighted by their mean gradient, positive part.

As a package's fast map the arithmetic is part of the network's graph and costs nothing on top of
the prediction; for another class, or beside another fast map, it is done here.
"""

from __future__ import annotations

from lightbox.domain.arrays import FloatMap
from lightbox.explain.class_activation import COST, FAMILY, NEEDS, class_activation
from lightbox.explain.plugin import MethodCard

CARD = MethodCard(
    name="grad_cam",
    family=FAMILY,
    paper="Selvaraju et al. 2017, arXiv 1610.02391",
    needs=NEEDS,
    cost=COST,
    note="of the winning class, or of --target; not scaled",
)


def weigh(activation: FloatMap, gradient: FloatMap) -> FloatMap:
    """Sum over k of mean(G_k) A_k, each of shape (K, cells)."""
    out: FloatMap = gradient.mean(axis=1) @ activation
    return out


METHOD = class_activation(CARD, weigh)
