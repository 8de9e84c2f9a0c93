"""The door: what is stored where, what a normal study gets, and what an invalid object does."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from explained_builders import an_explained
from lightbox.domain.errors import ResultError
from lightbox.domain.explained import Explained
from lightbox.domain.result import ResultKind
from lightbox.ports import ResultWriter
from lightbox.results.picture.png import png
from lightbox.results.picture.preview import preview
from lightbox.results.pointing.key_images import KeyImages
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.results.segmentation import Segmentation
from lightbox.results.structured_report import StructuredReport
from lightbox.results.validate import first_errors, validator
from lightbox.results.write import Negative, Write, warm
from lightbox.storage.files import Files
from lightbox.storage.folder import FolderStorage

needs_dicom3tools = pytest.mark.skipif(validator() is None, reason="dicom3tools is not installed")


def folder(root: Path) -> FolderStorage:
    return FolderStorage(root, Files())


@dataclass
class Broken:
    """A writer whose object is not valid."""

    kind: ResultKind = field(default=ResultKind.SECONDARY_CAPTURE)

    def write(self, explained: Explained) -> bytes | None:
        data = SecondaryCapture().write(explained)
        assert data is not None
        dataset = pydicom.dcmread(io.BytesIO(data))
        del dataset.PhotometricInterpretation
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        return buffer.getvalue()


def test_each_result_is_a_file_under_the_day_of_its_job(tmp_path: Path) -> None:
    results = Write([SecondaryCapture(), Segmentation()], folder(tmp_path)).write(an_explained())
    assert [r.kind for r in results] == [ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION]
    for result in results:
        data = (tmp_path / result.path).read_bytes()
        assert result.path == f"results/20260921/{result.sop_instance_uid}.dcm"
        assert (result.sha256, result.size_bytes) == (sha256(data).hexdigest(), len(data))
        assert pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID == result.sop_instance_uid


def test_the_preview_shows_the_picture(tmp_path: Path) -> None:
    (result,) = Write([SecondaryCapture()], folder(tmp_path)).write(an_explained())
    shown = np.asarray(Image.open(io.BytesIO(preview(tmp_path / result.shown_in))))
    picture = pydicom.dcmread(tmp_path / result.path).pixel_array
    assert np.array_equal(shown, picture)


@pytest.mark.parametrize("left", [0, 200, 5000])
def test_a_picture_that_was_damaged_on_disk_is_said(tmp_path: Path, left: int) -> None:
    (result,) = Write([SecondaryCapture()], folder(tmp_path)).write(an_explained())
    file = tmp_path / result.shown_in
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(ResultError, match=f"{file.name}: is damaged on disk"):
        preview(file)


def test_a_png_that_an_earlier_version_wrote_is_shown_as_it_is(tmp_path: Path) -> None:
    (result,) = Write([SecondaryCapture()], folder(tmp_path)).write(an_explained())
    earlier = replace(result, preview="results/a.png")
    (tmp_path / earlier.shown_in).write_bytes(b"png")
    assert preview(tmp_path / earlier.shown_in) == b"png"


def test_each_object_is_made_in_a_turn_of_its_own(tmp_path: Path) -> None:
    turns: list[str] = []

    @contextmanager
    def turn() -> Iterator[None]:
        turns.append("begins")
        yield
        turns.append("ends")

    Write([SecondaryCapture(), Segmentation()], folder(tmp_path)).write(an_explained(), turn)
    assert turns == ["begins", "ends"] * 2


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    door = Write([SecondaryCapture(), Segmentation()], folder(tmp_path))
    assert door.write(an_explained()) == door.write(an_explained())
    assert len(list(tmp_path.rglob("*.dcm"))) == 2
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("negative", "kinds"),
    [
        ("picture", [ResultKind.SECONDARY_CAPTURE, ResultKind.STRUCTURED_REPORT]),
        ("report", [ResultKind.STRUCTURED_REPORT]),
        ("none", []),
    ],
)
def test_a_normal_study_gets_what_the_site_chose(
    tmp_path: Path, negative: Negative, kinds: list[ResultKind]
) -> None:
    writers: list[ResultWriter] = [SecondaryCapture(), Segmentation(), StructuredReport()]
    door = Write(writers, folder(tmp_path), negative=negative)
    assert [r.kind for r in door.write(an_explained(target=2))] == kinds


def test_what_a_destination_asks_for_since_is_made_from_the_next_job_on(tmp_path: Path) -> None:
    door = Write([SecondaryCapture()], folder(tmp_path))
    door.configure([SecondaryCapture(), KeyImages()])
    kinds = [result.kind for result in door.write(an_explained())]
    assert kinds == [ResultKind.SECONDARY_CAPTURE, ResultKind.KEY_IMAGES]


@needs_dicom3tools
def test_an_invalid_object_is_not_stored_and_its_first_error_is_named(tmp_path: Path) -> None:
    door = Write([Segmentation(), Broken()], folder(tmp_path))
    with pytest.raises(ResultError, match="PhotometricInterpretation"):
        door.write(an_explained())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_without_validation_an_object_goes_as_it_is(tmp_path: Path) -> None:
    door = Write([Broken()], folder(tmp_path), validate=False)
    assert len(door.write(an_explained())) == 1


def test_a_validator_that_cannot_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="dciodvfy"):
        first_errors(str(tmp_path / "nothing"), [b""])


def test_a_png_of_ours_is_read_by_others() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (37, 51, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(picture)))), picture)


def test_after_warming_the_first_segmentation_reads_no_table_any_more() -> None:
    from highdicom import _standard_utils as tables

    warm()
    kept = (
        tables.get_sop_class_iod_map,
        tables.get_iod_module_map,
        tables.get_module_attribute_map,
        tables.get_anatomic_region_map,
    )
    before = [table.cache_info().misses for table in kept]
    assert all(before)
    Segmentation().write(an_explained())
    assert [table.cache_info().misses for table in kept] == before


def test_warming_can_be_done_twice() -> None:
    warm()
    warm()


def test_kinds_that_change_while_a_job_is_written_count_from_the_next_one(tmp_path: Path) -> None:
    door = Write([SecondaryCapture(), Segmentation()], folder(tmp_path))

    @contextmanager
    def turn() -> Iterator[None]:
        door.configure([StructuredReport()])
        yield

    kinds = [result.kind for result in door.write(an_explained(), turn)]
    assert kinds == [ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION]
    assert [r.kind for r in door.write(an_explained())] == [ResultKind.STRUCTURED_REPORT]
