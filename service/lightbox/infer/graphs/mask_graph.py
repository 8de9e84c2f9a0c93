"""Masking inside of a classifier's own graph: only coalition bits cross to the device.

v(S) of an audit needs thousands of masked copies of one image. The graph makes them itself: each
pixel looks up the bit of its region, and the copies never exist outside of the device.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from lightbox.infer.graphs.network import LOGITS, Network

IMAGE = "lightbox_image"
"""Input, shape (1, C, H, W), float32."""
BASELINE = "lightbox_baseline"
"""Input, shape (C, H, W), float32."""
REGIONS = "lightbox_regions"
"""Input, shape (H, W), int64: column of ``COALITIONS``; -1 is the last one."""
COALITIONS = "lightbox_coalitions"
"""Input, shape (B, n_players + 1), bool; the last column belongs to pixels of no region."""


def mask_graph(weights: bytes, thing: str) -> bytes:
    """Return a model file that runs masked copies of one image.

    Parameters
    ----------
    weights : bytes
        The ONNX file, input (B, C, H, W).
    thing : str
        Its name in errors.

    Returns
    -------
    bytes
        A file with the four inputs above and the output ``logits``, shape (B, classes).
    """
    network = Network.read(weights, thing)
    graph = network.model.graph
    old = list(graph.node)
    del graph.node[:]
    present = network.add("Gather", COALITIONS, REGIONS, axis=1)
    keep = network.add("Unsqueeze", present, network.ints(1))
    network.add("Where", keep, IMAGE, BASELINE, name=network.input_name)
    graph.node.extend(old)
    _replace_inputs(network)
    return network.finish({LOGITS: ("batch", network.classes)})


def _replace_inputs(network: Network) -> None:
    channels, height, width = network.input_shape
    kept: list[ValueInfoProto] = [
        item for item in network.model.graph.input if item.name != network.input_name
    ]
    del network.model.graph.input[:]
    network.model.graph.input.extend(
        [
            helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, [1, channels, height, width]),
            helper.make_tensor_value_info(BASELINE, TensorProto.FLOAT, [channels, height, width]),
            helper.make_tensor_value_info(REGIONS, TensorProto.INT64, [height, width]),
            helper.make_tensor_value_info(COALITIONS, TensorProto.BOOL, ["batch", "columns"]),
            *kept,
        ]
    )


def with_no_region(coalitions: np.ndarray) -> np.ndarray:
    """Append the column of pixels that belong to no region: they always show the image."""
    always = np.ones((coalitions.shape[0], 1), dtype=np.bool_)
    return np.concatenate([coalitions.astype(np.bool_, copy=False), always], axis=1)
