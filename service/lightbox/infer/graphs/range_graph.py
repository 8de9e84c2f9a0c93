"""How far an image is from those that the network knows, out of the prediction's own pass.

The features are the mean and the spread of each channel of one layer over the picture.
"""

from __future__ import annotations

import numpy as np

from lightbox.domain.feature_range import FeatureRange
from lightbox.infer.graphs.network import Network
from lightbox.infer.graphs.target_layer import Layout, TargetLayer, target_layer

DISTANCE = "lightbox_distance"
"""Name of the output, shape (B,)."""

FEATURES = "lightbox_features"
"""Name of the output of :func:`features_graph`, shape (B, K)."""


def features_graph(weights: bytes, thing: str, name: str = "", layout: Layout = "map") -> bytes:
    """Return a model file that gives the features alone.

    Parameters
    ----------
    weights : bytes
        The ONNX file.
    thing : str
        Its name in errors.
    name : str
        Tensor of the features; empty: the one that maps are made of by default.
    layout : str
        How it is to be read.

    Raises
    ------
    ModelPackageError
        If there is no such layer.
    """
    network = Network.read(weights, thing)
    found, count = _features(network, target_layer(network, name, layout))
    network.add("Identity", found, name=FEATURES)
    return network.finish({FEATURES: ("batch", count)})


def add_distance(network: Network, known: FeatureRange, layer: TargetLayer) -> None:
    """Add the distance to the nearest mean as an output's tensor."""
    found, _ = _features(network, layer)
    whitening = network.constant(known.whitening, np.float32)
    centres = network.constant((known.means @ known.whitening)[None], np.float32)
    place = network.add("Unsqueeze", network.add("MatMul", found, whitening), network.ints(1))
    apart = network.add("Sub", place, centres)
    square = network.add("ReduceSum", network.add("Mul", apart, apart), network.ints(2), keepdims=0)
    nearest = network.add("ReduceMin", square, network.ints(1), keepdims=0)
    network.add("Sqrt", nearest, name=DISTANCE)


def _features(network: Network, layer: TargetLayer) -> tuple[str, int]:
    """Add mean and spread of each channel, shape (B, 2 K); return them and their number."""
    cells = layer.view(network, layer.name)
    axes = network.ints(*layer.axes)
    mean = network.add("ReduceMean", cells, axes, keepdims=1)
    apart = network.add("Sub", cells, mean)
    variance = network.add("ReduceMean", network.add("Mul", apart, apart), axes, keepdims=0)
    flat = network.add("Reshape", mean, network.ints(0, layer.channels))
    features = network.add("Concat", flat, network.add("Sqrt", variance), axis=1)
    return features, 2 * layer.channels
