"""ONNX files read and checked: everything that makes one unusable is said here, in one line."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, ModelProto, TensorProto, numpy_helper

from lightbox.domain.errors import ModelPackageError

OPSETS = range(13, 24)
"""Versions of the default operator set that are read; below 18 they are converted to 18."""

WRITTEN_OPSET = 18
"""Nodes are added as this version defines them (ReduceMean takes its axes as an input)."""

Constant = npt.NDArray[np.generic]
Shape = tuple[int | None, ...]


def parsed(weights: bytes, thing: str) -> ModelProto:
    """Parse a file and bring it to an operator set that can be written to.

    Raises
    ------
    ModelPackageError
        If it is not ONNX, keeps weights elsewhere, or has another operator set.
    """
    model = ModelProto()
    try:
        model.ParseFromString(weights)
    except Exception as error:  # protobuf's own error type differs between its back ends
        raise _not_onnx(thing) from error
    if not model.graph.node:
        raise _not_onnx(thing)
    if any(t.data_location == TensorProto.EXTERNAL for t in _tensors(model)):
        raise ModelPackageError(
            thing, "keeps weights in external files", "save it with external_data=False"
        )
    opset = next((o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}), 0)
    if opset not in OPSETS:
        raise ModelPackageError(
            thing,
            f"uses ONNX operator set {opset}, expected {OPSETS.start} to {OPSETS.stop - 1}",
            "export it again with opset_version=18",
        )
    if opset < WRITTEN_OPSET:
        return _converted(model, thing)
    return model


def _not_onnx(thing: str) -> ModelPackageError:
    return ModelPackageError(thing, "is not an ONNX file", "export the network to ONNX")


def _converted(model: ModelProto, thing: str) -> ModelProto:
    from onnx import version_converter

    try:
        return version_converter.convert_version(model, WRITTEN_OPSET)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelPackageError(
            thing,
            f"cannot be brought to operator set {WRITTEN_OPSET}: {reason}",
            "export it again with opset_version=18",
        ) from error


def _tensors(model: ModelProto) -> Iterable[TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t


def only_input(model: ModelProto, thing: str) -> str:
    """Return the name of the one input that is not a weight."""
    initialisers = {tensor.name for tensor in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in initialisers]
    if len(inputs) != 1:
        names = ", ".join(item.name for item in inputs)
        raise ModelPackageError(
            thing, f"has {len(inputs)} inputs ({names}), expected one image", "cut it out"
        )
    kind = inputs[0].type.tensor_type.elem_type
    if kind != TensorProto.FLOAT:
        found = TensorProto.DataType.Name(kind).lower()
        raise ModelPackageError(
            thing,
            f"its input is of type {found}, expected 32-bit float",
            "export the network and the image as float32, such as network.float()",
        )
    return str(inputs[0].name)


def only_output(model: ModelProto, thing: str) -> str:
    """Return the name of the one output."""
    names = [item.name for item in model.graph.output]
    if len(names) != 1:
        raise ModelPackageError(
            thing,
            f"has {len(names)} outputs ({', '.join(names)}), expected the logits alone",
            "export it with one output",
        )
    return str(names[0])


def inferred_shapes(model: ModelProto) -> dict[str, Shape]:
    """Return the shape of each tensor that shape inference reaches."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    values = [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
    shapes: dict[str, Shape] = {
        tensor.name: tuple(tensor.dims) for tensor in inferred.graph.initializer
    }
    for value in values:
        if value.type.tensor_type.HasField("shape"):
            shapes[value.name] = tuple(
                dim.dim_value if dim.HasField("dim_value") else None
                for dim in value.type.tensor_type.shape.dim
            )
    return shapes


def image_shape(shape: Shape, thing: str) -> tuple[int, int, int]:
    """Return channels, height and width of an input of shape (free, C, H, W)."""
    if len(shape) != 4:
        raise ModelPackageError(
            thing, f"its input has shape {words(shape)}, expected (batch, C, H, W)", "export it so"
        )
    batch, channels, height, width = shape
    if batch is not None:
        raise ModelPackageError(
            thing,
            f"its batch is fixed to {batch}: audits run many masked images at once",
            "export it with a dynamic batch axis",
        )
    if channels is None or height is None or width is None:
        raise ModelPackageError(
            thing,
            f"its input has shape {words(shape)}: channels, height and width must be fixed",
            "export it with only the batch axis dynamic",
        )
    return channels, height, width


def constants_of(model: ModelProto) -> dict[str, Constant]:
    """Return the arrays of all initialisers and constant nodes."""
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return constants


def words(shape: Shape) -> str:
    """Write a shape for people; a free length is said so."""
    return "(" + ", ".join("free" if n is None else str(n) for n in shape) + ")"
