"""Differentiate each sample's largest logit by the target layer.

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
from lightbox.infer.graphs.vjp.step import Rule, Step
from lightbox.infer.graphs.vjp.windows import WINDOWS

RULES: dict[str, Rule] = {**ALGEBRA, **CURVES, **WINDOWS}


def gradient(network: Network, layer: str) -> str:
    """Add the nodes of the vector-Jacobian product; return a tensor with the shape of ``layer``.

    Raises
    ------
    ModelPackageError
        If the layer does not reach the logits, or an operator has no rule.
    """
    below, path = _between(network, layer)
    slopes = {network.logits: _seed(network)}
    for node in reversed(path):
        slope = slopes.get(node.output[0])
        if slope is None:
            continue
        step = Step(network, node, slope, below)
        rule = RULES.get(node.op_type)
        if rule is None:
            raise step.unsupported("has no derivative here")
        for source, outgoing in rule(step):
            known = slopes.get(source)
            slopes[source] = network.add("Add", known, outgoing) if known else outgoing
    return slopes[layer]


def _between(network: Network, layer: str) -> tuple[frozenset[str], list[NodeProto]]:
    """Return the tensors that depend on the layer, and their nodes (a graph's are in order)."""
    below, path = {layer}, list[NodeProto]()
    for node in network.model.graph.node:
        if layer not in node.output and not below.isdisjoint(node.input):
            below.update(node.output)
            path.append(node)
    if network.logits not in below:
        raise ModelPackageError(
            network.thing,
            f"explanation.target_layer {layer!r} does not lead to the logits",
            "name another tensor, or leave it empty",
        )
    return frozenset(below), path


def _seed(network: Network) -> str:
    winner = network.add("ArgMax", network.logits, axis=1, keepdims=0)
    classes = network.constant(np.array(network.classes), np.int64)
    return network.add("OneHot", winner, classes, network.constant([0, 1], np.float32), axis=-1)
