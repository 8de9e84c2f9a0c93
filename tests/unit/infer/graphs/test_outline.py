"""A segmentation network is explained as a classifier is: by the score of what it outlines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import helper

from lightbox.domain.arrays import FloatMap
from lightbox.domain.errors import ModelPackageError
from lightbox.infer.graphs.cam_graph import CAM, cam_graph
from lightbox.infer.graphs.mask_graph import (
    BASELINE,
    COALITIONS,
    IMAGE,
    REGIONS,
    mask_graph,
    with_no_region,
)
from lightbox.infer.graphs.network import LOGITS, Network
from lightbox.infer.graphs.outline import OUTLINE
from networks import UNet, a_graph, an_outliner, exported, run

DRAW = np.random.default_rng(3)


def pixels(*shape: int) -> FloatMap:
    return DRAW.standard_normal(shape).astype(np.float32)


def score_of(logits: FloatMap) -> FloatMap:
    """Return the mean of what is not negative, or the highest; shape (B,)."""
    flat = logits.reshape(len(logits), -1).astype(np.float64)
    return np.array([row[row >= 0].mean() if (row >= 0).any() else row.max() for row in flat])


@pytest.mark.parametrize("bias", [0.0, -1e3])
def test_two_logits_say_how_sure_the_network_is_of_its_outline_or_of_none(bias: float) -> None:
    data, images = an_outliner(bias=bias), pixels(5, 1, 16, 16)
    answer = run(data, ["logits"], image=images)[0]

    made = cam_graph(data, "test.onnx")
    logits, outline = run(made.data, [LOGITS, OUTLINE], image=images)

    assert (score_of(answer) > 0).all() == (bias == 0.0)
    np.testing.assert_array_equal(outline, answer[:, 0])
    np.testing.assert_allclose(logits[:, 0] - logits[:, 1], score_of(answer), rtol=1e-4)
    np.testing.assert_array_equal(logits[:, 0], -logits[:, 1])


def test_the_map_is_that_of_autograd_at_the_coarsest_layer_the_mask_held_fixed() -> None:
    torch.manual_seed(2)
    net, images = UNet().eval(), pixels(3, 3, 32, 32)
    made = cam_graph(exported(net, (3, 32, 32)), "test.onnx")
    assert (made.cells, made.way) == ((8, 8), "vjp")

    cam, logits = run(made.data, [CAM, LOGITS], image=images)

    first = net.first(torch.tensor(images))
    second = net.second(first)
    bottom = net.bottom(second).detach().requires_grad_()
    z = net.above(bottom, second.detach(), first.detach()).flatten(1)
    with torch.no_grad():
        inside = (z >= z.amax(1, keepdim=True).clamp(max=0.0)).float()
    score = (z * inside).sum(1) / inside.sum(1)
    sign = torch.tensor(np.where(logits.argmax(1) == 0, 0.5, -0.5))
    (slope,) = torch.autograd.grad((sign * score).sum(), bottom)
    expected = torch.relu((slope.mean((2, 3), keepdim=True) * bottom).sum(1)).detach().numpy()
    assert expected.max() > 0
    np.testing.assert_allclose(cam, expected, atol=1e-4 * expected.max())


def test_masked_copies_have_the_same_two_logits() -> None:
    data, images = an_outliner(), pixels(2, 1, 16, 16)
    regions = np.repeat([0, 1], 8)[:, None].repeat(16, axis=1).astype(np.int64)
    coalitions = with_no_region(np.array([[True, True], [False, False]]))

    feeds = {IMAGE: images[:1], BASELINE: images[1], REGIONS: regions, COALITIONS: coalitions}
    (masked,) = run(mask_graph(data, "test.onnx"), [LOGITS], **feeds)

    bare = run(cam_graph(data, "test.onnx").data, [LOGITS], image=images)[0]
    np.testing.assert_allclose(masked, bare, atol=1e-5)


def test_an_outline_of_two_channels_is_refused_with_what_to_export() -> None:
    nodes = [helper.make_node("Relu", ["image"], ["logits"])]
    data = a_graph(nodes, {}, logits=("batch", 2, 6, 5))

    with pytest.raises(ModelPackageError) as caught:
        Network.read(data, "test.onnx")
    assert "of two channels the lesion's logit minus the background's" in str(caught.value)
