"""Grad-CAM inside of a classifier's own graph, so that it comes out of the prediction's pass.

Selvaraju et al. 2017 (arXiv 1610.02391): with A the activation of the target layer, shape
(B, K, h, w), and z_c the logit of the winning class, alpha_k is the mean over the cells of
dz_c / dA_k, and the map is relu(sum_k alpha_k A_k).

Where the head is global average -> linear, dz_c / dA_kij = W_ck / (h w): a closed form (Zhou et
al. 2016, arXiv 1512.04150). For any other head the vector-Jacobian product is written into the
graph as nodes (``vjp/``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from onnx import NodeProto

from lightbox.domain.errors import ModelPackageError
from lightbox.infer.graphs.network import LOGITS, Network, spatial
from lightbox.infer.graphs.vjp.gradient import gradient

CAM = "cam"
"""Name of the output, shape (B, h, w)."""

_SHAPING = {"Flatten", "Reshape", "Squeeze", "Dropout", "Identity"}


@dataclass(frozen=True, slots=True)
class CamGraph:
    """A model file with outputs ``logits`` and ``cam``.

    Attributes
    ----------
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


def cam_graph(weights: bytes, thing: str, target_layer: str = "") -> CamGraph:
    """Add Grad-CAM of each sample's winning class to a model file.

    Parameters
    ----------
    weights : bytes
        The ONNX file.
    thing : str
        Its name in errors.
    target_layer : str
        Tensor name in the graph; empty: the last one with spatial extent.

    Raises
    ------
    ModelPackageError
        If there is no such layer, or an operator behind it has no derivative here.
    """
    network = Network.read(weights, thing)
    layer = target_layer or find_target(network)
    shape = network.shapes.get(layer)
    if shape is None or not spatial(shape):
        raise _no_layer(network, layer)
    rows, columns = int(shape[2] or 0), int(shape[3] or 0)
    matrix = _pooled_linear(network, layer)
    if matrix is not None:
        cam = _closed_form(network, layer, matrix, (rows, columns))
    else:
        cam = _by_gradient(network, layer)
    network.add("Identity", cam, name=CAM)
    data = network.finish({LOGITS: ("batch", network.classes), CAM: ("batch", rows, columns)})
    return CamGraph(data, layer, (rows, columns), "vjp" if matrix is None else "closed form")


def find_target(network: Network) -> str:
    """Return the last tensor with spatial extent: walk back from the logits, nearest first.

    Raises
    ------
    ModelPackageError
        If none is found.
    """
    waiting, seen = [network.logits], set[str]()
    while waiting:
        name = waiting.pop(0)
        node = network.producers.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        if spatial(network.shapes.get(node.output[0])):
            return str(node.output[0])
        waiting += [source for source in node.input if source]
    raise ModelPackageError(
        network.thing,
        "no layer with a spatial extent was found between image and logits",
        "name one in explanation.target_layer",
    )


def _no_layer(network: Network, layer: str) -> ModelPackageError:
    layers = [name for name, shape in network.shapes.items() if spatial(shape)]
    return ModelPackageError(
        network.thing,
        f"explanation.target_layer {layer!r} is not a tensor of shape (batch, K, h, w) in it",
        f"the last ones are {', '.join(layers[-4:])}; leave it empty for {find_target(network)}",
    )


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
    winner = network.add("ArgMax", network.logits, axis=1, keepdims=0)
    scaled = network.constant(matrix / (rows * columns), np.float32)
    alpha = network.add("Gather", scaled, winner, axis=0)
    row = network.add("Unsqueeze", alpha, network.ints(1))
    flat = network.add("Reshape", layer, network.ints(0, 0, -1))
    cam = network.add("Relu", network.add("MatMul", row, flat))
    return network.add("Reshape", cam, network.ints(0, rows, columns))


def _by_gradient(network: Network, layer: str) -> str:
    slope = gradient(network, layer)
    alpha = network.add("ReduceMean", slope, network.ints(2, 3), keepdims=1)
    weighted = network.add("Mul", layer, alpha)
    return network.add("Relu", network.add("ReduceSum", weighted, network.ints(1), keepdims=0))
