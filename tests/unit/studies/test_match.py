from __future__ import annotations

from collections.abc import Mapping

import pytest

from builders import CT_IMAGE, DIGITAL_X_RAY, MR_IMAGE, a_described, a_digest, an_instance
from lightbox.domain.model_package import Accepts, Code, Finding, ModelPackage, Preprocessing
from lightbox.domain.result import ListedReason
from lightbox.domain.study import Described
from lightbox.studies.match import Match, match

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
PRIVATE = "1.3.6.1.4.1.9999.1"


def a_package(name: str = "chest_xray", **accepts: str | tuple[str | int, ...]) -> ModelPackage:
    wanted: dict[str, str | tuple[str | int, ...]] = {"modality": ("DX", "CR"), **accepts}
    code = Code(scheme="SCT", value="233604007", meaning="Pneumonia")
    return ModelPackage(
        name=name,
        version="1.0.0",
        sha256=a_digest("weights", name),
        intended_use="tests",
        licence="CC0",
        citation="none",
        accepts=Accepts.model_validate(wanted),
        preprocessing=Preprocessing(size=(64, 64)),
        findings=(Finding(name="pneumonia", label="Pneumonia", code=code),),
    )


def a_chest(sop_class: str = DIGITAL_X_RAY, **attributes: str) -> Described:
    usual = {
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "Rows": "2048",
        "Columns": "2500",
        "SamplesPerPixel": "1",
        "HasPixelData": "YES",
    }
    return a_described(an_instance(sop_class=sop_class), **(usual | attributes))


def answer(described: Described, **accepts: str | tuple[str | int, ...]) -> Match:
    (only,) = match((a_package("chest_xray", **accepts),), described)
    return only


def test_an_image_of_the_right_kind_is_accepted() -> None:
    assert answer(a_chest(), body_part=("CHEST", "THORAX")) == Match(
        a_package(body_part=("CHEST", "THORAX"))
    )


@pytest.mark.parametrize(
    ("sop_class", "attributes", "reason"),
    [
        (DIGITAL_X_RAY, {"Modality": "MR"}, "Modality is MR, the model is for DX or CR"),
        (DIGITAL_X_RAY, {"Modality": ""}, "Modality is not stated, the model is for DX or CR"),
        (SECONDARY_CAPTURE, {}, "SOP class Secondary Capture Image Storage does not hold"),
        (SEGMENTATION, {}, "SOP class Segmentation Storage does not hold acquired images"),
        (PRIVATE, {}, f"SOP class {PRIVATE} does not hold acquired images"),
    ],
)
def test_another_kind_of_image_has_no_model(
    sop_class: str, attributes: Mapping[str, str], reason: str
) -> None:
    found = answer(a_chest(sop_class, **attributes))
    assert found.refused is ListedReason.NO_MODEL
    assert found.reason.startswith(reason)


def test_a_model_may_ask_for_secondary_captures() -> None:
    found = answer(a_chest(SECONDARY_CAPTURE), sop_class_uid=(SECONDARY_CAPTURE,))
    assert found.refused is None


def test_a_model_may_name_its_sop_classes() -> None:
    found = answer(a_chest(), sop_class_uid=(CT_IMAGE, MR_IMAGE))
    assert found.refused is ListedReason.NO_MODEL
    assert found.reason.startswith("SOP class Digital X-Ray Image Storage - For Presentation is")


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"HasPixelData": "NO"}, "it has no pixel data"),
        ({"HasPixelData": ""}, "it has no pixel data"),
        ({"BurnedInAnnotation": "YES"}, "Burned In Annotation (0028,0301) is YES"),
        ({"ImageType": "ORIGINAL\\PRIMARY\\LOCALIZER"}, "Image Type says LOCALIZER"),
        ({"BodyPartExamined": "KNEE"}, "Body Part Examined is KNEE, the model is for CHEST"),
        ({"Rows": "31"}, "Rows is 31, the model needs 32"),
        ({"Columns": "8"}, "Columns is 8, the model needs 32"),
        ({"SamplesPerPixel": "3"}, "Samples per Pixel is 3, the model takes 1"),
        ({"SeriesDescription": "PHANTOM test"}, "SeriesDescription contains 'phantom'"),
        ({"StudyDescription": "qa phantom"}, "StudyDescription contains 'phantom'"),
        ({"ProtocolName": "X_Phantom_1"}, "ProtocolName contains 'phantom'"),
    ],
)
def test_the_right_kind_that_must_not_be_run_says_why(
    attributes: Mapping[str, str], reason: str
) -> None:
    found = answer(a_chest(**attributes), body_part=("CHEST",), description_refuses=("phantom",))
    assert (found.refused, found.reason) == (ListedReason.NOT_APPLICABLE, reason)


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImageType": "DERIVED\\PRIMARY\\MPR"},
        {"BurnedInAnnotation": "NO"},
        {"SeriesDescription": "phantomless"},
        {"BodyPartExamined": " chest "},
        {"Rows": "", "Columns": "not a number", "SamplesPerPixel": ""},
    ],
)
def test_what_does_not_speak_against_it_is_accepted(attributes: Mapping[str, str]) -> None:
    found = answer(a_chest(**attributes), body_part=("CHEST",), description_refuses=("phantom",))
    assert found.refused is None


def test_an_unstated_body_part_is_accepted_with_a_caveat() -> None:
    found = answer(a_chest(BodyPartExamined=""), body_part=("CHEST",))
    assert (found.refused, found.caveat) == (None, "body part not stated by the source")


def test_a_model_may_insist_on_the_body_part() -> None:
    found = answer(a_chest(BodyPartExamined=""), body_part=("CHEST",), body_part_missing="refuse")
    assert found.refused is ListedReason.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        ("0", "the patient is younger than the model is for, 1 to 5 years"),
        ("1", ""),
        ("5", ""),
        ("6", "the patient is older than the model is for, 1 to 5 years"),
        ("45", "the patient is older than the model is for, 1 to 5 years"),
    ],
)
def test_a_model_for_some_ages_refuses_the_others_without_telling_the_age(
    age: str, reason: str
) -> None:
    found = answer(a_chest(CompletedYears=age), age_years=(1, 5))
    assert found.reason == reason
    assert (found.refused is ListedReason.NOT_APPLICABLE) is bool(reason)
    assert found.caveat == ""


def test_an_unstated_age_is_accepted_with_a_caveat_unless_the_model_insists() -> None:
    found = answer(a_chest(), age_years=(1, 5))
    assert (found.refused, found.caveat) == (None, "the patient's age is not stated by the source")
    found = answer(a_chest(), age_years=(1, 5), age_missing="refuse")
    assert (found.refused, found.reason) == (
        ListedReason.NOT_APPLICABLE,
        "the patient's age is not stated and the model needs it",
    )


def test_a_model_for_any_age_does_not_ask_for_one() -> None:
    found = answer(a_chest(), age_missing="refuse")
    assert (found.refused, found.caveat) == (None, "")


def test_a_model_for_any_body_part_needs_no_caveat() -> None:
    assert answer(a_chest(BodyPartExamined="")).caveat == ""


def test_pixel_data_that_nobody_looked_for_is_left_to_the_decoder() -> None:
    described = a_described(an_instance(), Modality="DX")
    assert answer(described).refused is None


def test_every_model_is_asked_in_order() -> None:
    packages = (a_package("one", modality=("MR",)), a_package("two"), a_package("three"))
    found = match(packages, a_chest())
    assert [m.package.name for m in found] == ["one", "two", "three"]
    assert [m.refused for m in found] == [ListedReason.NO_MODEL, None, None]


@pytest.mark.parametrize("value", ["ORIGINAL\\PRIMARY\\MOSAIC", "derived\\primary\\adc"])
def test_an_image_type_that_the_model_does_not_know_is_refused(value: str) -> None:
    said = answer(a_chest(ImageType=value), image_type_refuses=("MOSAIC", "ADC"))
    assert said.refused is ListedReason.NOT_APPLICABLE
    assert "Image Type says" in said.reason


def test_a_sequence_that_no_description_names_is_said_on_the_picture() -> None:
    wanted = ("contrast-enhanced T1", "t1")
    assert not answer(a_chest(SeriesDescription="T1_mprage"), description_expects=wanted).caveat
    unsaid = answer(a_chest(SeriesDescription="series 3"), description_expects=wanted)
    assert unsaid.refused is None
    assert "contrast-enhanced T1" in unsaid.caveat
