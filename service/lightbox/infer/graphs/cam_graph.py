"""The fast map inside of a classifier's own graph, so that it comes out of the prediction's pass.

Selvaraju et al. 2017 (arXiv 1610.02391): with A the activation of the target layer, shape
(B, K, h, w), and z_c the logit of the winning class, alpha_k is the mean over the cells of
dz_c / dA_k, and the map is relu(sum_k alpha_k A_k). The package may name another method of the
family (``weighting.py``): the same activation and gradient, weighed otherwise.

Where the head is global average -> linear, dz_c / dA_kij = W_ck / (h w): a closed form (Zhou et
al. 2016, arXiv 1512.04150). For any other head the vector-Jacobian product is written into the
graph as nodes (``vjp/``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from onnx import NodeProto

from lightbox.domain.feature_range import FeatureRange
from lightbox.domain.model_package import FastMethod
from lightbox.infer.graphs.network import LOGITS, Network
from lightbox.infer.graphs.outline import OUTLINE
from lightbox.infer.graphs.range_graph import DISTANCE, add_distance
from lightbox.infer.graphs.target_layer import (
    Layout,
    TargetLayer,
    chosen_class,
    positive_map,
    target_layer,
)
from lightbox.infer.graphs.vjp.gradient import gradient
from lightbox.infer.graphs.weighting import WEIGHTING, Weighing

CAM = "cam"
"""Name of the output, shape (B, h, w)."""

_SHAPING = {"Flatten", "Reshape", "Squeeze", "Dropout", "Identity"}


@dataclass(frozen=True, slots=True)
class CamGraph:
    """A model file with outputs ``logits`` and ``cam``, perhaps ``outline`` and ``distance``.

    Attributes
    ----------
    outputs : tuple of str
        Their names.
    target_layer : str
        Tensor whose activation is mapped.
    cells : tuple of int
        Rows and columns of the map.
    way : str
        "closed form" or "vjp".
    """

    data: bytes
    target_layer: str
    cells: tuple[int, int]
    way: Literal["closed form", "vjp"]
    outputs: tuple[str, ...]


def cam_graph(
    weights: bytes,
    thing: str,
    name: str = "",
    layout: Layout = "map",
    method: FastMethod = "grad_cam",
    known: tuple[FeatureRange, str] | None = None,
) -> CamGraph:
    """Add a class-activation map of each sample's winning class to a model file.

    Parameters
    ----------
    weights : bytes
        The ONNX file.
    thing : str
        Its name in errors.
    name : str
        Tensor name in the graph; empty: the last one with spatial extent.
    layout : str
        How that tensor is to be read (``target_layer.py``).
    method : str
        How its channels are weighed.
    known : tuple of FeatureRange and str, or None
        What the distance is from, and the tensor of its features; empty: the last one, as above.

    Raises
    ------
    ModelPackageError
        If there is no such layer, or an operator behind it has no derivative here.
    """
    network = Network.read(weights, thing)
    layer = target_layer(network, name, layout)
    of_range = target_layer(network, known[1], layout) if known and known[1] else layer
    matrix = _pooled_linear(network, layer.name) if layout == "map" else None
    if matrix is not None and method == "grad_cam":
        cam = _closed_form(network, layer.name, matrix, layer.cells)
    elif matrix is not None:
        cam = _weighed(network, layer, _even_gradient(network, layer, matrix), method)
    else:
        slope = layer.view(network, gradient(network, layer.name, chosen_class(network)))
        cam = _weighed(network, layer, slope, method)
    network.add("Identity", cam, name=CAM)
    outputs: dict[str, Sequence[int | str]] = {
        LOGITS: ("batch", network.classes),
        CAM: ("batch", *layer.cells),
    }
    if network.outline:
        outputs[OUTLINE] = ("batch", *_outlined(network))
    if known is not None:
        add_distance(network, known[0], of_range)
        outputs[DISTANCE] = ("batch",)
    data = network.finish(outputs)
    way: Literal["closed form", "vjp"] = "vjp" if matrix is None else "closed form"
    return CamGraph(data, layer.name, layer.cells, way, tuple(outputs))


def _outlined(network: Network) -> tuple[int, int]:
    """Add the outline without its axis of one channel; return its height and width."""
    height, width = (int(n or 0) for n in network.shapes[network.outline][2:])
    network.add("Reshape", network.outline, network.ints(0, height, width), name=OUTLINE)
    return height, width


def _pooled_linear(network: Network, layer: str) -> np.ndarray | None:
    """Return the matrix, shape (classes, K), of a head global average -> linear; else None."""
    found = _linear(network, network.producers[network.logits])
    if found is None:
        return None
    matrix, source = found
    node = network.producers.get(source)
    while node is not None and node.op_type in _SHAPING:
        node = network.producers.get(node.input[0])
    if node is None or node.input[0] != layer or not _global_mean(network, node):
        return None
    shape = network.shapes[layer]
    return matrix if matrix.shape == (network.classes, shape[1]) else None


def _linear(network: Network, node: NodeProto) -> tuple[np.ndarray, str] | None:
    """Return (W, input) of z = x W^T + b, as Gemm or as MatMul and Add."""
    if node.op_type == "Gemm" and node.input[1] in network.constants:
        if network.attribute(node, "alpha", 1.0) != 1.0 or network.attribute(node, "transA", 0):
            return None
        weight = network.constants[node.input[1]]
        return (weight if network.attribute(node, "transB", 0) else weight.T), node.input[0]
    if node.op_type == "Add":
        moving = [name for name in node.input if name not in network.constants]
        producer = network.producers.get(moving[0]) if len(moving) == 1 else None
        return _linear(network, producer) if producer and producer.op_type == "MatMul" else None
    if node.op_type == "MatMul" and node.input[1] in network.constants:
        return network.constants[node.input[1]].T, node.input[0]
    return None


def _global_mean(network: Network, node: NodeProto) -> bool:
    if node.op_type == "GlobalAveragePool":
        return True
    if node.op_type != "ReduceMean" or len(node.input) < 2:
        return False
    axes = network.constants.get(node.input[1])
    return axes is not None and sorted(int(axis) % 4 for axis in axes.ravel()) == [2, 3]


def _closed_form(network: Network, layer: str, matrix: np.ndarray, cells: tuple[int, int]) -> str:
    rows, columns = cells
    winner = chosen_class(network)
    scaled = network.constant(matrix / (rows * columns), np.float32)
    alpha = network.add("Gather", scaled, winner, axis=0)
    row = network.add("Unsqueeze", alpha, network.ints(1))
    flat = network.add("Reshape", layer, network.ints(0, 0, -1))
    cam = network.add("Relu", network.add("MatMul", row, flat))
    return network.add("Reshape", cam, network.ints(0, rows, columns))


def _even_gradient(network: Network, layer: TargetLayer, matrix: np.ndarray) -> str:
    """Add dz_c / dA of a pooled linear head: the same in every cell."""
    rows, columns = layer.cells
    scaled = network.constant(matrix / (rows * columns), np.float32)
    row = network.add("Gather", scaled, chosen_class(network), axis=0)
    cell = network.add("Unsqueeze", row, network.ints(2, 3))
    return network.add("Expand", cell, network.add("Shape", layer.name))


def _weighed(network: Network, layer: TargetLayer, slope: str, method: FastMethod) -> str:
    activation = layer.view(network, layer.name)
    weighted = WEIGHTING[method](Weighing(network, layer, activation, slope))
    return positive_map(network, layer, weighted)
