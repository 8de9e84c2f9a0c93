"""Promise: what a reader sees is what a person has looked at and found right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from golden import CASES, GOLDEN, NAMES, distance, drawn, reduced
from lightbox.results.header.source import key_source
from lightbox.results.picture.render import render

SEEN = 2.0
"""Colour difference of a tile that an eye can just see."""


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_looks_like_the_one_that_was_looked_at(name: str) -> None:
    golden = np.asarray(Image.open(GOLDEN / f"{name}.png").convert("RGB"))
    assert distance(reduced(drawn(name)), golden) < SEEN, "look at it; then: make pictures"


def test_there_is_no_golden_picture_of_nothing() -> None:
    assert {path.stem for path in GOLDEN.glob("*.png")} == set(NAMES)


def test_a_changed_number_is_seen() -> None:
    explained = CASES["fast"]()
    prediction = replace(explained.prediction, confidence=0.98)
    other = render(replace(explained, prediction=prediction), key_source(explained))
    assert distance(reduced(other), reduced(drawn("fast"))) > SEEN


def test_a_mirrored_map_is_seen() -> None:
    explained = CASES["fast"]()
    mirrored = np.ascontiguousarray(explained.attribution.source_map[:, ::-1])
    attribution = replace(explained.attribution, source_map=mirrored)
    other = render(replace(explained, attribution=attribution), key_source(explained))
    assert distance(reduced(other), reduced(drawn("fast"))) > SEEN


def test_what_no_eye_can_see_is_no_difference() -> None:
    picture = reduced(drawn("fast"))
    noisy = np.clip(
        picture.astype(int) + np.arange(picture.size).reshape(picture.shape) % 2, 0, 255
    )
    assert distance(picture, noisy.astype(np.uint8)) < SEEN
