"""Promise: results of a de-identified copy hold nothing that the source says of anybody."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import config
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from explained_builders import a_header, an_explained, as_file
from lightbox.domain.errors import NotApplicableError
from lightbox.domain.explained import Explained
from lightbox.ports import ResultWriter
from lightbox.results.parametric_map import ParametricMap
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.results.segmentation import Segmentation
from lightbox.results.structured_report import StructuredReport
from lightbox.results.validate import first_errors, validator
from lightbox.tools.deidentified import Deidentifier

WRITERS: tuple[ResultWriter, ...] = (
    SecondaryCapture(),
    Segmentation(),
    StructuredReport(),
    ParametricMap(fast=True),
)
VALUES = {
    "AE": "LEAK", "AS": "091Y", "CS": "LEAK", "DA": "19190303", "DT": "19190303", "LO": "LEAK",
    "LT": "LEAK", "PN": "LEAK^LEAK", "SH": "LEAK", "ST": "LEAK", "TM": "031313", "UC": "LEAK",
    "UI": "1.2.999.7", "UR": "LEAK", "UT": "LEAK",
}  # fmt: skip
LEAK = re.compile(rb"LEAK|1\.2\.999|19190303|031313|091Y", re.IGNORECASE)
MEANT = {
    "SOPClassUID", "Modality", "BodyPartExamined", "Laterality", "ImageLaterality",
    "SpecificCharacterSet", "PatientOrientation", "PatientPosition", "BurnedInAnnotation",
    "RecognizableVisualFeatures", "LossyImageCompression", "LossyImageCompressionMethod",
}  # fmt: skip
"""They stay, and say nothing of a person."""


def a_telling_header() -> Dataset:
    """Return a header in which every attribute of PS3.6 that can hold text holds something."""
    header = a_header(BodyPartExamined="BRAIN")
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        tells = vr in VALUES and 0x0008 <= tag >> 16 <= 0x0040 and tag & 0xFFFF
        if tells and keyword and keyword not in MEANT:
            header.add(DataElement(tag, vr, VALUES[vr], validation_mode=config.IGNORE))
    item = Dataset()
    item.PatientID = "LEAK"
    header.OtherPatientIDsSequence = [item]
    header.RequestAttributesSequence = [item]
    block = header.private_block(0x0009, "LEAK", create=True)
    block.add_new(1, "LO", "LEAK")
    return header


def deidentified(header: Dataset, folder: Path, run: Deidentifier) -> Explained:
    file = folder / "LEAK.dcm"
    file.write_bytes(as_file(header))
    return run.hide(an_explained(header), run.header(file))


def objects(explained: Explained) -> list[bytes]:
    made = [writer.write(explained) for writer in WRITERS]
    return [data for data in made if data is not None]


def test_no_original_identifier_is_in_any_result(tmp_path: Path) -> None:
    header = a_telling_header()
    assert all(LEAK.search(data) for data in objects(an_explained(header)))
    run = Deidentifier("secret")
    made = objects(deidentified(header, tmp_path, run))
    assert len(made) == len(WRITERS)
    for data in made:
        assert LEAK.search(data) is None, LEAK.findall(data)
    assert LEAK.search(run.header(tmp_path / "LEAK.dcm")) is None


def test_they_say_that_and_how_it_was_done_and_are_valid(tmp_path: Path) -> None:
    made = objects(deidentified(a_telling_header(), tmp_path, Deidentifier("secret")))
    for data in made:
        read = pydicom.dcmread(io.BytesIO(data))
        assert read.PatientIdentityRemoved == "YES"
        assert read.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert read.LongitudinalTemporalInformationModified == "REMOVED"
        assert (read.PatientName, read.PatientID) == ("ANON0001", "ANON0001")
        empty = (read.StudyDate, read.AccessionNumber, str(read.ReferringPhysicianName))
        assert empty == ("", "", "")
    check = validator()
    if check is None:
        pytest.skip("dicom3tools is not installed")
    assert first_errors(check, made) == [""] * len(made)


def test_what_belonged_together_still_does_and_no_other_run_gives_the_same_names(
    tmp_path: Path,
) -> None:
    run, other = Deidentifier("secret"), Deidentifier("another")
    first = deidentified(a_header(), tmp_path, run)
    second = deidentified(a_header(SOPInstanceUID="1.2.3.4", InstanceNumber=13), tmp_path, run)
    stranger = deidentified(a_header(PatientID="P2"), tmp_path, run)
    again = deidentified(a_header(), tmp_path, other)

    def names(explained: Explained) -> tuple[str, str, str]:
        read = pydicom.dcmread(io.BytesIO(objects(explained)[1]))
        return str(read.StudyInstanceUID), str(read.FrameOfReferenceUID), str(read.PatientID)

    assert names(first) == names(second)
    assert names(stranger)[2] == "ANON0002"
    assert names(first)[:2] != names(again)[:2]


def test_the_plane_of_a_frame_stays_and_its_dates_go(tmp_path: Path) -> None:
    position, content, group = Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = [1.0, 2.0, 3.0]
    content.FrameAcquisitionDateTime = "19190303"
    group.PlanePositionSequence, group.FrameContentSequence = [position], [content]
    file = tmp_path / "enhanced.dcm"
    file.write_bytes(as_file(a_header(PerFrameFunctionalGroupsSequence=[group])))
    data = Deidentifier("secret").header(file)
    (kept,) = pydicom.dcmread(io.BytesIO(data)).PerFrameFunctionalGroupsSequence
    assert kept.PlanePositionSequence[0].ImagePositionPatient == [1, 2, 3]
    assert "FrameContentSequence" not in kept


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"BurnedInAnnotation": "YES"}, "says that text is burned into its pixels"),
        ({"Modality": "US"}, "is of modality US and does not say"),
        ({"Modality": "US", "BurnedInAnnotation": "NO"}, ""),
        ({"Modality": "MR"}, ""),
    ],
)
def test_who_may_be_named_in_the_pixels_is_refused(
    tmp_path: Path, changes: dict[str, Any], refused: str
) -> None:
    file = tmp_path / "image.dcm"
    file.write_bytes(as_file(a_header(**changes)))
    run = Deidentifier("secret")
    if not refused:
        assert run.header(file)
        return
    with pytest.raises(NotApplicableError, match=refused):
        run.header(file)
