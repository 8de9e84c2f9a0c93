"""What a region did is one sentence, and where it lies is said in the patient only where that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from explained_builders import SHAPLEY_VALUES, a_header, a_package, an_explained
from lightbox.domain.attribution import Contrast
from lightbox.domain.explained import Explained
from lightbox.domain.model_package import Explanation
from lightbox.domain.regions import Sides, patient_region_name
from lightbox.results.header.source import key_source
from lightbox.results.picture.places import audit_sentence, contrast_sentence, sides_of, where

PLACELESS = {"ImagePositionPatient": None, "ImageOrientationPatient": None}


def placeless(**changes: object) -> Explained:
    return an_explained(a_header(256, 256, **PLACELESS, **changes), method="shapley")


def said(explained: Explained) -> str:
    return audit_sentence(explained, key_source(explained))


def test_what_the_strongest_region_did_is_said_in_the_patient() -> None:
    assert said(an_explained(method="shapley")) == (
        "The patient's central anterior region (upper centre in the picture) "
        "raised the probability of glioma by 0.31 (exact)"
    )


def test_where_the_orientation_is_unknown_it_is_said_in_the_picture() -> None:
    assert said(placeless()) == (
        "The upper centre region of the picture raised the probability of glioma by 0.31 (exact)"
    )


def test_an_estimate_is_said_with_its_standard_error() -> None:
    assert said(an_explained(method="shapley", exact=False)).endswith("by 0.31 \u00b1 0.02")


def test_a_region_that_opposes_most_lowered_it() -> None:
    explained = an_explained(method="shapley")
    estimate = replace(explained.attribution.estimate, values=-SHAPLEY_VALUES)
    explained = replace(explained, attribution=replace(explained.attribution, estimate=estimate))
    assert "lowered the probability of glioma by 0.31" in said(explained)


def test_log_odds_are_not_called_probability() -> None:
    explained = an_explained(method="shapley")
    explained = replace(explained, attribution=replace(explained.attribution, link="log_odds"))
    assert "raised the log-odds of glioma" in said(explained)


def test_a_map_has_no_sentence_about_regions() -> None:
    assert said(an_explained()) == ""


def test_labels_keep_their_capitals_only_where_they_are_abbreviations() -> None:
    finding = a_package().findings[0].model_copy(update={"label": "COVID-19 pneumonia"})
    package = a_package(findings=(finding, *a_package().findings[1:]))
    assert "of COVID-19 pneumonia by" in said(an_explained(method="shapley", package=package))


def test_what_decided_against_the_runner_up_is_one_sentence() -> None:
    explained = placeless()
    source = key_source(explained)
    assert contrast_sentence(explained, source) == ""
    contrast = Contrast(1, np.linspace(0.1, -0.4, 12), np.zeros(12), 0.1, 0.2)
    explained = replace(explained, attribution=replace(explained.attribution, contrast=contrast))
    assert contrast_sentence(explained, source) == (
        "Between glioma and meningioma, next in line, the bottom right region of the picture "
        "spoke most: 0.40 against glioma"
    )


@pytest.mark.parametrize(
    ("player", "place"), [(0, "top left"), (7, "lower centre"), (11, "bottom right")]
)
def test_regions_are_named_by_their_place_in_the_picture(player: int, place: str) -> None:
    assert where(an_explained(method="shapley"), player, None) == f"{place} region of the picture"


def test_a_region_of_no_grid_has_a_number() -> None:
    package = a_package(explanation=Explanation(grid=(6, 6)))
    assert where(an_explained(method="shapley", package=package), 7, ("L", "P")) == "region 8"


AXIAL, CORONAL, SAGITTAL = [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1]


@pytest.mark.parametrize(
    ("orientation", "sides"),
    [
        (AXIAL, ("L", "P")),
        (CORONAL, ("L", "F")),
        (SAGITTAL, ("P", "F")),
        ([0.99, 0.141, 0, -0.141, 0.99, 0], ("L", "P")),
        ([0.8, 0.6, 0, -0.6, 0.8, 0], None),
    ],
)
def test_sides_come_from_the_plane_and_an_oblique_one_has_none(
    orientation: list[float], sides: Sides | None
) -> None:
    explained = an_explained(a_header(256, 256, ImageOrientationPatient=orientation))
    assert sides_of(key_source(explained)) == sides


@pytest.mark.parametrize(
    ("stated", "sides"),
    [
        (["L", "F"], ("L", "F")),
        (["A", "FR"], None),
        (["L", "R"], None),
        (["", ""], None),
        ("L", None),
        (None, None),
    ],
)
def test_a_projection_says_its_sides_itself(stated: object, sides: Sides | None) -> None:
    assert sides_of(key_source(placeless(PatientOrientation=stated))) == sides


def test_an_animal_has_no_left_anterior() -> None:
    explained = an_explained(a_header(256, 256, AnatomicalOrientationType="QUADRUPED"))
    assert sides_of(key_source(explained)) is None


@pytest.mark.parametrize(
    ("index", "grid", "sides", "name"),
    [
        (0, (2, 2), ("L", "P"), "right anterior"),
        (3, (2, 2), ("L", "P"), "left posterior"),
        (0, (2, 2), ("R", "A"), "left posterior"),
        (0, (2, 2), ("L", "F"), "right superior"),
        (1, (2, 2), ("P", "F"), "posterior superior"),
        (0, (4, 3), ("L", "P"), "right far anterior"),
        (11, (4, 3), ("L", "P"), "left far posterior"),
        (4, (3, 3), ("L", "P"), "central"),
        (5, (3, 3), ("L", "P"), "left central"),
        (0, (6, 6), ("L", "P"), ""),
    ],
)
def test_regions_are_named_as_they_lie_in_the_patient(
    index: int, grid: tuple[int, int], sides: Sides, name: str
) -> None:
    assert patient_region_name(index, grid, sides) == name
