"""Grad-CAM: the target layer's channels, weighted by their mean gradient, positive part.

The arithmetic is part of the network's graph and costs nothing on top of the prediction; what is
left here is to take the map of the one sample and say that it is one.
"""

from __future__ import annotations

import numpy as np

from lightbox.domain.attribution import Estimate
from lightbox.domain.errors import ExplanationError
from lightbox.explain.plugin import MapMethod, MethodCard
from lightbox.ports import Output

CARD = MethodCard(
    name="grad_cam",
    family="class activation",
    paper="Selvaraju et al. 2017, arXiv 1610.02391",
    needs="a layer with spatial extent; its map is part of the graph",
    cost="none on top of the prediction",
    note="of the winning class; not scaled",
)


def grad_cam(output: Output) -> Estimate:
    """Take the Grad-CAM of the one sample of ``output``.

    Parameters
    ----------
    output : Output
        One row.

    Returns
    -------
    Estimate
        With ``cells``.

    Raises
    ------
    ExplanationError
        If the runtime's graph has none.
    """
    if output.cam is None:
        raise ExplanationError(
            "grad_cam",
            "this model's graph gives no map: no layer with spatial extent was found",
            "name one under [explanation] target_layer, or use the method shapley",
        )
    return Estimate(cells=output.cam[0].astype(np.float32), evaluations=1, total=1)


METHOD = MapMethod(CARD, grad_cam)
