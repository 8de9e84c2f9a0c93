"""What stands on the picture is made from the values, and is true."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explained_builders import a_header, a_package, an_explained
from lightbox.domain.model_package import Explanation
from lightbox.results import wording
from lightbox.results.header.source import key_source


@pytest.mark.parametrize(
    ("confidence", "text"), [(0.5, "50 %"), (0.994, "> 99 %"), (0.003, "< 1 %"), (0.926, "93 %")]
)
def test_a_confidence_is_never_rounded_to_certainty(confidence: float, text: str) -> None:
    assert wording.percent(confidence) == text


@pytest.mark.parametrize(
    ("confidence", "remark"),
    [
        (0.93, ""),
        (0.7, "Low confidence: under this model's limit of 85 %"),
        (0.4, "Low confidence: under the threshold of 50 %, not counted as present"),
    ],
)
def test_low_confidence_is_said_in_words(confidence: float, remark: str) -> None:
    assert wording.confidence_remark(an_explained(confidence=confidence)) == remark


def test_a_sites_own_threshold_decides_and_is_said_to_be_the_sites() -> None:
    explained = an_explained(confidence=0.7)
    own = replace(explained.prediction, thresholds={"glioma": 0.75})
    explained = replace(explained, prediction=own)
    assert wording.headline(explained).startswith("No finding above its threshold")
    assert wording.confidence_remark(explained) == (
        "Low confidence: under the site's threshold of 75 %, not counted as present"
    )
    assert wording.site_line(explained) == "Site threshold 75 % (the model's: 50 %)"


def test_where_the_site_says_nothing_the_models_threshold_holds() -> None:
    explained = an_explained(confidence=0.7)
    own = replace(explained.prediction, thresholds={"meningioma": 0.9})
    explained = replace(explained, prediction=own)
    assert wording.headline(explained) == "Glioma, calibrated confidence 70 %"
    assert wording.site_line(explained) == ""


def test_how_explanations_by_this_method_mislead_is_said_as_the_package_says_it() -> None:
    known = {"grad_cam": ("What speaks against is not drawn.",), "any": ("It always points.",)}
    package = a_package(explanation=Explanation(failure_modes=known))
    fast, audit = (an_explained(method=m, package=package) for m in ("grad_cam", "shapley"))
    assert wording.limits_line(fast) == "What speaks against is not drawn. It always points."
    assert wording.limits_line(audit) == "It always points."
    assert wording.limits_line(an_explained()) == ""


def test_the_size_of_a_cell_is_in_millimetres_where_the_source_has_spacing() -> None:
    explained = an_explained(a_header(256, 256, PixelSpacing=[0.5, 0.5]))
    spacing = explained.frame.pixel_spacing
    assert wording.cell_line(explained.attribution, spacing) == "6 x 6 mm (width x height)"
    assert wording.cell_line(explained.attribution, None) == "13 x 13 pixels (width x height)"


def test_the_source_is_named_as_viewers_name_it() -> None:
    explained = an_explained(a_header(SeriesNumber=None))
    assert wording.source_line(key_source(explained)) == "Series without number, instance 12"


def test_what_else_the_model_considered_is_there_likeliest_first() -> None:
    explained = an_explained(confidence=0.9)
    scores = {"glioma": 0.9, "meningioma": 0.02, "normal": 0.08}
    explained = replace(explained, prediction=replace(explained.prediction, scores=scores))
    assert wording.others_line(explained) == "No finding 8 %, Meningioma 2 %"


def test_the_values_of_an_audit_add_up_and_the_picture_says_so() -> None:
    line = wording.trust_line(an_explained(method="shapley").attribution)
    assert "from 0.31 (no region) to 0.63 (all regions), residual 2e-16" in line
    assert line.endswith("agreement with the fast map 0.82")


def test_the_picture_says_the_measured_quality_in_short_block_by_block() -> None:
    attribution = an_explained(method="shapley").attribution
    quality = {
        "deletion": -0.301, "insertion": 0.25, "sensitivity_n": 0.93, "border_mass": 0.02,
        "stability_adversarial": 0.5, "entropy": 0.4,
    }  # fmt: skip
    assert wording.quality_line(replace(attribution, quality=quality)) == (
        "faithfulness: deletion \u22120.30, insertion +0.25 against random orders, "
        "sensitivity-n 0.93; plausibility: 2 % at the border; robustness: changes of 5 % 0.50"
    )
    assert wording.quality_line(replace(attribution, quality={})) == ""


@pytest.mark.parametrize(
    ("value", "text"), [(0.314, "+0.31"), (-0.14, "\u22120.14"), (-0.001, "0.00")]
)
def test_a_value_has_its_sign_and_nothing_has_none(value: float, text: str) -> None:
    assert wording.signed_text(value) == text


def test_an_occlusion_is_not_called_a_shapley_value() -> None:
    explained = an_explained(method="shapley")
    attribution = replace(explained.attribution, method="occlusion")
    sentence = wording.method_sentence(replace(explained, attribution=attribution))
    assert sentence.startswith("Occlusion of 12 regions")


def test_the_map_of_a_normal_study_is_not_said_to_show_a_lesion() -> None:
    explained = an_explained(target=2)
    assert wording.caption(explained) == "What spoke for it"
    assert "absence of a finding" in wording.method_sentence(explained)


def test_a_demonstration_says_so_and_why() -> None:
    package = a_package(demonstration="learned from 16 images")
    assert wording.demonstration_remark(an_explained(package=package)) == (
        "Demonstration: learned from 16 images. Nothing is claimed of this answer"
    )
    assert wording.demonstration_remark(an_explained()) == ""
