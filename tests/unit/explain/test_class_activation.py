"""The class-activation family: what pytorch-grad-cam gives, in the graph and beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lightbox.app.catalogue import METHODS, methods
from lightbox.domain.arrays import FloatMap
from lightbox.domain.errors import ExplanationError
from lightbox.domain.model_package import FAST_METHODS, FastMethod
from lightbox.explain.class_activation import map_of
from lightbox.explain.methods import eigen_grad_cam
from lightbox.explain.plugin import MapMethod
from lightbox.infer.graphs.cam_graph import CAM, cam_graph
from lightbox.infer.graphs.layer_graph import ACTIVATION, GRADIENT, TARGET, layer_graph
from lightbox.ports import Output
from networks import a_pooled_classifier, run
from unit.explain.reference_cam import inputs

REFERENCE = json.loads(Path(__file__).with_name("reference_cam.json").read_text())
FAMILY = ("grad_cam", "grad_cam_plus_plus", "xgrad_cam", "layer_cam", "hires_cam", "eigen_grad_cam")


def method(name: str) -> MapMethod:
    found = methods()[name]
    assert isinstance(found, MapMethod)
    return found


def cells(name: str, activation: FloatMap, gradient: FloatMap) -> FloatMap:
    logits = np.array([[0.0, 1.0]], np.float32)
    found = method(name).cells(Output(logits, None, activation, gradient)).cells
    assert found is not None
    return found


def scaled(values: FloatMap) -> FloatMap:
    """Scale as pytorch-grad-cam does before it draws: from 0 to 1."""
    positive = np.maximum(values, 0.0) - np.maximum(values, 0.0).min()
    out: FloatMap = positive / (1e-7 + positive.max())
    return out


@pytest.mark.parametrize("kind", ["rectified", "signed", "even"])
@pytest.mark.parametrize("name", FAMILY)
def test_each_method_equals_pytorch_grad_cam(name: str, kind: str) -> None:
    expected = np.array(REFERENCE[f"{kind} {name}"])
    if name == "eigen_grad_cam":  # theirs has the sign that the solver happened to give
        activation, gradient = inputs(kind)
        flat = (x[0].astype(float).reshape(6, -1) for x in (activation, gradient))
        ours = eigen_grad_cam.weigh(*flat).reshape(5, 4)
        assert min(np.abs(ours - expected).max(), np.abs(ours + expected).max()) < 1e-5
        return
    found = cells(name, *inputs(kind))
    np.testing.assert_allclose(scaled(found), scaled(expected), atol=1e-4)
    assert (found > 0).any()


def test_the_sign_of_a_principal_component_is_that_of_the_evidence() -> None:
    activation, gradient = inputs("rectified")
    one = cells("eigen_grad_cam", activation, gradient)
    turned = cells("eigen_grad_cam", activation[:, ::-1], gradient[:, ::-1])
    np.testing.assert_allclose(one, turned, atol=1e-5)
    product = (activation * gradient)[0].sum(axis=0)
    assert product[one > 0].sum() > product[one == 0].sum()


@pytest.mark.parametrize("name", FAST_METHODS)
@pytest.mark.parametrize("head", ["closed form", "vjp"])
def test_the_map_in_the_graph_is_the_one_beside_it(name: FastMethod, head: str) -> None:
    data = a_pooled_classifier()
    layer = "features" if head == "closed form" else "conv"
    images = np.random.default_rng(1).standard_normal((3, 1, 16, 16)).astype(np.float32)
    inside = cam_graph(data, "test.onnx", layer, method=name)
    (cam,) = run(inside.data, [CAM], image=images)
    beside = layer_graph(data, "test.onnx", layer)
    winners: FloatMap = np.full(3, -1, np.int64)
    activation, gradient = run(
        beside.data, [ACTIVATION, GRADIENT], image=images, **{TARGET: winners}
    )

    assert inside.way == head
    for i in range(3):
        expected = cells(name, activation[i : i + 1], gradient[i : i + 1])
        np.testing.assert_allclose(cam[i], expected, rtol=1e-4, atol=1e-6 + 1e-5 * expected.max())


def test_a_class_can_be_asked_for_and_its_gradient_is_that_of_its_logit() -> None:
    data = a_pooled_classifier(classes=3)
    made = layer_graph(data, "test.onnx")
    images = np.random.default_rng(1).standard_normal((1, 1, 16, 16)).astype(np.float32)
    maps = []
    for target in (0, 1, 2):
        asked: dict[str, FloatMap] = {TARGET: np.array([target])}
        activation, gradient = run(made.data, [ACTIVATION, GRADIENT], image=images, **asked)
        maps.append((activation * gradient).sum())
    bias = np.random.default_rng(0)
    bias.standard_normal((4, 1, 3, 3))
    bias.standard_normal((3, 4))
    offset = bias.standard_normal(3).astype(np.float32)
    (logits,) = run(data, ["logits"], image=images)
    assert maps == pytest.approx((logits[0] - offset).tolist(), rel=1e-4)  # linear in the layer


def test_a_volume_gives_the_highest_value_along_its_depth() -> None:
    activation = np.zeros((1, 2, 3, 4, 4), np.float32)
    activation[0, 1, 2, 0, 3] = 2.0
    activation[0, 1, 0, 0, 3] = 1.0
    found = cells("hires_cam", activation, np.ones_like(activation))
    assert found.shape == (4, 4)
    assert found[0, 3] == 2.0
    assert found.sum() == 2.0


@pytest.mark.parametrize("name", FAMILY)
def test_every_method_refuses_a_graph_without_a_map_and_says_what_to_do(name: str) -> None:
    with pytest.raises(ExplanationError, match="target_layer"):
        method(name).cells(Output(np.zeros((1, 2), np.float32)))


@pytest.mark.parametrize("name", FAMILY)
def test_every_method_gives_a_finite_map_that_is_not_negative(name: str) -> None:
    rng = np.random.default_rng(3)
    for activation in (rng.random((1, 5, 3, 4)), np.zeros((1, 5, 3, 4)), -rng.random((1, 5, 3, 4))):
        gradient = rng.standard_normal((1, 5, 3, 4))
        found = cells(name, activation.astype(np.float32), gradient.astype(np.float32))
        assert found.shape == (3, 4)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert found.min() >= 0.0


def test_the_whole_family_stands_in_the_catalogue_and_its_cards_name_a_paper() -> None:
    activating = {n for n, m in methods().items() if m.card.family == "class activation"}
    assert activating == set(FAMILY)
    assert set(FAST_METHODS) < activating <= set(METHODS)
    assert all("20" in method(name).card.paper for name in activating)


def test_a_map_is_made_of_what_is_positive() -> None:
    one = np.array([[[1.0, -2.0]]])
    assert map_of(lambda a, g: (a * g)[0], one, np.ones_like(one)).tolist() == [[1.0, 0.0]]
