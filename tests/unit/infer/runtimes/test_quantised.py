from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from contracts.runtime import some_images
from lightbox.infer.runtimes.quantised import quantised
from networks import run
from packages import a_loaded_package


def test_a_network_in_int8_says_nearly_the_same_and_its_head_is_not_touched(tmp_path: Path) -> None:
    weights = a_loaded_package(tmp_path).weights
    images = some_images(16)

    small = quantised(weights, [image[None] for image in images])

    operators = [node.op_type for node in onnx.load_from_string(small).graph.node]
    assert "QuantizeLinear" in operators
    expected = run(weights, ["logits"], image=images)[0]
    found = run(small, ["logits"], image=images)[0]
    assert not np.array_equal(found, expected)
    assert np.abs(found - expected).max() < 0.1 * np.ptp(expected)
