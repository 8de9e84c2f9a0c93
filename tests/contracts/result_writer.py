"""What every implementation of the ResultWriter port keeps, whichever kind of object it makes.

A test class of an implementation inherits :class:`ResultWriterContract` and gives a fixture
``writer``. The explanation is an audit of an MR image with a plane: every kind applies to it.
"""

from __future__ import annotations

import io
from dataclasses import replace

import pydicom
from pydicom.dataset import Dataset

from explained_builders import a_header, a_package, an_explained
from lightbox.domain.explained import Explained
from lightbox.domain.result import NOT_FOR_DIAGNOSIS
from lightbox.ports import ResultWriter
from lightbox.results.provenance import OWN_DEVICE_UID


def written(writer: ResultWriter, explained: Explained) -> Dataset:
    """Return what a writer makes of an explanation, read back."""
    data = writer.write(explained)
    assert data is not None
    return pydicom.dcmread(io.BytesIO(data))


def text_of(dataset: Dataset) -> str:
    """Return every text of an object, one after the other."""
    return "\n".join(
        str(e.value) for e in dataset.iterall() if e.VR not in ("OB", "OW", "OF", "SQ")
    )


class ResultWriterContract:
    """Subclass it and give a fixture ``writer``."""

    def test_what_is_made_twice_is_the_same_object(self, writer: ResultWriter) -> None:
        explained = an_explained(method="shapley")
        assert writer.write(explained) == writer.write(explained)

    def test_it_belongs_to_the_study_and_the_patient_of_its_source(
        self, writer: ResultWriter
    ) -> None:
        header = a_header()
        made = written(writer, an_explained(header, method="shapley"))
        for keyword in (
            "StudyInstanceUID", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
            "PatientAge", "StudyDate", "StudyTime", "StudyID", "AccessionNumber",
            "ReferringPhysicianName", "StudyDescription",
        ):  # fmt: skip
            assert made[keyword].value == header[keyword].value, keyword

    def test_it_has_a_series_of_its_own_behind_the_others(self, writer: ResultWriter) -> None:
        header = a_header()
        made = written(writer, an_explained(header, method="shapley"))
        assert made.SeriesInstanceUID != header.SeriesInstanceUID
        assert made.SeriesNumber > 9000
        assert made.SeriesDescription.startswith("AI Shapley ")

    def test_it_points_at_its_source(self, writer: ResultWriter) -> None:
        header = a_header()
        made = written(writer, an_explained(header, method="shapley"))
        references = [
            (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
            for item in _items(made)
            if "ReferencedSOPInstanceUID" in item
        ]
        assert (header.SOPClassUID, header.SOPInstanceUID) in references
        assert {uid for _, uid in references} == {header.SOPInstanceUID}

    def test_it_can_be_recognised_as_our_own(self, writer: ResultWriter) -> None:
        made = written(writer, an_explained(method="shapley"))
        equipment = made.ContributingEquipmentSequence[0]
        assert equipment.DeviceUID == OWN_DEVICE_UID
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"

    def test_it_says_what_it_is_not_for(self, writer: ResultWriter) -> None:
        made = written(writer, an_explained(method="shapley"))
        assert NOT_FOR_DIAGNOSIS in text_of(made)

    def test_it_names_model_and_version(self, writer: ResultWriter) -> None:
        made = written(writer, an_explained(method="shapley"))
        assert made.ManufacturerModelName == "brain_tumour_mri"
        assert "1.0.0" in made.SoftwareVersions

    def test_it_names_who_signed_the_model_and_is_an_object_of_its_own_then(
        self, writer: ResultWriter
    ) -> None:
        explained = an_explained(method="shapley")
        signer = "CN=M\u00fcller releases (certificate 0123456789abcdef)"
        by = replace(explained, prediction=replace(explained.prediction, signer=signer))
        named, unsigned = written(writer, by), written(writer, explained)
        words = (
            "brain_tumour_mri 1.0.0, signed by CN=Muller releases (certificate 0123456789abcdef)"
        )
        assert words in named.ContributingEquipmentSequence[0].ContributionDescription
        assert "signed" not in text_of(unsigned)
        assert named.SOPInstanceUID != unsigned.SOPInstanceUID

    def test_another_model_makes_another_object(self, writer: ResultWriter) -> None:
        one = written(writer, an_explained(method="shapley"))
        other = written(writer, an_explained(method="shapley", package=a_package(sha256="cd" * 32)))
        assert one.SOPInstanceUID != other.SOPInstanceUID
        assert one.SeriesInstanceUID != other.SeriesInstanceUID

    def test_its_times_are_those_of_the_job(self, writer: ResultWriter) -> None:
        explained = an_explained(method="shapley")
        later = replace(explained, job=replace(explained.job, placed_at=1_800_000_000.0))
        made = written(writer, later)
        assert (made.ContentDate, made.ContentTime) == ("20270115", "080000.000000")

    def test_the_time_zone_of_the_source_is_kept(self, writer: ResultWriter) -> None:
        explained = an_explained(a_header(TimezoneOffsetFromUTC="+0530"), method="shapley")
        later = replace(explained, job=replace(explained.job, placed_at=1_800_000_000.0))
        made = written(writer, later)
        assert made.TimezoneOffsetFromUTC == "+0530"
        assert made.ContentTime == "133000.000000"

    def test_a_name_in_another_script_keeps_its_bytes(self, writer: ResultWriter) -> None:
        header = a_header(
            SpecificCharacterSet=["", "ISO 2022 IR 87"],
            PatientName="Yamada^Tarou=\u5c71\u7530^\u592a\u90ce",
        )
        made = written(writer, an_explained(header, method="shapley"))
        assert made.PatientName == header.PatientName
        assert list(made.SpecificCharacterSet) == ["", "ISO 2022 IR 87"]

    def test_a_header_full_of_sins_does_not_stop_it(self, writer: ResultWriter) -> None:
        header = a_header(PatientSex="0000", StudyDate="yesterday", PatientAge="old", StudyID=None)
        made = written(writer, an_explained(header, method="shapley"))
        assert made.PatientSex == ""
        assert made.StudyDate == ""
        assert "PatientAge" not in made
        assert made.StudyID == ""

    def test_uids_with_faults_are_repeated_as_they_came(self, writer: ResultWriter) -> None:
        faulty = {"StudyInstanceUID": "1.2.840.007", "SOPInstanceUID": "1.2.03.4"}
        data = writer.write(an_explained(a_header(256, 256, **faulty), method="shapley"))
        assert data is not None
        assert b"1.2.840.007" in data
        assert b"1.2.03.4" in data


def _items(dataset: Dataset) -> list[Dataset]:
    found = []
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                found += [item, *_items(item)]
    return found
