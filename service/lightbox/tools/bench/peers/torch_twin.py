"""A package's graph as a torch module, node by node: the same weights for peers that need torch.

Only for measuring: the operators that the shipped models use, float32, on the processor. torch is
imported by name, because nothing of the service may need it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeAlias

import onnx
from onnx import numpy_helper

from lightbox.domain.errors import UsageError

Module: TypeAlias = Any
"""A ``torch.nn.Module``; torch may be absent."""

_Attributes = Mapping[str, Any]


def torch_twin(weights: bytes, tensor: str) -> tuple[Module, Module]:
    """Build a torch module that computes what an ONNX file does.

    Parameters
    ----------
    weights : bytes
        The file.
    tensor : str
        Name of a tensor in it.

    Returns
    -------
    twin, layer : torch.nn.Module
        ``layer`` is the part of ``twin`` whose output is ``tensor``: what hooks are put on.

    Raises
    ------
    UsageError
        If the graph has an operator that is not written here.
    """
    torch: Any = import_module("torch")
    graph = onnx.load_from_string(weights).graph
    fixed = {
        item.name: torch.from_numpy(numpy_helper.to_array(item).copy())
        for item in graph.initializer
    }
    for node in graph.node:
        if node.op_type == "Constant":
            fixed[node.output[0]] = torch.from_numpy(
                numpy_helper.to_array(node.attribute[0].t).copy()
            )
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    missing = sorted({node.op_type for node in nodes} - _OPERATORS.keys())
    if missing:
        raise UsageError(
            "the torch twin", f"has no {', '.join(missing)}", "measure a model without it"
        )
    steps = [_step(torch, node) for node in nodes]

    class Twin(torch.nn.Module):  # type: ignore[misc]  # torch is imported by name
        def __init__(self) -> None:
            super().__init__()
            self.steps = torch.nn.ModuleList(steps)
            # As in the module that was exported: weights are parameters, as by default with
            # gradients of their own.
            self.weights = torch.nn.ParameterList(
                [value for value in fixed.values() if value.is_floating_point()]
            )
            parts = iter(self.weights)
            self.fixed = {
                name: next(parts) if value.is_floating_point() else value
                for name, value in fixed.items()
            }

        def forward(self, image: Any) -> Any:  # noqa: ANN401  # a tensor
            known = {**self.fixed, graph.input[0].name: image, "": None}
            for node, step in zip(nodes, self.steps, strict=True):
                known[node.output[0]] = step(*(known[name] for name in node.input))
            return known[graph.output[0].name]

    twin = Twin().eval()
    layer = next(step for node, step in zip(nodes, steps, strict=True) if node.output[0] == tensor)
    return twin, layer


def _step(torch: Any, node: onnx.NodeProto) -> Module:  # noqa: ANN401
    """Return one node as a module of its own."""
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    work = _OPERATORS[node.op_type]

    class Step(torch.nn.Module):  # type: ignore[misc]  # torch is imported by name
        def forward(self, *inputs: Any) -> Any:  # noqa: ANN401  # tensors
            return work(torch, attributes, *inputs)

    return Step()


def _convolution(torch: Any, given: _Attributes, x: Any, w: Any, b: Any = None) -> Any:  # noqa: ANN401
    before, after = given["pads"][:2], given["pads"][2:]
    assert list(before) == list(after), "uneven padding"
    return torch.nn.functional.conv2d(
        x, w, b, given["strides"], before, given["dilations"], given["group"]
    )


def _largest(torch: Any, given: _Attributes, x: Any) -> Any:  # noqa: ANN401
    return torch.nn.functional.max_pool2d(x, given["kernel_shape"], given["strides"])


def _resized(torch: Any, given: _Attributes, x: Any, *options: Any) -> Any:  # noqa: ANN401
    assert given["mode"] == b"linear"
    assert given["coordinate_transformation_mode"] == b"half_pixel"
    size = [int(length) for length in options[-1][2:]]
    return torch.nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _reshaped(_: Any, __: _Attributes, x: Any, shape: Any) -> Any:  # noqa: ANN401
    return x.reshape([int(length) for length in shape])


def _shape(torch: Any, given: _Attributes, x: Any) -> Any:  # noqa: ANN401
    return torch.tensor(x.shape[given.get("start", 0) : given.get("end")])


def _mean(_: Any, given: _Attributes, x: Any, axes: Any) -> Any:  # noqa: ANN401
    return x.mean(dim=[int(axis) for axis in axes], keepdim=bool(given.get("keepdims", 1)))


def _affine(_: Any, given: _Attributes, x: Any, w: Any, b: Any) -> Any:  # noqa: ANN401
    assert given.get("transB", 0) == 1
    assert given.get("transA", 0) == 0
    return x @ w.T + b


_OPERATORS: Mapping[str, Callable[..., Any]] = {
    "Conv": _convolution,
    "Relu": lambda torch, _, x: torch.relu(x),
    "Add": lambda _, __, x, y: x + y,
    "Mul": lambda _, __, x, y: x * y,
    "MaxPool": _largest,
    "Shape": _shape,
    "Concat": lambda torch, given, *parts: torch.cat(parts, dim=given["axis"]),
    "Resize": _resized,
    "Reshape": _reshaped,
    "Softmax": lambda torch, given, x: torch.softmax(x, dim=given.get("axis", -1)),
    "ReduceMean": _mean,
    "Gemm": _affine,
}
