"""Every rule of differentiation against torch's autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from onnx import NodeProto, TensorProto, helper
from torch import Tensor
from torch.nn import functional

from lightbox.domain.arrays import FloatMap
from lightbox.domain.errors import ModelPackageError
from lightbox.infer.graphs.network import LOGITS, Network
from lightbox.infer.graphs.target_layer import chosen_class
from lightbox.infer.graphs.vjp.gradient import RULES, gradient
from networks import a_graph, run

DRAW = np.random.default_rng(7)
IMAGE = (2, 6, 5)


@dataclass(frozen=True)
class Case:
    """Nodes from ``layer`` to ``y``, and the same in torch."""

    name: str
    nodes: list[NodeProto]
    torch: Callable[[Tensor], Tensor]
    constants: dict[str, FloatMap] = field(default_factory=dict)


def node(op: str, inputs: str, y: str = "y", **attributes: object) -> NodeProto:
    made = helper.make_node(op, inputs.split(), [y])
    made.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
    return made


def resizing(rows: int, columns: int, mode: str, way: str, **more: object) -> Case:
    """Make (6, 5) cells (rows, columns), beside what torch does."""
    told = {"mode": mode, "coordinate_transformation_mode": way, "axes": [2, 3], **more}
    made = helper.make_node("Resize", ["layer", "", "", "sizes"], ["y"])
    made.attribute.extend(helper.make_attribute(key, value) for key, value in told.items())
    corners = {"align_corners": way == "align_corners"} if mode == "linear" else {}
    method = "bilinear" if mode == "linear" else "nearest"
    return Case(
        f"Resize to {rows} x {columns}, {mode}, {way}",
        [made],
        lambda x: functional.interpolate(x, (rows, columns), mode=method, **corners),
        {"sizes": ints(rows, columns)},
    )


def splitting(inputs: str, parts: str) -> NodeProto:
    return helper.make_node("Split", inputs.split(), parts.split(), axis=-1)


def one(op: str, function: Callable[[Tensor], Tensor], **attributes: object) -> Case:
    return Case(op, [node(op, "layer", "y", **attributes)], function)


def drawn(*shape: int) -> FloatMap:
    return DRAW.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> FloatMap:
    return np.array(values, dtype=np.int64)


KERNEL, DEPTHWISE, UPWARDS = drawn(3, 2, 3, 3), drawn(2, 1, 3, 2), drawn(2, 3, 3, 3)
ROW, MATRIX, SQUARE = drawn(2, 1, 1), drawn(5, 4), drawn(3, 60)
PLANE, LEFT = drawn(6, 5), drawn(4, 6)
SCALE, SHIFT, MEAN, VARIANCE = drawn(2), drawn(2), drawn(2), np.abs(drawn(2)) + 0.5

CASES = [
    one("Relu", torch.relu),
    one("LeakyRelu", lambda x: functional.leaky_relu(x, 0.1), alpha=0.1),
    one("Elu", lambda x: functional.elu(x, 0.7), alpha=0.7),
    one("Sigmoid", torch.sigmoid),
    one("Tanh", torch.tanh),
    one("Exp", torch.exp),
    one("Erf", torch.erf),
    one("HardSigmoid", functional.hardsigmoid, alpha=1 / 6, beta=0.5),
    one("HardSwish", functional.hardswish),
    one("Softmax", lambda x: torch.softmax(x, -1), axis=-1),
    one("Identity", lambda x: x),
    one("Transpose", lambda x: x.permute(0, 2, 3, 1), perm=[0, 2, 3, 1]),
    one("Flatten", lambda x: x.flatten(1)),
    one("GlobalAveragePool", lambda x: x.mean((2, 3), keepdim=True)),
    one("MaxPool", lambda x: functional.max_pool2d(x, 2), kernel_shape=[2, 2], strides=[2, 2]),
    Case(
        "MaxPool, overlapping and padded",
        [node("MaxPool", "layer", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)],
        lambda x: functional.max_pool2d(x, 3, 2, 1),
    ),
    Case(
        "AveragePool",
        [node("AveragePool", "layer", kernel_shape=[2, 3], strides=[2, 1])],
        lambda x: functional.avg_pool2d(x, (2, 3), (2, 1)),
    ),
    Case(
        "Conv",
        [node("Conv", "layer w", strides=[2, 1], pads=[1, 1, 1, 1])],
        lambda x: functional.conv2d(x, torch.tensor(KERNEL), stride=(2, 1), padding=1),
        {"w": KERNEL},
    ),
    Case(
        "Conv, by depth and dilated",
        [node("Conv", "layer w", group=2, dilations=[2, 1])],
        lambda x: functional.conv2d(x, torch.tensor(DEPTHWISE), groups=2, dilation=(2, 1)),
        {"w": DEPTHWISE},
    ),
    Case(
        "BatchNormalization",
        [node("BatchNormalization", "layer s b m v")],
        lambda x: functional.batch_norm(
            x, torch.tensor(MEAN), torch.tensor(VARIANCE), torch.tensor(SCALE), torch.tensor(SHIFT)
        ),
        {"s": SCALE, "b": SHIFT, "m": MEAN, "v": VARIANCE},
    ),
    Case(
        "Add, broadcast, and Mul of two paths (SiLU)",
        [node("Add", "layer row", "a"), node("Sigmoid", "a", "g"), node("Mul", "a g")],
        lambda x: functional.silu(x + torch.tensor(ROW)),
        {"row": ROW},
    ),
    Case(
        "Sub and Div",
        [
            node("Exp", "layer", "e"),
            node("Add", "e c", "under"),
            node("Sub", "c layer", "above"),
            node("Div", "above under"),
        ],
        lambda x: (2 - x) / (x.exp() + 2),
        {"c": np.array(2, dtype=np.float32)},
    ),
    Case(
        "LayerNormalization",
        [node("LayerNormalization", "layer s b", axis=-2, epsilon=1e-4)],
        lambda x: functional.layer_norm(
            x, (6, 5), torch.tensor(PLANE), torch.tensor(PLANE), eps=1e-4
        ),
        {"s": PLANE, "b": PLANE},
    ),
    Case(
        "Concat along channels, and Pow",
        [
            node("Pow", "layer two", "p"),
            node("Concat", "p layer", axis=1),
        ],
        lambda x: torch.cat([x**2, x], 1),
        {"two": np.array(2, dtype=np.float32)},
    ),
    Case(
        "squeeze and excitation",
        [
            node("GlobalAveragePool", "layer", "p"),
            node("Sigmoid", "p", "g"),
            node("Mul", "layer g"),
        ],
        lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    ),
    Case(
        "ReduceMean, Sqrt, Unsqueeze",
        [
            node("Mul", "layer layer", "q"),
            node("ReduceMean", "q axes", "m", keepdims=0),
            node("Sqrt", "m", "r"),
            node("Unsqueeze", "r axes", "y"),
        ],
        lambda x: (x * x).mean((2, 3)).sqrt()[..., None, None],
        {"axes": ints(2, 3)},
    ),
    Case(
        "ReduceSum and Squeeze",
        [node("ReduceSum", "layer a", "s", keepdims=1), node("Squeeze", "s a", "y")],
        lambda x: x.sum(2),
        {"a": ints(2)},
    ),
    Case(
        "Clip",
        [node("Clip", "layer low high")],
        lambda x: x.clamp(-0.5, 0.8),
        {"low": np.array(-0.5, dtype=np.float32), "high": np.array(0.8, dtype=np.float32)},
    ),
    Case(
        "MatMul of a stack with a matrix",
        [node("MatMul", "layer w")],
        lambda x: x @ torch.tensor(MATRIX),
        {"w": MATRIX},
    ),
    Case(
        "MatMul of a matrix with a stack",
        [node("MatMul", "w layer")],
        lambda x: torch.tensor(LEFT) @ x,
        {"w": LEFT},
    ),
    Case(
        "MatMul of two computed stacks, Softmax between (attention)",
        [
            node("Reshape", "layer tokens", "t"),
            node("Transpose", "t", "k", perm=[0, 2, 1]),
            node("MatMul", "t k", "s"),
            node("Softmax", "s", "p", axis=-1),
            node("MatMul", "p t"),
        ],
        lambda x: (x.flatten(2) @ x.flatten(2).mT).softmax(-1) @ x.flatten(2),
        {"tokens": ints(0, 2, 30)},
    ),
    Case(
        "Gemm and Dropout",
        [
            node("Flatten", "layer", "f"),
            node("Gemm", "f w", "z", transB=1, alpha=0.5),
            node("Dropout", "z"),
        ],
        lambda x: 0.5 * x.flatten(1) @ torch.tensor(SQUARE).T,
        {"w": SQUARE},
    ),
    Case(
        "Gather of one row",
        [node("Gather", "layer at", "y", axis=2)],
        lambda x: x[:, :, 4],
        {"at": np.array(-2)},
    ),
    Case(
        "Gather that keeps its axis",
        [node("Gather", "layer at", "y", axis=3)],
        lambda x: x[..., 1:2],
        {"at": ints(1)},
    ),
    Case(
        "Slice from the middle",
        [node("Slice", "layer first last axis", "y")],
        lambda x: x[:, :, 1:-2],
        {"first": ints(1), "last": ints(-2), "axis": ints(-2)},
    ),
    Case(
        "Split of which one part is not read",
        [splitting("layer sizes", "one two three"), node("Mul", "one three")],
        lambda x: x[..., :1] * x[..., 4:],
        {"sizes": ints(1, 3, 1)},
    ),
    Case(
        "ConvTranspose",
        [node("ConvTranspose", "layer w", strides=[2, 2], pads=[1, 0, 0, 1])],
        lambda x: functional.conv_transpose2d(x, torch.tensor(UPWARDS), stride=2)[..., 1:, :-1],
        {"w": UPWARDS},
    ),
    Case(
        "ConvTranspose by groups, its size rounded up",
        [node("ConvTranspose", "layer w", strides=[2, 1], output_padding=[1, 0], group=2)],
        lambda x: functional.conv_transpose2d(
            x, torch.tensor(UPWARDS), stride=(2, 1), output_padding=(1, 0), groups=2
        ),
        {"w": UPWARDS},
    ),
    resizing(12, 10, "linear", "half_pixel"),
    resizing(13, 7, "linear", "pytorch_half_pixel"),
    resizing(11, 9, "linear", "align_corners"),
    resizing(3, 5, "linear", "half_pixel"),
    resizing(12, 15, "nearest", "asymmetric", nearest_mode="floor"),
    Case(
        "Where, and the jump that it chooses by",
        [
            node("Mul", "layer two", "twice"),
            node("Greater", "layer limit", "g"),
            node("Where", "g layer twice"),
        ],
        lambda x: torch.where(x > 0.2, x, 2 * x),
        {"two": np.array(2, dtype=np.float32), "limit": np.array(0.2, dtype=np.float32)},
    ),
    Case(
        "Mul by the root of a length, as attention is scaled",
        [
            helper.make_node("Shape", ["layer"], ["lengths"], start=3),
            helper.make_node("Cast", ["lengths"], ["length"], to=TensorProto.FLOAT),
            helper.make_node("Sqrt", ["length"], ["root"]),
            node("Mul", "layer root"),
        ],
        lambda x: x * 5**0.5,
    ),
]


def a_head(case: Case, images: Tensor, opset: int) -> tuple[bytes, FloatMap]:
    """Lead y to three logits by a random matrix, so that each place has its own gradient.

    Return the file, and the gradient that autograd finds.
    """
    matrix = drawn(case.torch(images).flatten(1).shape[1], 3)
    nodes = [
        node("Identity", "image", "layer"),
        *case.nodes,
        node("Flatten", "y", "flat_y"),
        node("Gemm", "flat_y matrix", "logits"),
    ]
    logits = case.torch(images.requires_grad_()).flatten(1) @ torch.tensor(matrix)
    (slope,) = torch.autograd.grad(logits.max(1).values.sum(), images)
    return a_graph(nodes, {**case.constants, "matrix": matrix}, opset=opset), slope.numpy()


def assert_agrees(case: Case, opset: int = 18) -> None:
    images = torch.tensor(drawn(4, *IMAGE))
    data, expected = a_head(case, images, opset)
    network = Network.read(data, "test.onnx")
    network.add("Identity", gradient(network, "layer", chosen_class(network)), name="slope")
    file = network.finish({LOGITS: ("batch", 3), "slope": ("batch", *IMAGE)})
    pixels = images.detach().numpy()

    logits, slope = run(file, [LOGITS, "slope"], image=pixels)

    np.testing.assert_array_equal(logits, run(data, ["logits"], image=pixels)[0])
    np.testing.assert_allclose(slope, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_rule_agrees_with_autograd(case: Case) -> None:
    assert_agrees(case)


def test_every_rule_is_tested() -> None:
    tested = {n.op_type for case in CASES for n in case.nodes}
    assert set(RULES) - tested <= {"Gelu"}  # opset 20; the next test


def test_gelu_of_opset_20_agrees_with_autograd() -> None:
    assert_agrees(one("Gelu", functional.gelu), opset=20)


@pytest.mark.parametrize(
    ("nodes", "constants", "why"),
    [
        ([node("Gather", "layer at", "y", axis=2)], {"at": ints(0, 1)}, "more than one constant"),
        (
            [node("Slice", "layer first last axis step", "y")],
            {"first": ints(0), "last": ints(6), "axis": ints(2), "step": ints(2)},
            "every second one",
        ),
    ],
)
def test_a_part_that_cannot_be_put_back_is_said(
    nodes: list[NodeProto], constants: dict[str, FloatMap], why: str
) -> None:
    case = Case(
        "", nodes, lambda x: x[:, :, ::2] if "step" in constants else x[:, :, :2], constants
    )
    data, _ = a_head(case, torch.tensor(drawn(2, *IMAGE)), 18)
    network = Network.read(data, "test.onnx")

    with pytest.raises(ModelPackageError, match=why):
        gradient(network, "layer", chosen_class(network))


def test_an_operator_without_a_rule_is_named() -> None:
    nodes = [
        node("Identity", "image", "layer"),
        node("Sin", "layer", "y"),
        node("Flatten", "y", "f"),
        node("Gemm", "f matrix", "logits"),
    ]
    network = Network.read(a_graph(nodes, {"matrix": drawn(60, 3)}), "test.onnx")

    with pytest.raises(ModelPackageError, match=r"operator Sin .* has no derivative here"):
        gradient(network, "layer", chosen_class(network))


def test_a_layer_that_leads_nowhere_is_refused() -> None:
    nodes = [
        node("Relu", "image", "aside"),
        node("Flatten", "image", "f"),
        node("Gemm", "f matrix", "logits"),
    ]
    network = Network.read(a_graph(nodes, {"matrix": drawn(60, 3)}), "test.onnx")

    with pytest.raises(ModelPackageError, match="'aside' does not lead to the logits"):
        gradient(network, "aside", chosen_class(network))
