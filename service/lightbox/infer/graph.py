"""An ONNX classifier as a value: its input, its logits, and the nodes between them.

Everything that can make a graph unusable is said here, once, in a line that names the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from lightbox.domain.errors import ModelPackageError

OPSETS = range(13, 24)
"""Versions of the default operator set that are read; below 18 they are converted to 18."""

WRITTEN_OPSET = 18
"""Nodes are added as this version defines them (ReduceMean takes its axes as an input)."""

LOGITS = "logits"
"""Name of the output, shape (B, classes), before any softmax."""

Constant = npt.NDArray[np.generic]
Shape = tuple[int | None, ...]


@dataclass(slots=True)
class Network:
    """A classifier's graph, open for surgery.

    Attributes
    ----------
    thing : str
        The file, as errors name it.
    input_name : str
        The one input, shape (B, C, H, W), B free.
    input_shape : tuple of int
        Channels, height, width.
    logits : str
        Tensor of shape (B, classes); a final Softmax or Sigmoid is left out.
    shapes : dict of str to tuple
        Inferred shape of each tensor; None where a length is free.
    constants : dict of str to array
        Initialisers and constant nodes.
    """

    thing: str
    model: ModelProto
    input_name: str
    input_shape: tuple[int, int, int]
    logits: str
    classes: int
    shapes: dict[str, Shape]
    constants: dict[str, Constant]
    producers: dict[str, NodeProto]
    _made: int = field(default=0)

    @classmethod
    def read(cls, weights: bytes, thing: str) -> Network:
        """Parse and check a model file.

        Raises
        ------
        ModelPackageError
            For external data, an operator set that is not read, several inputs or outputs, fixed
            batch, free image size, or an output that is not (batch, classes).
        """
        model = _parsed(weights, thing)
        source = _only_input(model, thing)
        shapes = _shapes(model)
        channels, height, width = _image_shape(shapes[source], thing)
        producers = {out: node for node in model.graph.node for out in node.output if out}
        logits = _peeled(_only_output(model, thing), producers)
        found = shapes.get(logits, ())
        if len(found) != 2 or found[1] is None:
            raise ModelPackageError(
                thing,
                f"its output has shape {_words(found)}, expected (batch, classes)",
                "export the classifier with its logits as the only output",
            )
        return cls(
            thing=thing,
            model=model,
            input_name=source,
            input_shape=(channels, height, width),
            logits=logits,
            classes=found[1],
            shapes=shapes,
            constants=_constants(model),
            producers=producers,
        )

    def attribute(self, node: NodeProto, name: str, default: object = None) -> object:
        """Return an attribute of a node, or ``default``."""
        for attribute in node.attribute:
            if attribute.name == name:
                return helper.get_attribute_value(attribute)
        return default

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """Add an initialiser; return its name."""
        name = self._name("constant")
        array = np.ascontiguousarray(value, dtype=dtype).reshape(np.shape(value))
        self.model.graph.initializer.append(numpy_helper.from_array(array, name))
        self.constants[name] = array
        self.shapes[name] = array.shape
        return name

    def ints(self, *values: int) -> str:
        """Add an int64 vector (axes, shapes); return its name."""
        return self.constant(list(values), np.int64)

    def add(self, op: str, *inputs: str, name: str = "", **attributes: object) -> str:
        """Add a node with one output; return the output's name."""
        output = name or self._name(op)
        self._append(op, inputs, (output,), attributes)
        return output

    def add_outputs(
        self, op: str, inputs: Sequence[str], count: int, attributes: Mapping[str, object]
    ) -> list[str]:
        """Add a node with several outputs; return their names."""
        outputs = [self._name(op) for _ in range(count)]
        self._append(op, inputs, outputs, attributes)
        return outputs

    def _append(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, object],
    ) -> None:
        node = helper.make_node(op, inputs, outputs, name=self._name("node"))
        node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
        self.model.graph.node.append(node)

    def finish(self, outputs: dict[str, Iterable[int | str]]) -> bytes:
        """Return the file with these outputs (name → shape) in place of the old ones.

        Raises
        ------
        ModelPackageError
            If the graph is not valid ONNX; a bug of ours or a graph with unusual parts.
        """
        graph = self.model.graph
        if self.logits != LOGITS:
            self.add("Identity", self.logits, name=LOGITS)
        del graph.output[:]
        for name, shape in outputs.items():
            graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        try:
            onnx.checker.check_model(self.model)
        except onnx.checker.ValidationError as error:
            reason = str(error).splitlines()[0]
            raise ModelPackageError(
                self.thing, f"the graph with its additions is not valid: {reason}", "report this"
            ) from error
        data: bytes = self.model.SerializeToString()
        return data

    def _name(self, what: str) -> str:
        self._made += 1
        return f"lightbox_{what}_{self._made}"


def spatial(shape: Shape | None) -> bool:
    """Say whether a tensor is (B, K, h, w) with more than one cell."""
    return (
        shape is not None
        and len(shape) == 4
        and shape[2] is not None
        and shape[3] is not None
        and shape[2] * shape[3] > 1
    )


def _parsed(weights: bytes, thing: str) -> ModelProto:
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


def _only_input(model: ModelProto, thing: str) -> str:
    initialisers = {tensor.name for tensor in model.graph.initializer}
    names = [item.name for item in model.graph.input if item.name not in initialisers]
    if len(names) != 1:
        raise ModelPackageError(
            thing, f"has {len(names)} inputs ({', '.join(names)}), expected one image", "cut it out"
        )
    return str(names[0])


def _only_output(model: ModelProto, thing: str) -> str:
    names = [item.name for item in model.graph.output]
    if len(names) != 1:
        raise ModelPackageError(
            thing,
            f"has {len(names)} outputs ({', '.join(names)}), expected the logits alone",
            "export it with one output",
        )
    return str(names[0])


def _shapes(model: ModelProto) -> dict[str, Shape]:
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


def _image_shape(shape: Shape, thing: str) -> tuple[int, int, int]:
    if len(shape) != 4:
        raise ModelPackageError(
            thing, f"its input has shape {_words(shape)}, expected (batch, C, H, W)", "export it so"
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
            f"its input has shape {_words(shape)}: channels, height and width must be fixed",
            "export it with only the batch axis dynamic",
        )
    return channels, height, width


def _peeled(output: str, producers: dict[str, NodeProto]) -> str:
    """Walk back over a final Softmax, LogSoftmax or Sigmoid: gradients are of the logits."""
    node = producers.get(output)
    while node is not None and node.op_type in {"Softmax", "LogSoftmax", "Sigmoid", "Identity"}:
        output = node.input[0]
        node = producers.get(output)
    return output


def _constants(model: ModelProto) -> dict[str, Constant]:
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return constants


def _words(shape: Shape) -> str:
    return "(" + ", ".join("free" if n is None else str(n) for n in shape) + ")"
