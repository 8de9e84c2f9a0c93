"""Pictures of a series: what they show, what they refer to, and how they are named."""

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
from explained_builders import a_header, a_stack, as_file
from lightbox.domain.explained import Explained
from lightbox.domain.prediction import FrameRef
from lightbox.domain.replaced import Replaced
from lightbox.domain.result import OF_SERIES, Result, ResultKind
from lightbox.results.header.source import key_source
from lightbox.results.header.stack import in_order, planes_of
from lightbox.results.picture.mosaic import mosaic
from lightbox.results.picture.preview import preview
from lightbox.results.picture.slice_words import position_words, slices_line
from lightbox.results.pointing.rejection import Rejection
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.results.slices.mosaic import Mosaic, tiles_of
from lightbox.results.slices.one_slice import OneSlice
from lightbox.results.validate import first_errors, validator
from lightbox.results.write import Write
from lightbox.storage.files import Files
from lightbox.storage.folder import FolderStorage

WRITERS = (SecondaryCapture(), Mosaic(), OneSlice())


def made(folder: Path, explained: Explained) -> list[tuple[Result, Dataset]]:
    results = Write(WRITERS, FolderStorage(folder, Files()), validate=False).write(explained)
    return [(result, pydicom.dcmread(folder / result.path)) for result in results]


def shown(dataset: Dataset) -> list[str]:
    return [str(item.ReferencedSOPInstanceUID) for item in dataset.SourceImageSequence]


def uid(explained: Explained, number: int) -> str:
    return explained.job.instances[number - 1].sop_instance_uid


def test_a_mosaic_refers_to_the_slices_that_it_shows_and_to_no_other() -> None:
    explained = a_stack(12, key=6, further={3: 0.7, 9: 0.8})
    dataset = written(Mosaic(), explained)
    expected = [uid(explained, number) for number in (3, 6, 9)]
    assert shown(dataset) == expected
    (series,) = dataset.ReferencedSeriesSequence
    listed = [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence]
    assert listed == expected
    assert "3 of the 12 slices" in dataset.ImageComments


def test_each_further_slice_gets_a_picture_of_itself(tmp_path: Path) -> None:
    explained = a_stack(12, key=6, further={3: 0.7, 9: 0.8})
    found = made(tmp_path, explained)
    kinds = [result.kind for result, _ in found]
    assert kinds == [
        ResultKind.SECONDARY_CAPTURE, ResultKind.MOSAIC, ResultKind.SLICE, ResultKind.SLICE,
    ]  # fmt: skip
    assert len({result.sop_instance_uid for result, _ in found}) == 4
    slices = [dataset for result, dataset in found if result.kind is ResultKind.SLICE]
    assert [shown(dataset) for dataset in slices] == [[uid(explained, 3)], [uid(explained, 9)]]
    assert [int(dataset.InstanceNumber) for dataset in slices] == [3, 9]
    assert "70 % in this slice" in slices[0].ImageComments
    assert "the key slice is instance 6 (93 %)" in slices[0].ImageComments
    key = found[0][1]
    assert {d.SeriesInstanceUID for d in slices} == {key.SeriesInstanceUID}
    assert {d.SeriesDescription for d in slices} == {key.SeriesDescription}
    assert {d.SeriesNumber for d in slices} == {key.SeriesNumber}


def test_each_picture_of_a_series_can_be_looked_at_in_the_console(tmp_path: Path) -> None:
    for result, dataset in made(tmp_path, a_stack()):
        assert preview(tmp_path / result.shown_in).startswith(b"\x89PNG")
        assert dataset.BurnedInAnnotation == "NO"


def test_a_series_with_one_key_slice_gets_its_picture_and_nothing_else(tmp_path: Path) -> None:
    (only,) = made(tmp_path, replace(a_stack(), slices=()))
    assert only[0].kind is ResultKind.SECONDARY_CAPTURE


def test_the_picture_of_the_key_slice_is_the_same_whether_others_are_shown_or_not() -> None:
    explained = a_stack()
    alone = SecondaryCapture().write(replace(explained, slices=()))
    assert SecondaryCapture().write(explained) == alone


def test_a_repetition_makes_the_same_bytes(tmp_path: Path) -> None:
    first = [result.sha256 for result, _ in made(tmp_path / "a", a_stack())]
    assert [result.sha256 for result, _ in made(tmp_path / "b", a_stack())] == first


def test_what_one_source_says_of_its_pixels_holds_for_the_mosaic() -> None:
    explained = a_stack(6, key=2, further={5: 0.8})
    lossy = as_file(
        a_header(
            SOPInstanceUID=uid(explained, 5),
            InstanceNumber=5,
            BurnedInAnnotation="YES",
            LossyImageCompression="01",
            LossyImageCompressionRatio="12",
        )
    )
    sources = (*explained.sources[:4], lossy, explained.sources[5])
    dataset = written(Mosaic(), replace(explained, sources=sources))
    assert dataset.BurnedInAnnotation == "YES"
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionRatio) == ("01", 12)


def test_slices_stand_in_the_order_of_the_patient_however_they_are_numbered() -> None:
    explained = a_stack(12, key=6, further={3: 0.7, 9: 0.8})
    sources = explained.sources[::-1]
    instances = explained.job.instances[::-1]
    turned = replace(explained, job=replace(explained.job, instances=instances), sources=sources)
    assert [tile.source.text("InstanceNumber") for tile in tiles_of(turned)] == ["3", "6", "9"]
    assert np.array_equal(mosaic(turned, tiles_of(turned)), mosaic(explained, tiles_of(explained)))


def test_frames_without_a_place_stay_in_the_order_in_which_they_are_read() -> None:
    explained = a_stack(4, key=2, further={4: 0.8}, orientation=None)
    planes = planes_of(explained.job.instances, explained.sources)
    assert in_order(planes) == tuple(FrameRef(uid(explained, n)) for n in range(1, 5))
    assert "in the order of the series" in slices_line(
        explained, [tile.source for tile in tiles_of(explained)]
    )


@pytest.mark.parametrize(
    ("orientation", "words", "order"),
    [
        ((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), "H 10.0 mm", "from feet to head"),
        ((1.0, 0.0, 0.0, 0.0, -1.0, 0.0), "F 10.0 mm", "from head to feet"),
        ((0.0, 1.0, 0.0, 0.0, 0.0, -1.0), "R 10.0 mm", "from left to right"),
        ((1.0, 0.0, 0.0, 0.0, 0.0, -1.0), "P 10.0 mm", "from front to back"),
    ],
)
def test_a_place_is_named_as_scanners_do(
    orientation: tuple[float, ...], words: str, order: str
) -> None:
    explained = a_stack(8, key=6, further={8: 0.8}, orientation=orientation)
    assert position_words(key_source(explained)) == words
    assert order in slices_line(explained, [tile.source for tile in tiles_of(explained)])


def test_an_animal_has_no_head_and_feet() -> None:
    explained = a_stack(8, key=6, further={8: 0.8}, AnatomicalOrientationType="QUADRUPED")
    assert position_words(key_source(explained)) == "10.0 mm"
    assert "head" not in slices_line(explained, [t.source for t in tiles_of(explained)])


def test_a_mirrored_map_of_one_slice_is_another_picture() -> None:
    explained = a_stack(12, key=6, further={3: 0.7})
    (one,) = explained.slices
    turned = np.ascontiguousarray(one.attribution.source_map[:, ::-1])
    mirrored = replace(one, attribution=replace(one.attribution, source_map=turned))
    other = replace(explained, slices=(mirrored,))
    assert not np.array_equal(
        mosaic(explained, tiles_of(explained)), mosaic(other, tiles_of(other))
    )


def test_a_successor_names_each_picture_that_it_replaces(tmp_path: Path) -> None:
    old = a_stack(12, key=6, further={3: 0.7, 9: 0.8})
    before = made(tmp_path, old)
    results = tuple(result for result, _ in before)
    later = a_stack(12, key=6, further={3: 0.72, 9: 0.81}, ImageComments="sent again")
    new = replace(later, replaces=Replaced(old.job, old.prediction, results, NOON + 3))
    for result, dataset in made(tmp_path / "new", new):
        named = {str(item.ReferencedSOPInstanceUID) for item in dataset.ReferencedImageSequence}
        every = result.kind is ResultKind.SECONDARY_CAPTURE
        same = {r.sop_instance_uid for r in results if every or r.kind is result.kind}
        assert named == same
        assert "now glioma 93 %" in dataset.ImageComments.lower()
    rejected = written(Rejection(), new)
    (study,) = rejected.CurrentRequestedProcedureEvidenceSequence
    listed = {
        str(item.ReferencedSOPInstanceUID): str(series.SeriesInstanceUID)
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert {r.sop_instance_uid for r in results} <= listed.keys()
    for result, dataset in before:
        assert listed[result.sop_instance_uid] == dataset.SeriesInstanceUID


@pytest.mark.skipif(validator() is None, reason="dicom3tools is not installed")
def test_pictures_of_a_series_are_valid() -> None:
    explained = a_stack()
    data = [Mosaic().write(explained)]
    data += [OneSlice().write(explained.of_slice(one)) for one in explained.slices]
    checked = [one for one in data if one is not None]
    assert len(checked) == 4
    looked_at = validator()
    assert looked_at is not None
    assert first_errors(looked_at, checked) == ["", "", "", ""]


def test_pictures_of_a_series_are_named_in_no_other_kind() -> None:
    assert Mosaic().kind in OF_SERIES
    assert OneSlice().kind in OF_SERIES
    assert OneSlice().write(a_stack()) is None
    dataset = pydicom.dcmread(io.BytesIO(Mosaic().write(a_stack()) or b""))
    assert (dataset.SeriesNumber, dataset.SeriesDescription) == (9005, "AI Grad-CAM mosaic")


def test_slices_are_looked_at_only_where_somebody_asks_for_them(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path, Files())
    door = Write((SecondaryCapture(),), storage)
    assert not door.needs_slices
    door.configure(WRITERS)
    assert door.needs_slices
