"""The distance out of the graph is the one of the formula."""

from __future__ import annotations

import numpy as np

from lightbox.domain.feature_range import range_of
from lightbox.infer.graphs.cam_graph import cam_graph
from lightbox.infer.graphs.network import LOGITS
from lightbox.infer.graphs.range_graph import DISTANCE, FEATURES, features_graph
from networks import a_pooled_classifier, run

DRAW = np.random.default_rng(6)


def test_features_are_mean_and_spread_of_each_channel_and_the_distance_is_theirs() -> None:
    data = a_pooled_classifier()
    images = DRAW.standard_normal((40, 1, 16, 16)).astype(np.float32)
    (features,) = run(features_graph(data, "test.onnx"), [FEATURES], image=images)
    assert features.shape == (40, 8)
    known = range_of(features, np.repeat([0, 1], 20))

    made = cam_graph(data, "test.onnx", known=(known, ""))
    logits, distance = run(made.data, [LOGITS, DISTANCE], image=3 * images)

    (far,) = run(features_graph(data, "test.onnx"), [FEATURES], image=3 * images)
    np.testing.assert_allclose(distance, known.distance(far), rtol=1e-4)
    np.testing.assert_array_equal(logits, run(data, ["logits"], image=3 * images)[0])
    layer = run(_with_layer(data), ["features"], image=images)[0]
    np.testing.assert_allclose(features[:, :4], layer.mean(axis=(2, 3)), atol=1e-5)
    np.testing.assert_allclose(features[:, 4:], layer.std(axis=(2, 3)), atol=1e-5)


def _with_layer(data: bytes) -> bytes:
    """Return the file with its convolution's output as the only one."""
    from onnx import TensorProto, helper, load_from_string

    model = load_from_string(data)
    del model.graph.output[:]
    shape: list[str | int | None] = ["batch", 4, 8, 8]
    model.graph.output.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, shape))
    return bytes(model.SerializeToString())
