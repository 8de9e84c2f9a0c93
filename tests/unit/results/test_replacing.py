"""A result that replaces another says so: in words, by reference, and to whom it may concern."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from builders import NOON
from contracts.result_writer import written
from explained_builders import a_header, a_package, an_explained
from lightbox.domain.explained import Explained
from lightbox.domain.replaced import Replaced
from lightbox.domain.result import Result, ResultKind
from lightbox.ports import ResultWriter
from lightbox.results.header.source import key_source
from lightbox.results.parametric_map import ParametricMap
from lightbox.results.picture.render import render
from lightbox.results.pointing.rejection import Rejection
from lightbox.results.replacing.sentence import replaces_sentence
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.results.segmentation import Segmentation
from lightbox.results.structured_report import StructuredReport
from lightbox.results.validate import first_errors, validator
from lightbox.results.write import Negative, Write
from lightbox.storage.files import Files
from lightbox.storage.folder import FolderStorage

WRITERS: tuple[ResultWriter, ...] = (
    SecondaryCapture(),
    Segmentation(),
    StructuredReport(),
    ParametricMap(fast=True),
)


def objects_of(explained: Explained, *writers: ResultWriter) -> dict[ResultKind, Dataset]:
    made: dict[ResultKind, Dataset] = {}
    for writer in writers or WRITERS:
        data = writer.write(explained)
        if data is not None:
            made[writer.kind] = pydicom.dcmread(io.BytesIO(data))
    return made


def a_successor(
    old: Explained, new: Explained | None = None, *, contradicted: bool = False
) -> Explained:
    """Return an explanation of other bytes of the same image, which replaces the old one."""
    results = tuple(
        Result(kind, str(o.SOPClassUID), str(o.SOPInstanceUID), "", "", 1)
        for kind, o in objects_of(old).items()
    )
    replaced = Replaced(old.job, old.prediction, results, NOON + 3, contradicted=contradicted)
    new = new or an_explained(a_header(ImageComments="sent again"), confidence=0.93)
    return replace(new, replaces=replaced)


OLD = an_explained(confidence=0.62, target=1)


def test_the_sentence_says_which_what_then_and_what_now() -> None:
    assert replaces_sentence(a_successor(OLD)) == (
        "the result of 2026-09-21 14:13:23 UTC, which said Meningioma 62 % (1 image); "
        "now Glioma 93 % (1 image, 1 of them changed)"
    )


def test_the_sentence_counts_images_and_names_another_version() -> None:
    old = replace(OLD, job=replace(OLD.job, instances=OLD.job.instances * 1))
    two = (*OLD.job.instances, replace(OLD.job.instances[0], sop_instance_uid="1.2.3.9"))
    new = an_explained(confidence=0.93, package=a_package(sha256="cd" * 32, version="2.0.0"))
    new = replace(new, job=replace(new.job, instances=two))
    assert replaces_sentence(a_successor(old, new)).endswith(
        "(1 image); now Glioma 93 % (2 images); by version 2.0.0 of the model instead of 1.0.0"
    )


def test_what_replaces_nothing_says_nothing() -> None:
    assert replaces_sentence(OLD) == ""
    for made in objects_of(OLD).values():
        assert "PredecessorDocumentsSequence" not in made
        assert "ReferencedImageSequence" not in made
    assert Rejection().write(OLD) is None


def test_the_picture_shows_the_sentence() -> None:
    new = a_successor(OLD)
    plain = render(replace(new, replaces=None), key_source(new))
    said = render(new, key_source(new))
    assert said.shape[0] > plain.shape[0]
    made = objects_of(new)[ResultKind.SECONDARY_CAPTURE]
    assert f"REPLACES: {replaces_sentence(new)}" in made.ImageComments


def test_each_image_names_the_one_that_it_replaces_and_the_picture_names_all() -> None:
    before, after = objects_of(OLD), objects_of(a_successor(OLD))
    for kind in (ResultKind.SEGMENTATION, ResultKind.PARAMETRIC_MAP):
        (reference,) = after[kind].ReferencedImageSequence
        assert reference.ReferencedSOPInstanceUID == before[kind].SOPInstanceUID
    named = {
        item.ReferencedSOPInstanceUID
        for item in after[ResultKind.SECONDARY_CAPTURE].ReferencedImageSequence
    }
    assert named == {
        before[kind].SOPInstanceUID for kind in before if kind is not ResultKind.STRUCTURED_REPORT
    }


def test_the_series_that_are_listed_are_those_of_the_replaced_objects_and_the_source_is_first() -> (
    None
):
    before, after = objects_of(OLD), objects_of(a_successor(OLD))
    listed = {
        (item.SeriesInstanceUID, instance.ReferencedSOPInstanceUID)
        for item in after[ResultKind.SECONDARY_CAPTURE].ReferencedSeriesSequence
        for instance in item.ReferencedInstanceSequence
    }
    for kind, made in before.items():
        if kind is not ResultKind.STRUCTURED_REPORT:
            assert (made.SeriesInstanceUID, made.SOPInstanceUID) in listed
    first = after[ResultKind.SEGMENTATION].ReferencedSeriesSequence[0]
    assert first.SeriesInstanceUID == a_header().SeriesInstanceUID


def test_the_report_names_its_predecessor_as_a_replaced_report() -> None:
    before, after = objects_of(OLD), objects_of(a_successor(OLD))
    report = before[ResultKind.STRUCTURED_REPORT]
    (study,) = after[ResultKind.STRUCTURED_REPORT].PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (item,) = series.ReferencedSOPSequence
    assert study.StudyInstanceUID == report.StudyInstanceUID
    assert series.SeriesInstanceUID == report.SeriesInstanceUID
    assert item.ReferencedSOPInstanceUID == report.SOPInstanceUID
    assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "121360"


def test_the_rejection_note_rejects_everything_that_is_replaced() -> None:
    before = objects_of(OLD)
    note = written(Rejection(), a_successor(OLD))
    assert note.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.59"
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    rejected = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID: item.ValueType
        for item in note.ContentSequence
        if "ReferencedSOPSequence" in item
    }
    assert set(rejected) == {made.SOPInstanceUID for made in before.values()}
    assert rejected[before[ResultKind.STRUCTURED_REPORT].SOPInstanceUID] == "COMPOSITE"
    evidence = note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert {series.SeriesInstanceUID for series in evidence} == {
        made.SeriesInstanceUID for made in before.values()
    }


@pytest.mark.skipif(validator() is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize("method", ["grad_cam", "shapley"])
def test_every_object_of_a_successor_is_valid(method: str) -> None:
    new = a_successor(an_explained(method=method), an_explained(a_header(), method=method))
    made = [writer.write(new) for writer in (*WRITERS, Rejection())]
    program = validator()
    assert program is not None
    objects = [data for data in made if data is not None]
    assert first_errors(program, objects) == [""] * 5


def test_what_a_successor_is_called_does_not_hang_on_what_it_replaces() -> None:
    new = a_successor(OLD)
    alone = objects_of(replace(new, replaces=None))
    for kind, made in objects_of(new).items():
        assert made.SOPInstanceUID == alone[kind].SOPInstanceUID
        assert made.SeriesInstanceUID == alone[kind].SeriesInstanceUID


# ------------------------------------------------------------------------- negative successors
@pytest.mark.parametrize(
    ("negative", "kinds"),
    [
        ("picture", {ResultKind.SECONDARY_CAPTURE, ResultKind.STRUCTURED_REPORT}),
        ("none", {ResultKind.SECONDARY_CAPTURE, ResultKind.STRUCTURED_REPORT}),
    ],
)
def test_what_was_shown_is_corrected_even_where_normal_studies_get_nothing(
    tmp_path: Path, negative: Negative, kinds: set[ResultKind]
) -> None:
    new = a_successor(OLD, an_explained(target=2))
    door = Write(
        [*WRITERS, Rejection()], FolderStorage(tmp_path, Files()), validate=False, negative=negative
    )
    assert {r.kind for r in door.write(new)} == {*kinds, ResultKind.KEY_OBJECT}


def test_a_normal_study_that_replaces_nothing_gets_what_the_site_chose(tmp_path: Path) -> None:
    door = Write(
        [*WRITERS, Rejection()], FolderStorage(tmp_path, Files()), validate=False, negative="none"
    )
    assert door.write(an_explained(target=2)) == ()


# --------------------------------------------------------------- audits that contradict the picture
def an_audit(agreement: float) -> Explained:
    audit = an_explained(method="shapley")
    fast = an_explained().attribution
    measured = replace(audit.attribution, quality={"agreement": agreement})
    return replace(audit, attribution=measured, fast=fast)


def test_an_audit_that_contradicts_says_so_in_its_series_description() -> None:
    made = objects_of(an_audit(-0.4))
    picture = made[ResultKind.SECONDARY_CAPTURE]
    assert picture.SeriesDescription == "AI Shapley DISAGREES with the Grad-CAM picture: picture"
    for other in made.values():
        assert other.SeriesDescription.startswith("AI Shapley DISAGREES")
        assert len(other.SeriesDescription) <= 64


def test_an_audit_that_agrees_is_filed_as_ever_and_apart_from_one_that_does_not() -> None:
    agrees = objects_of(an_audit(0.8))[ResultKind.SECONDARY_CAPTURE]
    contradicts = objects_of(an_audit(-0.4))[ResultKind.SECONDARY_CAPTURE]
    assert agrees.SeriesDescription == "AI Shapley picture"
    assert agrees.SeriesInstanceUID != contradicts.SeriesInstanceUID


def test_what_replaces_a_contradicting_audit_finds_its_series() -> None:
    old = an_audit(-0.4)
    new = a_successor(old, an_audit(0.8), contradicted=True)
    before = objects_of(old)[ResultKind.SECONDARY_CAPTURE]
    listed = objects_of(new)[ResultKind.SECONDARY_CAPTURE].ReferencedSeriesSequence
    assert before.SeriesInstanceUID in {item.SeriesInstanceUID for item in listed}


def test_pixels_of_a_successor_are_the_picture_that_was_rendered() -> None:
    new = a_successor(OLD)
    made = objects_of(new)[ResultKind.SECONDARY_CAPTURE]
    assert np.array_equal(made.pixel_array, render(new, key_source(new)))
