"""Graphs that cannot be served are refused in one line that says what to do."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, load_from_string

from lightbox.domain.errors import ModelPackageError
from lightbox.infer.graphs.network import Network
from networks import a_graph, a_pooled_classifier

MATRIX = {"matrix": np.ones((60, 3), dtype=np.float32)}
HEAD = [
    helper.make_node("Flatten", ["image"], ["flat"]),
    helper.make_node("Gemm", ["flat", "matrix"], ["logits"]),
]


def refusal(data: bytes) -> str:
    with pytest.raises(ModelPackageError) as caught:
        Network.read(data, "weights.onnx")
    text = str(caught.value)
    assert text.startswith("weights.onnx: ")
    assert "\n" not in text
    return text


def a_model() -> ModelProto:
    return load_from_string(a_graph(HEAD, MATRIX))


def test_input_classes_and_logits_are_read() -> None:
    network = Network.read(a_pooled_classifier(classes=4, size=16), "weights.onnx")

    assert (network.input_name, network.input_shape) == ("image", (1, 16, 16))
    assert (network.logits, network.classes) == ("logits", 4)


@pytest.mark.parametrize("data", [b"", b"no network at all", b"\x08\x07"])
def test_other_files_are_not_onnx(data: bytes) -> None:
    assert "is not an ONNX file" in refusal(data)


def test_external_weights_are_refused() -> None:
    model = a_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")

    assert "keeps weights in external files" in refusal(model.SerializeToString())


@pytest.mark.parametrize("opset", [12, 24])
def test_operator_sets_outside_of_the_limits_are_refused(opset: int) -> None:
    said = refusal(a_graph(HEAD, MATRIX, opset=opset))

    assert f"uses ONNX operator set {opset}, expected 13 to 23" in said


@pytest.mark.parametrize("opset", [13, 18, 23])
def test_operator_sets_at_the_limits_are_read(opset: int) -> None:
    assert Network.read(a_graph(HEAD, MATRIX, opset=opset), "weights.onnx").classes == 3


def test_several_inputs_are_refused() -> None:
    model = a_model()
    model.graph.input.append(helper.make_tensor_value_info("age", TensorProto.FLOAT, [1]))

    assert "has 2 inputs (image, age), expected one image" in refusal(model.SerializeToString())


def test_several_outputs_are_refused() -> None:
    model = a_model()
    model.graph.output.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["b", 60]))

    said = refusal(model.SerializeToString())
    assert "has 2 outputs (logits, flat), expected the logits alone" in said


def test_a_fixed_batch_is_refused() -> None:
    data = a_graph(HEAD, MATRIX, image=(1, 2, 6, 5), logits=(1, 3))

    assert "its batch is fixed to 1" in refusal(data)


def test_a_free_image_size_is_refused() -> None:
    data = a_graph(HEAD, MATRIX, image=("batch", 2, "height", 5))

    assert "(free, 2, free, 5): channels, height and width must be fixed" in refusal(data)


def test_an_input_that_is_no_image_is_refused() -> None:
    data = a_graph(HEAD, MATRIX, image=("batch", 60))

    assert "its input has shape (free, 60), expected (batch, C, H, W)" in refusal(data)


def test_an_output_that_is_not_one_number_per_class_is_refused() -> None:
    nodes = [helper.make_node("Relu", ["image"], ["logits"])]
    data = a_graph(nodes, {}, logits=("batch", 2, 6, 5))

    assert "its output has shape (free, 2, 6, 5), expected (batch, classes)" in refusal(data)
