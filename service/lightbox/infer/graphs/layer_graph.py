"""What every class-activation method starts from: the target layer and the gradient that reaches it.

A second graph beside that of Grad-CAM. Its class can be asked for, so that maps of other findings
and the randomisation tests of ``models check --measure`` come out of it too.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx import TensorProto, helper

from lightbox.infer.graphs.network import LOGITS, Network
from lightbox.infer.graphs.target_layer import (
    Layout,
    TargetLayer,
    chosen_class,
    target_layer,
)
from lightbox.infer.graphs.vjp.gradient import gradient

ACTIVATION = "lightbox_activation"
"""Output, shape (B, K, h, w), of a volume (B, K, d, h, w)."""
GRADIENT = "lightbox_gradient"
"""Output of the same shape: d logit[class] / d activation."""
TARGET = "lightbox_target"
"""Input, shape (B,), int64: the class of each sample; -1 is the winning one."""


@dataclass(frozen=True, slots=True)
class LayerGraph:
    """A model file with the input ``TARGET`` and the outputs logits, activation and gradient."""

    data: bytes
    layer: TargetLayer


def layer_graph(weights: bytes, thing: str, name: str = "", layout: Layout = "map") -> LayerGraph:
    """Add activation and gradient of the target layer to a model file.

    Parameters
    ----------
    weights : bytes
        The ONNX file.
    thing : str
        Its name in errors.
    name : str
        Tensor name in the graph; empty: the last one with spatial extent.
    layout : str
        How that tensor is to be read.

    Raises
    ------
    ModelPackageError
        If there is no such layer, or an operator behind it has no derivative here.
    """
    network = Network.read(weights, thing)
    layer = target_layer(network, name, layout)
    asked = helper.make_tensor_value_info(TARGET, TensorProto.INT64, ["batch"])
    network.model.graph.input.append(asked)
    slope = gradient(network, layer.name, chosen_class(network, TARGET))
    network.add("Identity", layer.view(network, layer.name), name=ACTIVATION)
    network.add("Identity", layer.view(network, slope), name=GRADIENT)
    shape: list[int | str] = ["batch", *layer.viewed]
    data = network.finish({LOGITS: ("batch", network.classes), ACTIVATION: shape, GRADIENT: shape})
    return LayerGraph(data, layer)
