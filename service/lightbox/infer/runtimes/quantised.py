"""A network in int8, to measure what it would save and how far it would move an audit.

No result is computed in int8: on the shipped model the values of regions move by more than an audit's
tolerance. ``lightbox bench audit`` measures it for any package.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from lightbox.domain.arrays import FloatMap

_QUANTISED = frozenset({"Conv", "Relu", "Add", "MaxPool"})
"""Operators of the trunk; the head, where small differences decide, stays in float32."""


def quantised(weights: bytes, images: Sequence[FloatMap], trunk: int | None = None) -> bytes:
    """Quantise a network's trunk to int8 (QDQ, weights per channel).

    Parameters
    ----------
    weights : bytes
        The ONNX file.
    images : sequence of arrays, shape (1, C, H, W), float32
        That ranges are calibrated on: masked as an audit masks.
    trunk : int or None
        How many of the first nodes may be quantised; None: all.

    Returns
    -------
    bytes
        The ONNX file in int8.
    """
    model = onnx.load_from_string(weights)
    graph = model.graph
    for number, node in enumerate(graph.node):
        node.name = f"node_{number}"  # what is left out is told by name, and a file may have none
    name = graph.input[0].name
    with TemporaryDirectory(prefix="lightbox-int8-") as made, _without_advice():
        source, target = Path(made) / "source.onnx", Path(made) / "int8.onnx"
        source.write_bytes(model.SerializeToString())
        quantize_static(
            source,
            target,
            _Images(name, images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[
                node.name
                for number, node in enumerate(graph.node)
                if node.op_type not in _QUANTISED or number >= (trunk or len(graph.node))
            ],
        )
        return target.read_bytes()


class _Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Hands images to the calibration, one after the other."""

    def __init__(self, name: str, images: Sequence[FloatMap]) -> None:
        self._name = name
        self._left = iter(images)

    def get_next(self) -> dict[str, FloatMap] | None:
        """Return the next image by the name of the input; None at the end."""
        image = next(self._left, None)
        return None if image is None else {self._name: image}


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep the quantiser's advice about other models out of our log."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
