"""Our encoder writes the very bytes that pydicom writes."""

from __future__ import annotations

import io
import struct

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config
from pydicom.charset import python_encoding
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite, write_dataset

from contracts.result_writer import written
from explained_builders import an_explained
from lightbox.ports import ResultWriter
from lightbox.results.encoding.data_set import parts_of
from lightbox.results.parametric_map import ParametricMap
from lightbox.results.pointing.key_images import KeyImages
from lightbox.results.provenance import to_file
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.results.segmentation import Segmentation
from lightbox.results.structured_report import StructuredReport


def by_pydicom(dataset: Dataset) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, dataset)
    return bytes(stream.getvalue())


def ours(dataset: Dataset) -> bytes:
    return b"".join(parts_of(dataset))


@pytest.mark.parametrize(
    "writer",
    [
        SecondaryCapture(), Segmentation(), StructuredReport(), ParametricMap(), KeyImages(),
    ],
    ids=lambda writer: writer.kind,
)  # fmt: skip
def test_a_result_has_the_bytes_that_pydicom_writes(writer: ResultWriter) -> None:
    explained = an_explained(method="shapley")
    made = writer.write(explained)
    assert made is not None
    buffer = io.BytesIO()
    dcmwrite(buffer, pydicom.dcmread(io.BytesIO(made)), enforce_file_format=True)
    assert buffer.getvalue() == made
    assert to_file(written(writer, explained)) == made


NO_LETTERS_OF_OURS = {"ISO 2022 IR 87", "ISO 2022 IR 159"}
"""Alone they have no plain letters for pydicom, which would write question marks."""


@pytest.mark.parametrize("term", sorted(set(python_encoding) - {""} - NO_LETTERS_OF_OURS))
def test_letters_are_those_of_the_character_set_at_every_depth(term: str) -> None:
    dataset, item = Dataset(), Dataset()
    dataset.SpecificCharacterSet = term
    item.CodeMeaning = "odd ~ letters {}"
    dataset.PatientName = "Some^Body"
    dataset.PatientComments = "even \\ ~ [letters]|"
    dataset.StudyDescription = "a study"
    dataset.ProcedureCodeSequence = [item]
    assert ours(dataset) == by_pydicom(dataset)


@pytest.mark.parametrize("term", sorted(NO_LETTERS_OF_OURS))
def test_plain_letters_stay_where_the_character_set_has_none(term: str) -> None:
    dataset = Dataset()
    dataset.SpecificCharacterSet = term
    dataset.StudyDescription = "a study"
    assert ours(dataset).endswith(b"a study ")


def test_names_in_other_letters_are_left_to_pydicom() -> None:
    dataset = Dataset()
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.PatientName = "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce"
    dataset.StudyDescription = "\u00e9\u00e8"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    assert ours(dataset) == by_pydicom(dataset)


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "PatientID": st.text(st.characters(codec="ascii", categories=["L", "N", "Zs"])),
        "SOPInstanceUID": st.sampled_from(["1.2", "1.2.3", ""]),
        "ImageType": st.lists(st.sampled_from(["DERIVED", "SECONDARY", "A"]), max_size=4),
        "SeriesNumber": st.one_of(st.none(), st.integers(0, 9999)),
        "PixelSpacing": st.lists(st.sampled_from([0.5, 1.0, 0.123456789]), max_size=2),
        "SliceThickness": st.sampled_from(["5.000", 5.0, None, ""]),
        "Rows": st.integers(0, 65535),
        "RecommendedDisplayCIELabValue": st.lists(st.integers(0, 65535), max_size=3),
        "FloatingPointValue": st.floats(allow_nan=False),
        "GraphicData": st.lists(st.floats(0, 512, width=32), max_size=5),
        "TagAngleSecondAxis": st.integers(-(2**15), 2**15 - 1),
        "ReferencedFrameNumber": st.lists(st.integers(1, 9), min_size=1, max_size=3),
        "DimensionIndexPointer": st.just("ImagePositionPatient"),
        "StudyDate": st.sampled_from(["20260901", None, ""]),
        "TextValue": st.sampled_from(["", "words"]),
        "PixelData": st.binary(min_size=2, max_size=2),
        "ICCProfile": st.binary(max_size=3),
    },
)  # fmt: skip


@given(values=VALUES, items=st.lists(VALUES, max_size=2))
def test_any_value_has_the_bytes_that_pydicom_writes(
    values: dict[str, object], items: list[dict[str, object]]
) -> None:
    def built(found: dict[str, object]) -> Dataset:
        dataset = Dataset()
        dataset.BitsAllocated = 8
        for keyword, value in found.items():
            setattr(dataset, keyword, value)
        return dataset

    dataset = built(values)
    dataset.SharedFunctionalGroupsSequence = [built(item) for item in items]
    assert ours(dataset) == by_pydicom(dataset)


def test_what_was_read_and_never_looked_at_is_written_as_it_was() -> None:
    made = SecondaryCapture().write(an_explained())
    assert made is not None
    read = pydicom.dcmread(io.BytesIO(made))
    assert ours(Dataset(read)) == by_pydicom(read)


def test_a_text_that_is_too_long_for_its_length_is_marked_unknown_as_pydicom_does() -> None:
    dataset = Dataset()
    dataset.ContourData = ["1.5"] * 40000
    with pytest.warns(UserWarning, match="64 kByte"):
        theirs = by_pydicom(dataset)
    with pytest.warns(UserWarning, match="64 kByte"):
        assert ours(dataset) == theirs


def test_a_long_text_has_a_long_length() -> None:
    dataset = Dataset()
    dataset.TextValue = "x" * 70001
    assert ours(dataset) == by_pydicom(dataset)


def test_a_value_that_does_not_fit_is_an_error() -> None:
    dataset = Dataset()
    dataset.add(DataElement("Rows", "US", 70000, validation_mode=config.IGNORE))
    with pytest.raises(struct.error):
        ours(dataset)
