"""Each way in which an explanation cannot be made is one clear line that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, load_from_string

from fakes.arithmetic_runtime import ArithmeticRuntime
from lightbox.domain.errors import LightboxError
from lightbox.domain.geometry import FrameGeometry
from lightbox.explain.players.grid import grid_regions
from lightbox.infer.graphs.cam_graph import cam_graph
from networks import a_graph, a_pooled_classifier
from unit.explain.test_attribute import a_subject, audited, quarters


def a_flat_network() -> bytes:
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix"], ["logits"]),
    ]
    return a_graph(nodes, {"matrix": np.ones((2, 3), np.float32)})


def with_two_inputs() -> bytes:
    model = load_from_string(a_pooled_classifier())
    model.graph.input.append(helper.make_tensor_value_info("age", TensorProto.FLOAT, [1]))
    return bytes(model.SerializeToString())


def with_two_outputs() -> bytes:
    model = load_from_string(a_pooled_classifier())
    model.graph.output.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["b", 4]))
    return bytes(model.SerializeToString())


def with_free_size() -> bytes:
    model = load_from_string(a_pooled_classifier())
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    return bytes(model.SerializeToString())


def with_external_weights() -> bytes:
    model = load_from_string(a_pooled_classifier())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return bytes(model.SerializeToString())


def of_a_new_operator_set() -> bytes:
    model = load_from_string(a_pooled_classifier())
    model.opset_import[0].version = 99
    return bytes(model.SerializeToString())


def graph(data: Callable[[], bytes], layer: str = "") -> Callable[[], object]:
    return lambda: cam_graph(data(), "weights.onnx", layer)


def a_target_that_does_not_exist() -> object:
    subject = a_subject()
    other = replace(subject, prediction=replace(subject.prediction, target=7))
    return audited(other, ArithmeticRuntime(quarters(1, 2, 3, 4)))


CASES: dict[str, tuple[Callable[[], object], str, str]] = {
    "no layer with a spatial extent": (
        graph(a_flat_network), "no layer with a spatial extent was found", "target_layer"),
    "a layer that is not there": (
        graph(a_pooled_classifier, "layer9"), "'layer9' is not a tensor", "leave it empty for"),
    "several inputs": (graph(with_two_inputs), "has 2 inputs (image, age)", "cut it out"),
    "several outputs": (
        graph(with_two_outputs), "has 2 outputs (logits, flat)", "export it with one output"),
    "dynamic axes": (
        graph(with_free_size), "must be fixed", "only the batch axis dynamic"),
    "external data": (
        graph(with_external_weights), "weights in external files", "external_data=False"),
    "an operator set too new": (
        graph(of_a_new_operator_set), "operator set 99, expected 13 to 23", "opset_version=18"),
    "a target that does not exist": (
        a_target_that_does_not_exist, "the network has 2 outputs", "ask for one of the model's"),
    "a region without a pixel": (
        lambda: grid_regions(FrameGeometry.pad((3, 3), (64, 64)), (4, 4)),
        "only 9 of 16 regions have pixels", "fewer rows or columns"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_explained_is_one_line_with_reason_and_mend(case: str) -> None:
    make, reason, mend = CASES[case]
    with pytest.raises(LightboxError) as caught:
        make()
    said = str(caught.value)
    assert "\n" not in said
    assert reason in said
    assert mend in said


SENTENCES = {
    "a flat v(S)": (quarters(0, 0, 0, 0), "No region mattered"),
    "a baseline surer than the image": (quarters(-8, -9, 2, 0), "surer of Meningioma with all"),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_what_an_audit_cannot_share_out_is_one_sentence_on_its_picture(case: str) -> None:
    weights, words = SENTENCES[case]
    _, found = audited(a_subject(), ArithmeticRuntime(weights))
    assert any(words in sentence and "\n" not in sentence for sentence in found.warnings)
