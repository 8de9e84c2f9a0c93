"""Differentiate one logit of each sample by the target layer.

Only the part between the two is differentiated: it is small, and with frozen weights it needs a
few dozen operators. Samples do not mix in a network at rest, so one seed serves the batch.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from lightbox.domain.errors import ModelPackageError
from lightbox.infer.graphs.network import Network
from lightbox.infer.graphs.vjp.algebra import ALGEBRA
from lightbox.infer.graphs.vjp.curves import CURVES
from lightbox.infer.graphs.vjp.resampling import RESAMPLING
from lightbox.infer.graphs.vjp.selection import SELECTION
from lightbox.infer.graphs.vjp.step import Rule, Step
from lightbox.infer.graphs.vjp.windows import WINDOWS

_STEPS = {"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Shape", "Size"}
"""Their outputs jump, or count what is there: the gradient is 0 wherever there is one."""

RULES: dict[str, Rule] = {
    **ALGEBRA,
    **CURVES,
    **RESAMPLING,
    **SELECTION,
    **WINDOWS,
}


def gradient(network: Network, layer: str, chosen: str) -> str:
    """Add the nodes of the vector-Jacobian product; return a tensor with the shape of ``layer``.

    Parameters
    ----------
    network : Network
        Open for surgery.
    layer : str
        Tensor to differentiate by.
    chosen : str
        Tensor of shape (B,), int64: the class whose logit is differentiated.

    Raises
    ------
    ModelPackageError
        If the layer does not reach the logits, or an operator has no rule.
    """
    below, path = _between(network, layer)
    slopes = {network.logits: _seed(network, chosen)}
    for node in reversed(path):
        known = [slopes[name] for name in node.output if name in slopes]
        if not known:
            continue
        step = Step(network, node, known[0], below, slopes)
        rule = RULES.get(node.op_type)
        if rule is None:
            raise step.unsupported("has no derivative here")
        for source, outgoing in rule(step):
            before = slopes.get(source)
            slopes[source] = network.add("Add", before, outgoing) if before else outgoing
    return slopes[layer]


def _between(network: Network, layer: str) -> tuple[frozenset[str], list[NodeProto]]:
    """Return the tensors that depend on the layer, and their nodes (a graph's are in order)."""
    below, path = {layer}, list[NodeProto]()
    for node in network.model.graph.node:
        if node.op_type in _STEPS or layer in node.output:
            continue
        if not below.isdisjoint(node.input):
            below.update(node.output)
            path.append(node)
    if network.logits not in below:
        raise ModelPackageError(
            network.thing,
            f"explanation.target_layer {layer!r} does not lead to the logits",
            "name another tensor, or leave it empty",
        )
    return frozenset(below), path


def _seed(network: Network, chosen: str) -> str:
    classes = network.constant(np.array(network.classes), np.int64)
    return network.add("OneHot", chosen, classes, network.constant([0, 1], np.float32), axis=-1)
