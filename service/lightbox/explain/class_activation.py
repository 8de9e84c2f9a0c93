"""The frame of every class-activation method: what differs is how the channels are weighed.

A method file gives a card and one function of activation A and gradient G, both (K, cells),
float64; it returns one number per cell, and what is positive is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np

from lightbox.domain.arrays import FloatMap
from lightbox.domain.attribution import Estimate
from lightbox.domain.errors import ExplanationError
from lightbox.explain.plugin import MapMethod, MethodCard
from lightbox.ports import Output

Weigh: TypeAlias = Callable[[FloatMap, FloatMap], FloatMap]
"""(A, G), each (K, cells) → (cells,)."""

FAMILY = "class activation"
NEEDS = "a layer with spatial extent, and its gradient"
COST = "none as a package's fast map, else one forward pass"


def class_activation(card: MethodCard, weigh: Weigh) -> MapMethod:
    """Make a method out of its card and its arithmetic."""
    return MapMethod(card, partial(_cells, card.name, weigh))


def _cells(name: str, weigh: Weigh, output: Output) -> Estimate:
    """Take the map of the one sample of ``output``, or make it of its layer and gradient.

    Raises
    ------
    ExplanationError
        If the runtime gave neither.
    """
    if output.activation is not None and output.gradient is not None:
        cells = map_of(weigh, output.activation[0], output.gradient[0])
    elif output.cam is not None:
        cells = output.cam[0].astype(np.float32)
    else:
        raise ExplanationError(
            name,
            "this model's graph gives no map: no layer with spatial extent was found",
            "name one under [explanation] target_layer, or use the method shapley",
        )
    return Estimate(cells=cells, evaluations=1, total=1)


def map_of(weigh: Weigh, activation: FloatMap, gradient: FloatMap) -> FloatMap:
    """Return the positive map of one sample.

    Parameters
    ----------
    weigh : callable
        The method's arithmetic.
    activation, gradient : array, shape (K, h, w) or (K, d, h, w)

    Returns
    -------
    array, shape (h, w), float32
        Of a volume the highest value along d.
    """
    channels, *space = activation.shape
    flat = (each.astype(np.float64).reshape(channels, -1) for each in (activation, gradient))
    cells = np.maximum(weigh(*flat), 0.0).reshape(space)
    if len(space) == 3:
        cells = cells.max(axis=0)
    out: FloatMap = cells.astype(np.float32)
    return out
