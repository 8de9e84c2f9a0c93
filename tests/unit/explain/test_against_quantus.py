"""Quality metrics give what Quantus 0.6.0 gives, on the inputs where Quantus is right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lightbox.explain.quality.agreement import rank_correlation
from lightbox.explain.quality.complexity import entropy, sparseness
from lightbox.explain.quality.localisation import plausibility
from unit.explain.reference_quality import inputs

QUANTUS = json.loads(Path(__file__).with_name("reference_quality.json").read_text())


@pytest.mark.parametrize("number", range(5))
def test_complexity_of_a_map(number: int) -> None:
    values, expected = inputs(number)[0], QUANTUS[str(number)]
    assert entropy(values) * np.log(values.size) == pytest.approx(expected["entropy"], abs=1e-5)
    assert sparseness(values) == pytest.approx(expected["sparseness"], abs=1e-5)


@pytest.mark.parametrize("number", range(5))
def test_a_map_against_a_mask(number: int) -> None:
    (values, mask), expected = inputs(number), QUANTUS[str(number)]
    found = plausibility(values.astype(np.float32), mask)
    assert found.pointing_game == expected["pointing_game"]
    assert found.mass == pytest.approx(expected["mass"], abs=1e-6)
    # theirs is the share of the mask among the highest as many pixels; overlap over union from it
    assert found.iou == pytest.approx(expected["rank"] / (2.0 - expected["rank"]), abs=1e-6)


@pytest.mark.parametrize("number", range(5))
def test_rank_correlation_of_two_maps(number: int) -> None:
    one, other = inputs(number)[0], inputs(number + 10)[0]
    found = rank_correlation(one.ravel(), other.ravel())
    assert found == pytest.approx(QUANTUS[str(number)]["spearman"], abs=1e-6)
