"""An ONNX network as a value: its input, its logits, and the nodes between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from lightbox.domain.errors import ModelPackageError
from lightbox.infer.graphs.onnx_file import (
    Constant,
    Shape,
    constants_of,
    image_shape,
    inferred_shapes,
    only_input,
    only_output,
    parsed,
    words,
)
from lightbox.infer.graphs.outline import CLASSES, check_outline

LOGITS = "logits"
"""Name of the output, shape (B, classes), before any softmax."""


@dataclass(slots=True)
class Network:
    """A network's graph, open for surgery.

    Attributes
    ----------
    thing : str
        The file, as errors name it.
    input_name : str
        The one input, shape (B, C, H, W), B free.
    input_shape : tuple of int
        Channels, height, width.
    logits : str
        Tensor of shape (B, classes); a final Softmax or Sigmoid is left out. Of a segmentation
        network the two logits of its outline (``outline.py``).
    outline : str
        Of a segmentation network its answer, shape (B, 1, h, w); "" of a classifier.
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
    outline: str = ""
    _made: int = field(default=0)

    @classmethod
    def read(cls, weights: bytes, thing: str) -> Network:
        """Parse and check a model file.

        Raises
        ------
        ModelPackageError
            For external data, an operator set that is not read, several inputs or outputs, fixed
            batch, free image size, or an output that is neither (batch, classes) nor
            (batch, 1, h, w).
        """
        model = parsed(weights, thing)
        source = only_input(model, thing)
        shapes = inferred_shapes(model)
        channels, height, width = image_shape(shapes.get(source, ()), thing)
        producers = _producers(model)
        logits = _peeled(only_output(model, thing), producers)
        found = shapes.get(logits, ())
        is_outline = len(found) == 4
        if is_outline:
            check_outline(found, thing)
        elif len(found) != 2 or found[1] is None:
            raise ModelPackageError(
                thing,
                f"its output has shape {words(found)}, expected (batch, classes)",
                "export the classifier with its logits as the only output",
            )
        network = cls(
            thing=thing,
            model=model,
            input_name=source,
            input_shape=(channels, height, width),
            logits=logits,
            classes=CLASSES if is_outline else int(found[1] or 0),
            shapes=shapes,
            constants=constants_of(model),
            producers=producers,
        )
        if is_outline:
            network._score(logits)
        return network

    def _score(self, outline: str) -> None:
        """Let the score of an outline (B, 1, h, w) stand for the logits, as two classes."""
        flat = self.add("Reshape", outline, self.ints(0, -1))
        axis, zero = self.ints(1), self.constant(0.0, np.float32)
        level = self.add("Min", self.add("ReduceMax", flat, axis, keepdims=1), zero)
        inside = self.add("GreaterOrEqual", flat, level)
        total = self.add("ReduceSum", self.add("Where", inside, flat, zero), axis, keepdims=1)
        cells = self.add("Cast", inside, to=TensorProto.FLOAT)
        score = self.add("Div", total, self.add("ReduceSum", cells, axis, keepdims=1))
        self.outline = outline
        self.logits = self.add("Mul", score, self.constant([[0.5, -0.5]], np.float32))
        self.shapes |= inferred_shapes(self.model)
        self.producers |= _producers(self.model)

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

    def finish(self, outputs: Mapping[str, Iterable[int | str]]) -> bytes:
        """Return the file with these outputs (name → shape) in place of the old ones.

        Raises
        ------
        ModelPackageError
            If the graph is not valid ONNX; a bug of ours or a graph with unusual parts.
        """
        graph = self.model.graph
        if self.logits != LOGITS:
            self._free(LOGITS)
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

    def _free(self, name: str) -> None:
        """Give a tensor that has the name of one of our outputs another one."""
        other = self._name(name)
        for node in self.model.graph.node:
            for names in (node.input, node.output):
                names[:] = [other if each == name else each for each in names]

    def _name(self, what: str) -> str:
        self._made += 1
        return f"lightbox_{what}_{self._made}"


def _producers(model: ModelProto) -> dict[str, NodeProto]:
    return {out: node for node in model.graph.node for out in node.output if out}


def _peeled(output: str, producers: dict[str, NodeProto]) -> str:
    """Walk back over a final Softmax, LogSoftmax or Sigmoid: gradients are of the logits."""
    node = producers.get(output)
    while node is not None and node.op_type in {"Softmax", "LogSoftmax", "Sigmoid", "Identity"}:
        output = node.input[0]
        node = producers.get(output)
    return output
