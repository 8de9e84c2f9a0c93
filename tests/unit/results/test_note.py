"""The note of a study that was not analysed says so, and nothing that looks like a finding."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from explained_builders import a_header, an_explained
from lightbox.domain.errors import ResultError
from lightbox.domain.refusal import Refusal
from lightbox.results.note import note
from lightbox.results.provenance import OWN_DEVICE_UID
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.results.validate import first_errors, validator
from lightbox.results.write import Write
from lightbox.storage.files import Files
from lightbox.storage.folder import FolderStorage


def a_refusal(reason: str = "the image is blank", **header: object) -> Refusal:
    explained = an_explained(a_header(256, 256, **header))
    return Refusal(explained.job, explained.package, reason, "send it again", explained.sources[0])


def test_it_says_that_nothing_was_analysed_and_why() -> None:
    made = pydicom.dcmread(io.BytesIO(note(a_refusal())))
    assert made.SeriesDescription == "AI NOT ANALYSED note"
    assert made.ImageComments == (
        "AI RESULT - NOT FOR PRIMARY DIAGNOSIS. Not analysed: The image is blank. "
        "No result will come. Nothing can be concluded from that."
    )
    assert "DerivationCodeSequence" not in made, "it is no visual explanation"


def test_a_reason_that_is_said_of_the_image_becomes_a_sentence() -> None:
    made = pydicom.dcmread(io.BytesIO(note(a_refusal("shows nothing: all its pixels are equal"))))
    assert "Not analysed: The image shows nothing: all its pixels are equal." in made.ImageComments


def test_it_belongs_to_the_study_and_is_recognised_as_ours() -> None:
    header = a_header()
    made = pydicom.dcmread(io.BytesIO(note(a_refusal())))
    assert (made.PatientID, made.StudyInstanceUID) == (header.PatientID, header.StudyInstanceUID)
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == header.SOPInstanceUID
    assert made.ContributingEquipmentSequence[0].DeviceUID == OWN_DEVICE_UID


def test_it_is_the_same_bytes_again_and_never_taken_for_the_picture() -> None:
    refusal = a_refusal()
    assert note(refusal) == note(refusal)
    picture = SecondaryCapture().write(an_explained())
    assert picture is not None
    ours, theirs = (pydicom.dcmread(io.BytesIO(data)) for data in (note(refusal), picture))
    assert ours.SOPInstanceUID != theirs.SOPInstanceUID
    assert ours.SeriesInstanceUID != theirs.SeriesInstanceUID


@pytest.mark.parametrize("reason", ["x", "a very long reason " * 60])
def test_every_reason_fits_on_it(reason: str) -> None:
    made = pydicom.dcmread(io.BytesIO(note(a_refusal(reason))))
    pixels = made.pixel_array
    corners = [pixels[:80, :150], pixels[:80, -150:], pixels[-40:, :150], pixels[-40:, -150:]]
    assert all(np.ptp(corner.reshape(-1, 3), axis=0).max() == 0 for corner in corners)


def test_it_is_valid_also_for_a_header_full_of_sins() -> None:
    program = validator()
    if program is None:
        pytest.skip("dicom3tools is not installed")
    sins = a_refusal(PatientSex="0000", StudyDate="yesterday", BodyPartExamined=None)
    assert first_errors(program, [note(a_refusal()), note(sins)]) == ["", ""]


def test_without_a_header_there_is_no_note(tmp_path: Path) -> None:
    door = Write([], FolderStorage(tmp_path, Files()))
    with pytest.raises(ResultError):
        door.refuse(replace(a_refusal(), source=b""))
    assert list(tmp_path.rglob("*.dcm")) == []
