"""A package's own preprocessing is a graph before its network, and part of what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from lightbox.domain.errors import ModelPackageError
from lightbox.infer.graphs.cam_graph import CAM, cam_graph
from lightbox.infer.graphs.network import LOGITS
from lightbox.infer.graphs.preceding import preceded
from lightbox.infer.packages import MANIFEST, PREPROCESS, WEIGHTS, digest, load
from networks import a_graph, a_pooled_classifier, run
from packages import a_package_folder

IMAGES = np.random.default_rng(2).standard_normal((3, 1, 16, 16)).astype(np.float32)


def squaring(*, channels: int = 1, size: int = 16, opset: int = 18, output: int = 16) -> bytes:
    """Return a graph that squares what it reads; its tensors are named as the network's."""
    shape, made = ("batch", channels, size, size), ("batch", channels, output, output)
    nodes = [helper.make_node("Mul", ["image", "image"], ["logits"])]
    if output != size:
        two = [2, 2]
        nodes = [helper.make_node("MaxPool", ["image"], ["logits"], kernel_shape=two, strides=two)]
    return a_graph(nodes, {}, image=shape, logits=made, opset=opset)


@pytest.mark.parametrize("opset", [13, 18, 21])
def test_the_network_reads_what_the_graph_before_it_gives(opset: int) -> None:
    network = a_pooled_classifier()

    both = preceded(squaring(opset=opset), network, "preprocess.onnx", "weights.onnx")

    outputs = [LOGITS, CAM]
    found = run(cam_graph(both, "both").data, outputs, preprocess_image=IMAGES)
    expected = run(cam_graph(network, "weights.onnx").data, outputs, image=IMAGES**2)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    "first", [squaring(channels=3), squaring(size=32, output=16), squaring(size=32, output=32)]
)
def test_a_graph_that_moves_pixels_or_gives_something_else_is_refused(first: bytes) -> None:
    with pytest.raises(ModelPackageError) as caught:
        preceded(first, a_pooled_classifier(), "preprocess.onnx", "weights.onnx")
    assert "let it keep every pixel at its place" in str(caught.value)


def test_both_files_make_the_digest_that_results_name_and_a_changed_one_is_refused(
    tmp_path: Path,
) -> None:
    folder = a_package_folder(tmp_path)
    alone = load(folder).package.sha256
    first = squaring()
    (folder / PREPROCESS).write_bytes(first)
    manifest = folder / MANIFEST
    text = manifest.read_text()
    manifest.write_text(
        text.replace("channels = 1", f'channels = 1\ngraph_sha256 = "{digest(first)}"')
    )

    loaded = load(folder)

    assert loaded.package.sha256 not in {alone, digest(first)}
    assert len(loaded.package.sha256) == 64
    weights = (folder / WEIGHTS).read_bytes()
    np.testing.assert_allclose(
        run(loaded.weights, ["logits"], preprocess_image=IMAGES)[0],
        run(weights, ["logits"], image=IMAGES**2)[0],
        atol=1e-6,
    )
    (folder / PREPROCESS).write_bytes(squaring(opset=17))
    with pytest.raises(ModelPackageError, match=r"preprocess\.onnx.* was changed"):
        load(folder)
