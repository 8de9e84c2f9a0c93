"""Masking inside of the graph: the same as masking outside of it."""

from __future__ import annotations

import numpy as np

from lightbox.infer.graphs.mask_graph import (
    BASELINE,
    COALITIONS,
    IMAGE,
    REGIONS,
    mask_graph,
    with_no_region,
)
from lightbox.infer.graphs.network import LOGITS
from networks import a_pooled_classifier, run


def test_a_pixel_shows_the_image_where_its_region_is_present_and_the_baseline_elsewhere() -> None:
    draw = np.random.default_rng(0)
    data = a_pooled_classifier()
    image, baseline = draw.standard_normal((2, 1, 16, 16)).astype(np.float32)
    regions = draw.integers(-1, 5, (16, 16))  # -1: no region
    coalitions = draw.random((7, 5)) < 0.5
    inputs = {
        IMAGE: image[None],
        BASELINE: baseline,
        REGIONS: regions.astype(np.int64),
        COALITIONS: with_no_region(coalitions),
    }

    (logits,) = run(mask_graph(data, "test.onnx"), [LOGITS], **inputs)

    shown = np.where((regions < 0) | coalitions[:, regions], image[0], baseline[0])
    np.testing.assert_array_equal(logits, run(data, ["logits"], image=shown[:, None])[0])


def test_the_columns_of_the_coalitions_are_kept_and_one_is_added() -> None:
    bits = np.array([[True, False]])

    assert with_no_region(bits).tolist() == [[True, False, True]]
