"""One step backwards: a node, the gradient of its output, and what may be asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from onnx import NodeProto

from lightbox.domain.errors import ModelPackageError
from lightbox.infer.graphs.network import Network
from lightbox.infer.graphs.onnx_file import Shape

Slopes: TypeAlias = Iterator[tuple[str, str]]
"""Pairs of (input tensor, tensor with its gradient)."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a rule gets.

    Attributes
    ----------
    slope : str
        Tensor with the gradient of the node's output, of the same shape.
    below : set of str
        Tensors that depend on the target layer: only these need a gradient.
    slopes : mapping of str to str
        Gradients known so far, for nodes with several outputs.
    """

    network: Network
    node: NodeProto
    slope: str
    below: frozenset[str]
    slopes: Mapping[str, str] = field(default_factory=dict)

    @property
    def x(self) -> str:
        """First input."""
        return str(self.node.input[0])

    @property
    def y(self) -> str:
        """First output."""
        return str(self.node.output[0])

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        """Add a node; return its output."""
        return self.network.add_outputs(op, inputs, 1, attributes)[0]

    def number(self, value: float) -> str:
        """Add a float32 scalar."""
        return self.network.constant(np.float32(value), np.float32)

    def shape(self, name: str) -> Shape:
        """Return the inferred shape of a tensor.

        Raises
        ------
        ModelPackageError
            If shape inference did not reach it.
        """
        found = self.network.shapes.get(name)
        if found is None:
            raise self.unsupported(f"has an input ({name}) of unknown shape")
        return found

    def lengths(self, name: str) -> tuple[int, ...]:
        """Return the lengths of all axes after the batch, which must be fixed."""
        found = tuple(n for n in self.shape(name)[1:] if n is not None)
        if len(found) != len(self.shape(name)) - 1:
            raise self.unsupported(f"has an input ({name}) with an axis of free length")
        return found

    def number_of(self, attribute: str, default: float) -> float:
        """Return a numeric attribute."""
        value = self.network.attribute(self.node, attribute, default)
        assert isinstance(value, int | float)
        return value

    def list_of(self, attribute: str, default: list[int]) -> list[int]:
        """Return an attribute that is a list of integers."""
        value = self.network.attribute(self.node, attribute, default)
        assert isinstance(value, list)
        return [int(item) for item in value]

    def unsupported(self, why: str) -> ModelPackageError:
        """Return the error that says why this node cannot be differentiated."""
        return ModelPackageError(
            self.network.thing,
            f"operator {self.node.op_type} ({self.node.name}) between target layer and logits {why}",
            "name a later layer in explanation.target_layer, or export a simpler head",
        )


Rule: TypeAlias = Callable[[Step], Slopes]
