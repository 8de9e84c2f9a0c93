"""Small networks for tests: ONNX files made by hand, or exported from torch."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime as ort
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import nn

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
