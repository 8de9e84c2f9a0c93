"""A header that is given another patient is still the header of its image."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pydicom
import pytest

from builders import a_job, an_instance
from dicom_images import a_file, an_image
from lightbox.domain.errors import ResultError
from lightbox.results.header.header_bytes import header_of
from lightbox.results.header.patient import sources_of, with_patient

PLACE = {"Rows": 4, "Columns": 4, "PixelSpacing": [0.5, 0.25], "StudyDescription": "Schädel"}
LATIN, UTF_8, GREEK = "ISO_IR 100", "ISO_IR 192", "ISO_IR 126"


def a_header(folder: Path, **attributes: object) -> bytes:
    image = an_image(np.zeros((4, 4), np.uint16), attributes)
    return header_of(a_file(folder / "image.dcm", image))


@pytest.mark.parametrize(
    ("old", "new"), [(LATIN, LATIN), (LATIN, UTF_8), (LATIN, GREEK), (UTF_8, GREEK)]
)
def test_patient_and_nothing_else_is_the_other_s(tmp_path: Path, old: str, new: str) -> None:
    name = "Δοκιμή^Άννα" if new == GREEK else "Prüfung^Änne"
    mine: Mapping[str, object] = {
        "SpecificCharacterSet": old, "PatientName": "Test^Jörg", "PatientID": "1",
        "PatientAge": "070Y", "PatientComments": "of the old one", **PLACE,
    }  # fmt: skip
    other = a_header(
        tmp_path, SpecificCharacterSet=new, PatientName=name, PatientID="2", StudyDescription="no"
    )
    given = with_patient(a_header(tmp_path, **mine), other)
    found = pydicom.dcmread(io.BytesIO(given))
    assert str(found.PatientName) == name
    assert found.PatientID == "2"
    assert "PatientAge" not in found
    assert "PatientComments" not in found
    assert found.StudyDescription == "Schädel"
    assert list(found.PixelSpacing) == [0.5, 0.25]
    assert found.Rows == 4


def test_without_a_change_the_headers_are_what_they_were(tmp_path: Path) -> None:
    header = a_header(tmp_path, PatientName="Test^Anna")
    assert sources_of(a_job(an_instance()), None, lambda _: header) == (header,)


def test_a_patient_that_cannot_be_read_any_more_fails_rather_than_be_the_old_one(
    tmp_path: Path,
) -> None:
    newest = an_instance("newest")

    def headers(path: str) -> bytes:
        return header_of(tmp_path / path)

    a_file(tmp_path / "old.dcm", an_image(np.zeros((4, 4), np.uint16)))
    with pytest.raises(ResultError, match="restore"):
        sources_of(a_job(an_instance(path="old.dcm")), newest, headers)
