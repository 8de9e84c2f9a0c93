"""Networks that cannot be packaged, and folders that ``models new`` leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, load_from_string

from lightbox.cli.main import run
from networks import a_graph, a_pooled_classifier, the_file

Captured = pytest.CaptureFixture[str]


def several_inputs() -> bytes:
    model = load_from_string(a_pooled_classifier())
    model.graph.input.append(helper.make_tensor_value_info("age", TensorProto.FLOAT, ["batch", 1]))
    return bytes(model.SerializeToString())


def with_image(*shape: int | str) -> bytes:
    model = load_from_string(a_pooled_classifier())
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, list(shape)))
    return bytes(model.SerializeToString())


def external() -> bytes:
    model = load_from_string(a_pooled_classifier())
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    return bytes(model.SerializeToString())


def of_opset(version: int) -> bytes:
    model = load_from_string(a_pooled_classifier())
    model.opset_import[0].version = version
    return bytes(model.SerializeToString())


def ending_in_sigmoid() -> bytes:
    model = load_from_string(a_pooled_classifier())
    model.graph.node[-1].output[0] = "z"
    model.graph.node.append(helper.make_node("Sigmoid", ["z"], ["logits"]))
    return bytes(model.SerializeToString())


def of_half_precision() -> bytes:
    model = load_from_string(a_pooled_classifier())
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    return bytes(model.SerializeToString())


def two_channels() -> bytes:
    weights = {"kernel": np.ones((4, 2, 3, 3), np.float32), "matrix": np.ones((3, 4), np.float32)}
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["conv"]),
        helper.make_node("GlobalAveragePool", ["conv"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix"], ["logits"], transB=1),
    ]
    return a_graph(nodes, weights)


@pytest.mark.parametrize(
    ("data", "reason", "mend"),
    [
        (several_inputs, "has 2 inputs (image, age), expected one image", "cut it out"),
        (lambda: with_image("n", 1, "h", "w"), "height and width must be fixed", "only the batch"),
        (lambda: with_image(1, 1, 16, 16), "its batch is fixed to 1", "a dynamic batch axis"),
        (external, "keeps weights in external files", "external_data=False"),
        (lambda: of_opset(99), "uses ONNX operator set 99", "opset_version=18"),
        (ending_in_sigmoid, "ends in a Sigmoid", "one package per finding"),
        (lambda: a_pooled_classifier(classes=1), "has one output", "with two"),
        (of_half_precision, "its input is of type float16, expected 32-bit", "network.float()"),
        (two_channels, "its input has 2 channels", "export it for one image"),
        (lambda: b"no network", "is not an ONNX file", "export the network to ONNX"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: Captured, data: Callable[[], bytes], reason: str, mend: str
) -> None:
    folder = tmp_path / "unseen"
    assert run(["models", "new", str(folder), "--onnx", the_file(tmp_path, data())]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert mend in line
    assert not folder.exists()


@pytest.mark.parametrize("name", ["Chest", "x", "a-b", "1st"])
def test_a_folder_is_named_as_a_model_can_be(tmp_path: Path, capsys: Captured, name: str) -> None:
    onnx = the_file(tmp_path, a_pooled_classifier())
    assert run(["models", "new", str(tmp_path / name), "--onnx", onnx]) == 2
    assert "its name is to be the model's" in capsys.readouterr().err


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path, capsys: Captured) -> None:
    onnx = the_file(tmp_path, a_pooled_classifier())
    assert run(["models", "new", str(tmp_path / "unseen"), "--onnx", onnx]) == 0
    before = (tmp_path / "unseen" / "model.toml").read_bytes()
    assert run(["models", "new", str(tmp_path / "unseen"), "--onnx", onnx]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "unseen" / "model.toml").read_bytes() == before


def test_expectations_cannot_be_written_without_samples(tmp_path: Path, capsys: Captured) -> None:
    onnx = the_file(tmp_path, a_pooled_classifier())
    assert run(["models", "new", str(tmp_path / "unseen"), "--onnx", onnx]) == 0
    assert run(["models", "check", str(tmp_path / "unseen"), "--write-expected"]) == 2
    assert "holds no .dcm file" in capsys.readouterr().err
