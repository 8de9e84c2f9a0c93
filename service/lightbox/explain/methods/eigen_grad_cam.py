"""Eigen-CAM of gradient times activation: the cells along its first principal component.

A principal component has no sign. Its authors' program takes whichever the solver gives; here it is
the one that agrees with the sum of gradient times activation, so that what is drawn speaks for the
class.
"""

from __future__ import annotations

import numpy as np

from lightbox.domain.arrays import FloatMap
from lightbox.explain.class_activation import FAMILY, NEEDS, class_activation
from lightbox.explain.plugin import MethodCard

CARD = MethodCard(
    name="eigen_grad_cam",
    family=FAMILY,
    paper="Muhammad & Yeasin 2020, arXiv 2008.00299; with gradients in pytorch-grad-cam",
    needs=NEEDS,
    cost="one forward pass and a singular value decomposition",
    note="the component's sign is that of the evidence; never a package's fast map",
)


def weigh(activation: FloatMap, gradient: FloatMap) -> FloatMap:
    """Project the centred rows of (G A)^T, shape (cells, K), on their first singular vector."""
    product = (gradient * activation).T
    centred = product - product.mean(axis=0)
    first = np.linalg.svd(centred, full_matrices=False)[2][0]
    projected: FloatMap = centred @ first
    evidence = float(projected @ product.sum(axis=1))
    return -projected if evidence < 0.0 else projected


METHOD = class_activation(CARD, weigh)
