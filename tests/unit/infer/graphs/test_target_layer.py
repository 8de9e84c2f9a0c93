"""Target layers that are no plain map: tokens of a transformer, volumes of a 3-D network."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper, load_from_string
from torch import Tensor, nn

from lightbox.domain.arrays import FloatMap
from lightbox.domain.errors import ModelPackageError
from lightbox.infer.graphs.cam_graph import CAM, cam_graph
from lightbox.infer.graphs.network import LOGITS, Network
from lightbox.infer.graphs.target_layer import Layout, find_target, target_layer
from networks import VisionTransformer, a_graph, a_pooled_classifier, exported, run

SIZE = (2, 24, 20)
WIDTH, TOKENS, HEADS = 12, 30, 3


class Attention(nn.Module):
    """A transformer block as torchvision and timm have it: norm, attention, norm, GELU-MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.joint = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 24), nn.GELU(), nn.Linear(24, WIDTH))

    def after_norm(self, tokens: Tensor, normed: Tensor) -> Tensor:
        batch, count = tokens.shape[0], tokens.shape[1]
        parts = self.joint(normed).reshape(batch, count, 3, HEADS, WIDTH // HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(batch, count, WIDTH))
        done: Tensor = tokens + self.mlp(self.second(tokens))
        return done

    def forward(self, tokens: Tensor) -> Tensor:
        return self.after_norm(tokens, self.first(tokens))


class Transformer(nn.Module):
    """A small vision transformer; the head reads the class token, or the mean of the others."""

    def __init__(self, *, class_token: bool) -> None:
        super().__init__()
        self.class_token = class_token
        self.patch = nn.Conv2d(2, WIDTH, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.place = nn.Parameter(0.1 * torch.randn(1, TOKENS, WIDTH))
        self.blocks = nn.ModuleList([Attention(), Attention()])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3)

    def before(self, images: Tensor) -> Tensor:
        tokens = self.patch(images).flatten(2).transpose(1, 2) + self.place
        if self.class_token:
            tokens = torch.cat([self.token.expand(tokens.shape[0], -1, -1), tokens], 1)
        done: Tensor = self.blocks[0](tokens)
        return done

    def classify(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(tokens[:, 0] if self.class_token else tokens.mean(1))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.norm(self.blocks[1](self.before(images))))


class Volume(nn.Module):
    """A 3-D network over the slices of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv3d(1, 6, 3, 2, 1), nn.ReLU())
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(6 * 4 * 12 * 10, 8), nn.GELU())
        self.last = nn.Linear(8, 3)

    def features(self, images: Tensor) -> Tensor:
        done: Tensor = self.trunk(images.unsqueeze(1))
        return done

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.head(self.features(images)))
        return logits


def some_images(count: int, size: tuple[int, int, int] = SIZE) -> FloatMap:
    return np.random.default_rng(3).standard_normal((count, *size)).astype(np.float32)


def autograd(
    layer: Tensor, classify: Callable[[Tensor], Tensor], grid: tuple[int, ...], prefix: int = 0
) -> FloatMap:
    """Grad-CAM by autograd; tokens are reshaped to the grid, as pytorch-grad-cam's users do."""
    layer = layer.detach().requires_grad_()
    (slope,) = torch.autograd.grad(classify(layer).max(1).values.sum(), layer)
    if len(grid) == 2:
        layer, slope = (
            x[:, prefix:].transpose(1, 2).reshape(len(x), WIDTH, *grid) for x in (layer, slope)
        )
    alpha = slope.flatten(2).mean(2)[(..., *[None] * len(grid))]
    cam: FloatMap = torch.relu((alpha * layer).sum(1)).detach().numpy()
    return cam


def compared(data: bytes, layout: Layout, expected: FloatMap, images: FloatMap, name: str) -> None:
    made = cam_graph(data, "test.onnx", name, layout)
    logits, cam = run(made.data, [LOGITS, CAM], image=images)
    bare = run(data, ["logits"], image=images)[0]  # the engine fuses less where tokens are read too
    np.testing.assert_allclose(logits, bare, atol=1e-6)
    assert cam.shape == expected.shape
    np.testing.assert_allclose(cam, expected, atol=1e-4 * expected.max())
    assert expected.max() > 0


@cache
def a_transformer(*, class_token: bool) -> tuple[Transformer, bytes]:
    torch.manual_seed(2)
    net = Transformer(class_token=class_token).eval()
    return net, exported(net, SIZE)


@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_the_map_of_a_transformer_agrees_with_autograd(class_token: bool, count: int) -> None:
    net, data = a_transformer(class_token=class_token)
    images = some_images(count)
    tensor = torch.tensor(images)
    if class_token:  # behind the last attention only the class token reaches the head
        before, last = net.before(tensor), net.blocks[1]
        assert isinstance(last, Attention)

        def classify(normed: Tensor) -> Tensor:
            return net.classify(net.norm(last.after_norm(before, normed)))

        expected = autograd(last.first(before), classify, (6, 5), prefix=1)
    else:
        expected = autograd(net.norm(net.blocks[1](net.before(tensor))), net.classify, (6, 5))

    compared(data, "tokens", expected, images, "")


def test_the_map_of_a_volume_is_the_highest_along_its_depth() -> None:
    torch.manual_seed(2)
    net, size = Volume().eval(), (8, 24, 20)
    images = some_images(2, size)
    features = net.features(torch.tensor(images))
    voxels = autograd(features, lambda layer: net.last(net.head(layer)), tuple(features.shape[2:]))
    data = exported(net, size)
    relu = next(n.output[0] for n in load_from_string(data).graph.node if n.op_type == "Relu")

    compared(data, "volume", voxels.max(axis=1), images, str(relu))
    assert find_target(Network.read(data, "test.onnx"), "volume") == relu


def test_tokens_are_counted_from_the_image_and_what_stands_before_them() -> None:
    network = Network.read(a_transformer(class_token=True)[1], "test.onnx")

    found = target_layer(network, layout="tokens")

    assert (found.cells, found.prefix, found.channels) == ((6, 5), 1, WIDTH)


def test_the_first_layer_of_a_transformer_is_not_taken_for_its_last_map() -> None:
    data = a_transformer(class_token=True)[1]

    with pytest.raises(ModelPackageError, match=r"'conv2d' is followed by attention .*tokens"):
        cam_graph(data, "test.onnx")
    assert cam_graph(data, "test.onnx", "conv2d").cells == (6, 5)  # named, it is given


def test_a_part_of_the_last_attention_is_not_taken_for_a_map_however_deep_the_first_layer_lies() -> (
    None
):
    torch.manual_seed(2)
    deep = exported(VisionTransformer(blocks=5), (3, 64, 64))  # the last heads are nearer by then

    with pytest.raises(ModelPackageError, match=r"is followed by attention .*tokens"):
        cam_graph(deep, "test.onnx")
    assert target_layer(Network.read(deep, "test.onnx"), layout="tokens").cells == (8, 8)


def with_channels_last(*, turned_back: bool) -> bytes:
    """Return a network that normalises with the channels behind, as ConvNeXt and Swin do."""
    weights: dict[str, Any] = {
        "kernel": np.ones((WIDTH, 2, 4, 4), np.float32), "scale": np.ones(WIDTH, np.float32),
        "matrix": np.ones((3, WIDTH), np.float32),
        "space": np.array([2, 3] if turned_back else [1, 2], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["conv"], strides=[4, 4]),
        helper.make_node("Transpose", ["conv"], ["turned"], perm=[0, 2, 3, 1]),
        helper.make_node("LayerNormalization", ["turned", "scale"], ["normed"], axis=-1),
        helper.make_node("Transpose", ["normed"], ["back"], perm=[0, 3, 1, 2]),
        helper.make_node("ReduceMean", ["back" if turned_back else "normed", "space"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix"], ["logits"], transB=1),
    ]
    return a_graph(nodes, weights, image=("batch", *SIZE))


@pytest.mark.parametrize(("turned_back", "found"), [(False, "conv"), (True, "back")])
def test_channels_are_not_taken_for_columns_and_what_is_turned_back_and_pooled_is_a_map(
    turned_back: bool, found: str
) -> None:
    made = cam_graph(with_channels_last(turned_back=turned_back), "test.onnx")
    assert (made.target_layer, made.cells) == (found, (6, 5))


@pytest.mark.parametrize("layout", ["tokens", "volume"])
def test_a_layout_that_the_network_does_not_have_is_refused_in_one_line(layout: Layout) -> None:
    with pytest.raises(ModelPackageError, match=r"no layer .* none is \(batch, .*layer_layout"):
        cam_graph(a_pooled_classifier(), "test.onnx", layout=layout)
