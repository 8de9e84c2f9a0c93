"""Small networks for tests: ONNX files made by hand, or exported from torch."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from lightbox.domain.arrays import FloatMap

Shape = Sequence[int | str]


def a_graph(
    nodes: Sequence[NodeProto],
    constants: Mapping[str, FloatMap],
    *,
    image: Shape = ("batch", 2, 6, 5),
    output: str = "logits",
    logits: Shape = ("batch", 3),
    opset: int = 18,
) -> bytes:
    """Return a model file from nodes that lead from ``image`` to ``output``."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, list(image))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, list(logits))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    data: bytes = helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString()
    return data


def a_pooled_classifier(*, classes: int = 3, size: int = 16, seed: int = 0) -> bytes:
    """Return convolution, ReLU, global average, linear: the head with a closed form."""
    draw = np.random.default_rng(seed)
    constants: dict[str, FloatMap] = {
        "kernel": draw.standard_normal((4, 1, 3, 3)).astype(np.float32),
        "matrix": draw.standard_normal((classes, 4)).astype(np.float32),
        "bias": draw.standard_normal(classes).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["conv"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["conv"], ["features"]),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix", "bias"], ["logits"], transB=1),
    ]
    return a_graph(nodes, constants, image=("batch", 1, size, size), logits=("batch", classes))


def an_outliner(*, size: int = 16, seed: int = 0, bias: float = 0.0) -> bytes:
    """Return a segmentation network: down, up, and one logit per pixel."""
    draw = np.random.default_rng(seed)
    constants: dict[str, FloatMap] = {
        "kernel": draw.standard_normal((4, 1, 3, 3)).astype(np.float32),
        "upwards": draw.standard_normal((4, 3, 2, 2)).astype(np.float32),
        "one": draw.standard_normal((1, 3, 1, 1)).astype(np.float32),
        "bias": np.array([bias], dtype=np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["conv"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["conv"], ["features"]),
        helper.make_node("ConvTranspose", ["features", "upwards"], ["up"], strides=[2, 2]),
        helper.make_node("Relu", ["up"], ["fine"]),
        helper.make_node("Conv", ["fine", "one", "bias"], ["logits"]),
    ]
    shape = ("batch", 1, size, size)
    return a_graph(nodes, constants, image=shape, logits=shape)


def exported(module: nn.Module, image: tuple[int, int, int]) -> bytes:
    """Export a torch module with a free batch, as ``models/training`` does."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            (torch.zeros(2, *image),),
            input_names=["image"],
            output_names=["logits"],
            opset_version=18,
            dynamo=True,
            verbose=False,
            dynamic_shapes=({0: batch},),
        )
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data


def run(data: bytes, outputs: Sequence[str], **inputs: FloatMap) -> list[FloatMap]:
    """Run a model file once, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    answers: list[FloatMap] = session.run(list(outputs), inputs)
    return answers


class ResNet(nn.Module):
    """Residual blocks, as torchvision's ResNet-50 has them, with its head."""

    class Block(nn.Module):
        """A bottleneck."""

        def __init__(self, width: int, stride: int) -> None:
            super().__init__()
            self.way = nn.Sequential(
                nn.Conv2d(width, width // 2, 1, bias=False), nn.BatchNorm2d(width // 2), nn.ReLU(),
                nn.Conv2d(width // 2, width // 2, 3, stride, 1, bias=False),
                nn.BatchNorm2d(width // 2), nn.ReLU(),
                nn.Conv2d(width // 2, width, 1, bias=False), nn.BatchNorm2d(width),
            )  # fmt: skip
            self.beside = nn.Conv2d(width, width, 1, stride, bias=False)

        def forward(self, images: Tensor) -> Tensor:
            return torch.relu(self.way(images) + self.beside(images))

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        )  # fmt: skip
        self.blocks = nn.Sequential(self.Block(16, 1), self.Block(16, 2))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(self.stem(images)))
        return logits


class DenseNet(nn.Module):
    """Layers that read all before them, and a transition, as torchvision's DenseNet-121."""

    class Layer(nn.Module):
        """Norm, ReLU, convolution; its output stands beside its input."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.way = nn.Sequential(
                nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 8, 3, 1, 1, bias=False)
            )

        def forward(self, images: Tensor) -> Tensor:
            return torch.cat([images, self.way(images)], 1)

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 7, 4, 3, bias=False), self.Layer(8), self.Layer(16),
            nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 12, 1, bias=False), nn.AvgPool2d(2),
            self.Layer(12), nn.BatchNorm2d(20),
        )  # fmt: skip
        self.classifier = nn.Linear(20, classes)

    def forward(self, images: Tensor) -> Tensor:
        features = nn.functional.relu(self.features(images), inplace=True)
        pooled = nn.functional.adaptive_avg_pool2d(features, (1, 1))
        logits: Tensor = self.classifier(torch.flatten(pooled, 1))
        return logits


class EfficientNet(nn.Module):
    """Depthwise convolution, squeeze-and-excitation and SiLU, as torchvision's EfficientNet."""

    class Block(nn.Module):
        """An inverted bottleneck."""

        def __init__(self, width: int) -> None:
            super().__init__()
            wide = 3 * width
            self.expand = nn.Sequential(
                nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.SiLU(),
                nn.Conv2d(wide, wide, 3, 1, 1, groups=wide, bias=False), nn.BatchNorm2d(wide),
                nn.SiLU(),
            )  # fmt: skip
            self.squeeze = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, 4, 1), nn.SiLU(), nn.Conv2d(4, wide, 1),
                nn.Sigmoid(),
            )  # fmt: skip
            self.project = nn.Sequential(
                nn.Conv2d(wide, width, 1, bias=False), nn.BatchNorm2d(width)
            )

        def forward(self, images: Tensor) -> Tensor:
            wide = self.expand(images)
            added: Tensor = images + self.project(wide * self.squeeze(wide))
            return added

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 4, 1, bias=False), nn.BatchNorm2d(8), nn.SiLU(), self.Block(8),
            self.Block(8), nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16), nn.SiLU(),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits


class VisionTransformer(nn.Module):
    """Patches, a class token and encoder blocks, as torchvision's ViT, which has twelve or more."""

    class Block(nn.Module):
        """Norm, attention, norm, perceptron."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attention = nn.MultiheadAttention(width, 3, batch_first=True)
            self.mlp = nn.Sequential(nn.Linear(width, 24), nn.GELU(), nn.Linear(24, width))

        def forward(self, tokens: Tensor) -> Tensor:
            normed = self.first(tokens)
            tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
            added: Tensor = tokens + self.mlp(self.second(tokens))
            return added

    def __init__(self, classes: int = 3, size: int = 64, *, blocks: int = 2) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 12))
        self.place = nn.Parameter(0.1 * torch.randn(1, (size // 8) ** 2 + 1, 12))
        self.blocks = nn.Sequential(*(self.Block(12) for _ in range(blocks)), nn.LayerNorm(12))
        self.head = nn.Linear(12, classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patch(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(tokens.shape[0], -1, -1), tokens], 1) + self.place
        logits: Tensor = self.head(self.blocks(tokens)[:, 0])
        return logits


class UNet(nn.Module):
    """Down twice, up twice, each step beside what was seen on the way down; one logit per pixel."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels, 6, 3, 1, 1), nn.BatchNorm2d(6), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU())
        self.bottom = nn.Sequential(nn.Conv2d(8, 10, 3, 2, 1), nn.ReLU())
        self.up = nn.ConvTranspose2d(10, 8, 2, 2)
        self.join = nn.Sequential(nn.Conv2d(16, 6, 3, 1, 1), nn.ReLU())
        self.last = nn.Conv2d(12, 1, 1)

    def above(self, bottom: Tensor, second: Tensor, first: Tensor) -> Tensor:
        """Return the logits, shape (B, 1, H, W), from the coarsest features on."""
        joined = self.join(torch.cat([self.up(bottom), second], 1))
        wide = nn.functional.interpolate(joined, scale_factor=2, mode="bilinear")
        logits: Tensor = self.last(torch.cat([wide, first], 1))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        first = self.first(images)
        second = self.second(first)
        return self.above(self.bottom(second), second, first)


def the_file(folder: Path, data: bytes) -> str:
    """Write a network to a file; return its path."""
    path = folder / "network.onnx"
    path.write_bytes(data)
    return str(path)
