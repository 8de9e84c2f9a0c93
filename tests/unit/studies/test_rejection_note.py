from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from builders import a_key_object
from lightbox.domain.errors import UnreadableError
from lightbox.domain.rejection import TITLES
from lightbox.studies.rejection_note import read_rejection_note


def written(folder: Path, note: Dataset) -> Path:
    path = folder / "note.dcm"
    note.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("title", TITLES)
def test_each_title_of_cid_7011_rejects_all_that_the_evidence_names(
    tmp_path: Path, title: str
) -> None:
    note = a_key_object({"1.2.3": ["1.2.3.1", "1.2.3.2"], "1.2.4": ["1.2.4.1"]}, title)
    found = read_rejection_note(written(tmp_path, note))
    assert found is not None
    assert found.title == title
    assert found.images == {"1.2.3": ("1.2.3.1", "1.2.3.2"), "1.2.4": ("1.2.4.1",)}


@pytest.mark.parametrize(
    ("title", "scheme"),
    [("113000", "DCM"), ("113013", "DCM"), ("", "DCM"), ("113001", "99LOCAL")],
)
def test_a_key_object_of_another_title_rejects_nothing(
    tmp_path: Path, title: str, scheme: str
) -> None:
    note = a_key_object({"1.2.3": ["1.2.3.1"]}, title, scheme=scheme)
    assert read_rejection_note(written(tmp_path, note)) is None


def test_what_is_no_uid_is_not_believed(tmp_path: Path) -> None:
    note = a_key_object({"1.2.3": ["1.2.3.1"]})
    study = note.CurrentRequestedProcedureEvidenceSequence[0]
    item = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    item.add_new(0x00081155, "LO", "../elsewhere")
    found = read_rejection_note(written(tmp_path, note))
    assert found is not None
    assert found.images == {}


def test_a_note_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "note.dcm"
    path.write_bytes(b"no DICOM at all")
    with pytest.raises(UnreadableError, match="key object that cannot be read"):
        read_rejection_note(path)


def test_a_note_of_any_length_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "long.dcm"
    with path.open("wb") as file:
        file.truncate(16 * 2**20 + 1)
    with pytest.raises(UnreadableError, match="more than"):
        read_rejection_note(path)
