"""Grad-CAM in the graph: equal to autograd, at no cost to the logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from onnx import helper, load_from_string
from torch import Tensor, nn

from lightbox.domain.arrays import FloatMap
from lightbox.domain.errors import ModelPackageError
from lightbox.infer.graphs.cam_graph import CAM, cam_graph
from lightbox.infer.graphs.network import LOGITS
from networks import a_graph, a_pooled_classifier, exported, run

SIZE = (2, 24, 20)


class Gated(nn.Module):
    """The shape of our own models: a spatial softmax gate, mean, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(2, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.gate = nn.Conv2d(8, 1, 1)
        self.head: nn.Module = nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 3))

    def features(self, images: Tensor) -> Tensor:
        mixed: Tensor = self.trunk(images)
        gate: Tensor = self.gate(mixed)
        share = torch.softmax(gate.flatten(1), 1).view_as(gate)
        return share * mixed * (mixed.shape[-1] * mixed.shape[-2])

    def classify(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images))


class Dense(Gated):
    """Pooling and fully connected layers behind the features, as VGG has."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(
            nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(8 * 30, 16), nn.GELU(), nn.Linear(16, 3)
        )

    def classify(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits


class Excited(Gated):
    """Squeeze and excitation with SiLU, then adaptive pooling, as EfficientNet has."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.SiLU(), nn.Conv2d(4, 8, 1), nn.Sigmoid()
        )
        self.tail = nn.Sequential(nn.Conv2d(8, 12, 1), nn.BatchNorm2d(12), nn.Hardswish())
        self.head = nn.Linear(12, 3)

    def features(self, images: Tensor) -> Tensor:
        features: Tensor = self.trunk(images)
        return features

    def classify(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(self.tail(features * self.squeeze(features)).mean((2, 3)))
        return logits


def autograd_cam(net: Gated, images: FloatMap) -> FloatMap:
    features = net.features(torch.tensor(images)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(net.classify(features).max(1).values.sum(), features)
    cam: FloatMap = (
        torch.relu((slope.mean((2, 3), keepdim=True) * features).sum(1)).detach().numpy()
    )
    return cam


def some_images(count: int) -> FloatMap:
    return np.random.default_rng(3).standard_normal((count, *SIZE)).astype(np.float32)


def before(data: bytes, op: str) -> str:
    """Return what the first node of this kind reads."""
    nodes = load_from_string(data).graph.node
    return next(str(node.input[0]) for node in nodes if node.op_type == op)


@pytest.mark.parametrize(
    ("kind", "where", "way"),
    [(Gated, "", "closed form"), (Dense, "MaxPool", "vjp"), (Excited, "ReduceMean", "vjp")],
    ids=["gate and linear", "pool and dense layers", "squeeze and excitation"],
)
def test_the_map_of_an_exported_network_agrees_with_autograd(
    kind: Callable[[], Gated], where: str, way: str
) -> None:
    torch.manual_seed(1)
    net = kind().eval()
    data = exported(net, SIZE)

    made = cam_graph(data, "test.onnx", where and before(data, where))

    assert (made.way, made.cells) == (way, (12, 10))
    for count in (1, 5):
        images = some_images(count)
        logits, cam = run(made.data, [LOGITS, CAM], image=images)
        np.testing.assert_array_equal(logits, run(data, ["logits"], image=images)[0])
        expected = autograd_cam(net, images)
        np.testing.assert_allclose(cam, expected, atol=1e-4 * expected.max())


def test_closed_form_and_vjp_give_the_same_map() -> None:
    model = load_from_string(a_pooled_classifier())
    closed = cam_graph(model.SerializeToString(), "test.onnx")
    gemm = model.graph.node.pop()
    gemm.input[0] = "same"
    model.graph.node.append(helper.make_node("Relu", ["flat"], ["same"]))  # it is positive already
    model.graph.node.append(gemm)
    general = cam_graph(model.SerializeToString(), "test.onnx")
    images = np.random.default_rng(0).standard_normal((4, 1, 16, 16)).astype(np.float32)

    assert (closed.way, general.way) == ("closed form", "vjp")
    assert closed.target_layer == general.target_layer == "features"
    (one,), (other,) = (run(made.data, [CAM], image=images) for made in (closed, general))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("last", ["Softmax", "Sigmoid"])
def test_a_final_softmax_is_peeled_off(last: str) -> None:
    draw = np.random.default_rng(0)
    nodes = [
        helper.make_node("Relu", ["image"], ["layer"]),
        helper.make_node("GlobalAveragePool", ["layer"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["scores"]),
        helper.make_node(last, ["scores"], ["probability"]),
    ]
    constants = {
        "matrix": draw.standard_normal((2, 3)).astype(np.float32),
        "bias": draw.standard_normal(3).astype(np.float32),
    }
    made = cam_graph(a_graph(nodes, constants, output="probability"), "test.onnx")
    images = draw.standard_normal((2, 2, 6, 5)).astype(np.float32)

    (logits,) = run(made.data, [LOGITS], image=images)

    expected = np.maximum(images, 0).mean((2, 3)) @ constants["matrix"] + constants["bias"]
    np.testing.assert_allclose(logits, expected, rtol=1e-5)
    assert made.way == "closed form"


def test_a_target_layer_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(ModelPackageError, match=r"'layer9' is not a tensor .* conv, features;"):
        cam_graph(a_pooled_classifier(), "test.onnx", "layer9")


def test_a_network_without_spatial_layers_is_refused() -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix"], ["logits"]),
    ]
    matrix = np.ones((2, 3), dtype=np.float32)

    with pytest.raises(ModelPackageError, match="no layer with a spatial extent was found"):
        cam_graph(a_graph(nodes, {"matrix": matrix}), "test.onnx")


@pytest.mark.parametrize("opset", [13, 17, 23])
def test_older_and_newer_operator_sets_give_the_same_map(opset: int) -> None:
    draw = np.random.default_rng(0)
    nodes = [
        helper.make_node("Relu", ["image"], ["layer"]),
        helper.make_node("MaxPool", ["layer"], ["top"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["top"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix"], ["logits"]),
    ]
    matrix = {"matrix": draw.standard_normal((2, 3)).astype(np.float32)}
    images = draw.standard_normal((2, 2, 6, 5)).astype(np.float32)
    files = [a_graph(nodes, matrix, opset=version) for version in (18, opset)]

    now, other = (
        run(cam_graph(data, "test.onnx", "layer").data, [LOGITS, CAM], image=images)
        for data in files
    )

    np.testing.assert_array_equal(now[0], other[0])
    np.testing.assert_array_equal(now[1], other[1])
