"""A network that learned nothing: the same graph with weights drawn anew.

A map that stays the same when the weights go says nothing about them (Adebayo et al. 2018,
arXiv 1810.03292). Layers are drawn anew from the logits on, as there; each parameter from a normal
distribution with its own mean and spread, because a file does not say how it was initialised.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, numpy_helper

from lightbox.infer.graphs.onnx_file import parsed

_LEARNED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


def layers_of(weights: bytes, thing: str) -> int:
    """Return how many layers with weights there are."""
    return len(_parameters(parsed(weights, thing)))


def randomised(weights: bytes, thing: str, layers: int, seed: int) -> bytes:
    """Return the file with its last layers drawn anew.

    Parameters
    ----------
    weights : bytes
        The ONNX file.
    thing : str
        Its name in errors.
    layers : int
        How many, counted from the logits.
    seed : int
        The same seed draws the same numbers.

    Raises
    ------
    ModelPackageError
        If the file cannot be read.
    """
    model = parsed(weights, thing)
    draw = np.random.default_rng(seed)
    chosen = {name for names in _parameters(model)[-layers:] for name in names}
    for tensor in model.graph.initializer:
        if tensor.name in chosen:
            old = numpy_helper.to_array(tensor)
            new = draw.normal(float(old.mean()), float(old.std()), old.shape).astype(old.dtype)
            tensor.CopyFrom(numpy_helper.from_array(new, tensor.name))
    data: bytes = model.SerializeToString()
    return data


def _parameters(model: ModelProto) -> list[list[str]]:
    """Return the names of each layer's weights and biases, in the order of the graph."""
    real = {
        tensor.name
        for tensor in model.graph.initializer
        if np.issubdtype(numpy_helper.to_array(tensor).dtype, np.floating)
    }
    layers = [
        [name for name in node.input if name in real]
        for node in model.graph.node
        if node.op_type in _LEARNED
    ]
    return [names for names in layers if names]
