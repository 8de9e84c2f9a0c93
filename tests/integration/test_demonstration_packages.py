"""The demonstrations that are shipped pass the check of every package, and say that they claim nothing."""

from __future__ import annotations

import pytest

from lightbox.infer.packages import load
from lightbox.settings import Settings
from lightbox.tools.model_check import check_package
from site_of_tests import MODELS


@pytest.mark.parametrize("name", ["breast_ultrasound", "retinal_oct"])
def test_a_demonstration_passes_its_own_check_and_is_small(name: str) -> None:
    lines = check_package(MODELS / name, Settings())
    assert [(line.question, line.answer) for line in lines if not line.passed] == []
    assert (MODELS / name / "weights.onnx").stat().st_size < 2_000_000


@pytest.mark.parametrize(("name", "images"), [("breast_ultrasound", 96), ("retinal_oct", 16)])
def test_its_words_name_how_little_it_learned_from(name: str, images: int) -> None:
    package, card = load(MODELS / name).package, (MODELS / name / "CARD.md").read_text()
    assert f"learned from {images} images" in package.demonstration
    assert f"**A demonstration. It learned from {images} images" in card
    assert "Nothing is claimed of its answers.**" in card
    assert "No claim. Not for diagnosis." in package.intended_use
