"""LayerCAM: each cell of a channel weighted by its own gradient where that is positive."""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap
from lightbox.explain.class_activation import COST, FAMILY, NEEDS, class_activation
from lightbox.explain.plugin import MethodCard

CARD = MethodCard(
    name="layer_cam",
    family=FAMILY,
    paper="Jiang et al. 2021, doi 10.1109/TIP.2021.3089943",
    needs=NEEDS,
    cost=COST,
    note="of one layer; the paper also joins several",
)


def weigh(activation: FloatMap, gradient: FloatMap) -> FloatMap:
    """Sum over k of relu(G_k) A_k, each of shape (K, cells)."""
    out: FloatMap = (np.maximum(gradient, 0.0) * activation).sum(axis=0)
    return out


METHOD = class_activation(CARD, weigh)
