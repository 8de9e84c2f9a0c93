"""How each class-activation method weighs the target layer, as nodes of the network's own graph.

A is the activation, G the gradient of the class's logit, both (B, K, h, w) or (B, K, d, h, w). The
same formulae in numpy, for any class and without a package's choice, stand in
``explain/methods/``; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lightbox.domain.model_package import FastMethod
from lightbox.infer.graphs.network import Network
from lightbox.infer.graphs.target_layer import TargetLayer


@dataclass(frozen=True, slots=True)
class Weighing:
    """One network's activation and gradient, and the arithmetic on them."""

    network: Network
    layer: TargetLayer
    activation: str
    gradient: str

    def over_cells(self, op: str, tensor: str) -> str:
        """Add a sum or mean over all cells, shape (B, K, 1, …)."""
        return self.network.add(op, tensor, self.network.ints(*self.layer.axes), keepdims=1)

    def times(self, left: str, right: str) -> str:
        """Add a product."""
        return self.network.add("Mul", left, right)

    def plus(self, left: str, number: float) -> str:
        """Add a number to a tensor."""
        return self.network.add("Add", left, self.number(number))

    def number(self, value: float) -> str:
        """Add a float32 scalar."""
        return self.network.constant(np.float32(value), np.float32)


def _grad_cam(at: Weighing) -> str:
    return at.times(at.activation, at.over_cells("ReduceMean", at.gradient))


def _hires_cam(at: Weighing) -> str:
    return at.times(at.activation, at.gradient)


def _layer_cam(at: Weighing) -> str:
    return at.times(at.activation, at.network.add("Relu", at.gradient))


def _xgrad_cam(at: Weighing) -> str:
    together = at.over_cells("ReduceSum", at.times(at.gradient, at.activation))
    alone = at.plus(at.over_cells("ReduceSum", at.activation), 1e-7)
    return at.times(at.activation, at.network.add("Div", together, alone))


def _grad_cam_plus_plus(at: Weighing) -> str:
    square = at.times(at.gradient, at.gradient)
    cube = at.times(square, at.gradient)
    whole = at.times(at.over_cells("ReduceSum", at.activation), cube)
    below = at.plus(at.network.add("Add", at.times(square, at.number(2.0)), whole), 1e-6)
    share = at.network.add("Div", square, below)
    zero = at.network.add("Equal", at.gradient, at.number(0.0))
    share = at.network.add("Where", zero, at.number(0.0), share)
    rising = at.network.add("Relu", at.gradient)
    return at.times(at.activation, at.over_cells("ReduceSum", at.times(rising, share)))


WEIGHTING: dict[FastMethod, Callable[[Weighing], str]] = {
    "grad_cam": _grad_cam,
    "grad_cam_plus_plus": _grad_cam_plus_plus,
    "xgrad_cam": _xgrad_cam,
    "layer_cam": _layer_cam,
    "hires_cam": _hires_cam,
}
