"""Headers are cleaned, never refused; a plane is the source's own or says that it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from explained_builders import a_header, an_explained, as_file
from lightbox.domain.errors import ResultError
from lightbox.results.header.cleaning import copy_clean
from lightbox.results.header.plane import plane_of
from lightbox.results.header.source import key_source, read_header
from lightbox.results.header.text import ascii_text


def read(**changes: object) -> Dataset:
    return read_header(as_file(a_header(256, 256, **changes)))


def test_padding_with_nul_is_stripped() -> None:
    cleaned = copy_clean(read(StudyID="S1\0\0", PatientName="A^B\0"), ["StudyID", "PatientName"])
    assert (cleaned.StudyID, cleaned.PatientName) == ("S1", "A^B")


@pytest.mark.parametrize("sex", ["0000", "unknown", "X", "\0"])
def test_a_sex_that_the_standard_does_not_know_is_left_empty(sex: str) -> None:
    assert copy_clean(read(PatientSex=sex), ["PatientSex"]).PatientSex == ""


def test_what_is_not_valid_for_its_representation_is_left_out() -> None:
    cleaned = copy_clean(
        read(PatientAge="old", StudyDescription="fine"), ["PatientAge", "StudyDescription"]
    )
    assert "PatientAge" not in cleaned
    assert cleaned.StudyDescription == "fine"


def test_a_code_without_a_meaning_is_no_code() -> None:
    item = Dataset()
    item.CodeValue = "1"
    item.CodingSchemeDesignator = "99X"
    keywords = ["ProcedureCodeSequence"]
    assert "ProcedureCodeSequence" not in copy_clean(read(ProcedureCodeSequence=[item]), keywords)
    item.CodeMeaning = "one"
    assert "ProcedureCodeSequence" in copy_clean(read(ProcedureCodeSequence=[item]), keywords)


def test_what_was_de_identified_stays_so() -> None:
    explained = an_explained(a_header(PatientIdentityRemoved="YES"))
    patient = key_source(explained).patient_study
    assert patient.PatientIdentityRemoved == "YES"
    assert patient.DeidentificationMethod


def test_a_sex_in_small_letters_is_understood() -> None:
    assert copy_clean(read(PatientSex="m "), ["PatientSex"]).PatientSex == "M"


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ("ISO-IR 100", "ISO_IR 100"),
        ("ISO_IR 192", "ISO_IR 192"),
        (["", "iso 2022 ir 87"], ["", "ISO 2022 IR 87"]),
        ("LATIN1", None),
    ],
)
def test_a_misspelt_character_set_is_understood(stated: object, meant: object) -> None:
    cleaned = copy_clean(read(SpecificCharacterSet=stated), ["SpecificCharacterSet"])
    assert (cleaned.SpecificCharacterSet or None) == meant


def test_what_cannot_be_read_is_an_error_of_ours() -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    buffer = DicomBytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(buffer, meta)
    with pytest.raises(ResultError, match="source header"):
        read_header(buffer.getvalue() + b"not deflated at all")


def test_a_real_plane_is_kept() -> None:
    plane = plane_of(read(), 1, (256, 256), None)
    assert plane.is_real
    assert plane.position == (-120.0, -110.0, 30.0)
    assert plane.spacing == (0.9, 0.9)
    assert plane.distance == pytest.approx(30.0)


@pytest.mark.parametrize(
    "sin",
    [
        {"PixelSpacing": [0.0, 0.0]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImageOrientationPatient": None},
        {"ImagePositionPatient": None},
    ],
)
def test_half_a_plane_is_none_and_becomes_a_nominal_one(sin: dict[str, object]) -> None:
    plane = plane_of(read(**sin), 1, (256, 256), (0.4, 0.4))
    assert not plane.is_real
    assert plane.position == (0.0, 0.0, 0.0)
    assert plane.spacing == (0.4, 0.4)
    assert plane.frame_of_reference_uid != a_header().FrameOfReferenceUID


def test_a_plane_without_a_frame_of_reference_gets_one_for_its_series() -> None:
    plane = plane_of(read(FrameOfReferenceUID=None), 1, (256, 256), None)
    other = plane_of(read(FrameOfReferenceUID="", SOPInstanceUID="1.2.3"), 1, (256, 256), None)
    assert plane.is_real
    assert plane.position == (-120.0, -110.0, 30.0)
    assert plane.frame_of_reference_uid == other.frame_of_reference_uid


def test_a_frame_of_an_enhanced_image_has_its_own_plane() -> None:
    header = a_header(ImagePositionPatient=None, NumberOfFrames=2)
    groups = []
    for z in (5.0, 9.0):
        position, group = Dataset(), Dataset()
        position.ImagePositionPatient = [0.0, 0.0, z]
        group.PlanePositionSequence = [position]
        groups.append(group)
    header.PerFrameFunctionalGroupsSequence = groups
    assert plane_of(read_header(as_file(header)), 2, (256, 256), None).position == (0, 0, 9)


@given(st.text(max_size=200), st.integers(1, 64))
def test_our_own_words_fit_every_archive(text: str, limit: int) -> None:
    folded = ascii_text(text, limit)
    assert folded.isascii()
    assert len(folded) <= limit
    assert "\\" not in folded
    assert folded.isprintable()


def test_umlauts_become_letters() -> None:
    assert ascii_text("Gr\u00f6\u00dfe \u2013 \u00b12 \u00b5m") == "Grosse - +/-2 um"
