"""The lesion that a network outlined: in source pixels, measured, never taken for where one looked."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from contracts.result_writer import text_of, written
from explained_builders import a_header, a_lesion, a_package, an_explained, as_file
from lightbox.domain.arrays import Mask
from lightbox.domain.errors import ResultError
from lightbox.domain.explained import Explained
from lightbox.domain.lesion import Lesion, LesionPlane
from lightbox.domain.model_package import Code
from lightbox.domain.prediction import FrameRef
from lightbox.domain.result import NOT_FOR_DIAGNOSIS
from lightbox.results.lesion.lesion_segmentation import LesionSegmentation
from lightbox.results.lesion.size import size_of, size_words
from lightbox.results.outline import longest_line, parts
from lightbox.results.segmentation import Segmentation
from lightbox.results.structured_report import StructuredReport

TRAINING = Path("../shared/data/training/brain_tumour_mri")
AXIAL, CORONAL = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0, -1.0]
PLACELESS = {"ImagePositionPatient": None, "ImageOrientationPatient": None}


def disc(rows: int, columns: int, radius: float, at: tuple[float, float]) -> Mask:
    y, x = np.mgrid[0:rows, 0:columns]
    inside: Mask = (y + 0.5 - at[0]) ** 2 + (x + 0.5 - at[1]) ** 2 < radius**2
    return inside


def with_lesion(header: Dataset | None = None, mask: Mask | None = None) -> Explained:
    """Return an explanation with one lesion in its key frame."""
    explained = an_explained(header)
    lesion = a_lesion(explained)
    if mask is not None:
        lesion = replace(lesion, planes=(LesionPlane(explained.prediction.key_frame, mask),))
    return replace(explained, lesions=(lesion,))


def a_stack(
    masks: list[Mask], gap: float = 3.0, *, placeless: bool = False, turned: bool = False
) -> Explained:
    """Return a series of slices ``gap`` mm apart with one lesion; empty masks hold none of it."""
    headers = [
        a_header(
            mask.shape[0],
            mask.shape[1],
            SOPInstanceUID=f"1.2.3.{number}",
            InstanceNumber=number,
            ImagePositionPatient=None if placeless else [0.0, 0.0, gap * number],
            ImageOrientationPatient=None
            if placeless
            else (CORONAL if turned and number == 1 else AXIAL),
        )
        for number, mask in enumerate(masks, start=1)
    ]
    files = [as_file(header) for header in headers]
    one = an_explained(headers[0])
    instances = tuple(
        replace(
            one.job.instances[0],
            sop_instance_uid=header.SOPInstanceUID,
            sha256=sha256(data).hexdigest(),
        )
        for header, data in zip(headers, files, strict=True)
    )
    planes = tuple(
        LesionPlane(FrameRef(f"1.2.3.{number}"), mask)
        for number, mask in enumerate(masks, start=1)
        if mask.any()
    )
    return replace(
        one,
        job=replace(one.job, instances=instances),
        sources=tuple(files),
        lesions=(Lesion(0, 0.93, planes),),
    )


# ---- sizes


def test_a_disc_is_as_long_as_its_diameter() -> None:
    (outline,) = parts(disc(100, 100, 20, (50, 50)))
    assert longest_line(outline, (1.0, 1.0)) == pytest.approx(40, abs=1.5)
    assert longest_line(outline, (0.5, 0.5)) == pytest.approx(20, abs=0.75)


def test_a_bar_is_as_long_as_its_diagonal_from_edge_to_edge_in_true_proportions() -> None:
    mask = np.zeros((30, 40), dtype=np.bool_)
    mask[10:12, 5:35] = True
    (outline,) = parts(mask)
    assert longest_line(outline, (2.0, 0.5)) == pytest.approx(math.hypot(2 * 2.0, 30 * 0.5))


def test_two_separate_parts_are_not_measured_across() -> None:
    both = disc(100, 100, 10, (20, 20)) | disc(100, 100, 10, (80, 80))
    size = size_of(explained := with_lesion(a_header(100, 100), both), explained.lesions[0])
    assert size.longest == pytest.approx(0.9 * 20, abs=1.5)


def test_a_ball_in_a_stack_has_its_volume() -> None:
    radius, gap, pixel = 12.0, 3.0, 0.9
    masks = [
        disc(64, 64, math.sqrt(max(radius**2 - (gap * (n - 5)) ** 2, 0)) / pixel, (32, 32))
        for n in range(11)
    ]
    explained = a_stack(masks, gap)
    size = size_of(explained, explained.lesions[0])
    assert size.volume == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.03)
    assert size.longest == pytest.approx(2 * radius, rel=0.08)
    assert size.area == pytest.approx(math.pi * radius**2, rel=0.05)
    assert size.widest.ref.sop_instance_uid == "1.2.3.6"
    assert "cm\u00b3" in size_words(size)


def test_one_slice_has_an_area_and_no_volume() -> None:
    explained = with_lesion()
    size = size_of(explained, explained.lesions[0])
    assert size.area == explained.lesions[0].planes[0].mask.sum() * 0.9 * 0.9
    assert size.volume is None


def test_slices_at_one_place_have_no_volume() -> None:
    explained = a_stack([disc(64, 64, 9, (30, 30))] * 3, gap=0.0)
    assert size_of(explained, explained.lesions[0]).volume is None


def test_without_spacing_nothing_is_measured_and_that_is_said() -> None:
    explained = with_lesion(a_header(256, 256, PixelSpacing=None, **PLACELESS))
    size = size_of(explained, explained.lesions[0])
    assert (size.longest, size.area, size.volume) == (None, None, None)
    assert "no pixel spacing" in size_words(size)


# ---- the segmentation


def frames_of(made: Dataset) -> dict[tuple[str, int], np.ndarray]:
    """Return each frame's mask by what it says: source instance and segment."""
    pixels = made.pixel_array.astype(bool)
    pixels = pixels if pixels.ndim == 3 else pixels[None]
    found = {}
    for group, mask in zip(made.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        number = (
            group.SegmentIdentificationSequence[0]
            if ("SegmentIdentificationSequence" in group)
            else made.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence[0]
        )
        found[source.ReferencedSOPInstanceUID, number.ReferencedSegmentNumber] = mask
    return found


def test_every_plane_lies_where_its_slice_lies_in_source_pixels() -> None:
    masks = [disc(64, 48, 3.0 * n, (20.0 + n, 30.0 - n)) for n in (0, 1, 2, 3, 0)]
    explained = a_stack(masks)
    made = written(LesionSegmentation(), explained)
    found = frames_of(made)
    assert len(found) == 3
    for plane in explained.lesions[0].planes:
        assert np.array_equal(found[plane.ref.sop_instance_uid, 1], plane.mask)
    for group in made.PerFrameFunctionalGroupsSequence:
        uid = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        position = group.PlanePositionSequence[0].ImagePositionPatient
        assert position[2] == 3.0 * int(uid.rpartition(".")[2])


def test_lesions_that_overlap_are_segments_of_their_own() -> None:
    explained = with_lesion()
    other = a_lesion(explained, at=(0.4, 0.6), target=1)
    explained = replace(explained, lesions=(*explained.lesions, other))
    made = written(LesionSegmentation(), explained)
    found = frames_of(made)
    uid = explained.prediction.key_frame.sop_instance_uid
    for number, lesion in enumerate(explained.lesions, start=1):
        assert np.array_equal(found[uid, number], lesion.planes[0].mask)
    assert [s.SegmentLabel for s in made.SegmentSequence] == [
        "Lesion 1: Glioma", "Lesion 2: Meningioma",
    ]  # fmt: skip


def test_frames_without_a_plane_lie_one_behind_the_other() -> None:
    masks = [disc(64, 64, 9, (30, 30)), disc(64, 64, 12, (30, 30))]
    explained = a_stack(masks, placeless=True)
    made = written(LesionSegmentation(), explained)
    assert len(frames_of(made)) == 2
    assert made.FrameOfReferenceUID != explained.lesions[0].planes[0].ref.sop_instance_uid


def test_planes_that_are_not_parallel_keep_their_own_directions() -> None:
    masks = [disc(64, 64, 9, (30, 30)), disc(64, 64, 12, (30, 30))]
    made = written(LesionSegmentation(), a_stack(masks, turned=True))
    directions = [
        [float(v) for v in group.PlaneOrientationSequence[0].ImageOrientationPatient]
        for group in made.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(directions) == sorted([AXIAL, CORONAL])


def test_another_library_reads_every_lesion_back() -> None:
    explained = a_stack([disc(64, 48, 3.0 * n, (20.0 + n, 30.0 - n)) for n in (1, 2, 3)])
    key = explained.lesions[0]
    half = tuple(LesionPlane(p.ref, p.mask & (np.arange(48) < 30)) for p in key.planes)
    explained = replace(explained, lesions=(key, Lesion(1, 0.6, half)))
    data = LesionSegmentation().write(explained)
    assert data is not None
    read = hd.seg.segread(io.BytesIO(data))
    uids = [instance.sop_instance_uid for instance in explained.job.instances]
    pixels = read.get_pixels_by_source_instance(uids)
    for number, lesion in enumerate(explained.lesions):
        for plane in lesion.planes:
            at = uids.index(plane.ref.sop_instance_uid)
            assert np.array_equal(pixels[at, :, :, number].astype(bool), plane.mask)


def test_it_cannot_be_taken_for_where_the_model_looked() -> None:
    explained = with_lesion()
    lesion, region = (written(each, explained) for each in (LesionSegmentation(), Segmentation()))
    for keyword in ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ContentLabel"):
        assert lesion[keyword].value != region[keyword].value, keyword
    ours, theirs = lesion.SegmentSequence[0], region.SegmentSequence[0]
    for sequence in (
        "SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence",
    ):  # fmt: skip
        assert ours[sequence].value[0].CodeValue != theirs[sequence].value[0].CodeValue
    assert list(ours.RecommendedDisplayCIELabValue) != list(theirs.RecommendedDisplayCIELabValue)
    assert lesion.SeriesDescription.startswith("AI LESION")
    assert NOT_FOR_DIAGNOSIS in text_of(lesion)


def test_its_type_is_what_the_package_says_and_else_the_finding() -> None:
    neoplasm = Code(scheme="SCT", value="108369006", meaning="Neoplasm")
    named = a_package().findings[0].model_copy(update={"segment": neoplasm})
    explained = with_lesion()
    coded = replace(explained, package=a_package(findings=(named, *a_package().findings[1:])))
    types = [
        written(LesionSegmentation(), each).SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
        for each in (coded, explained)
    ]
    assert [t.CodeValue for t in types] == ["108369006", "393564001"]


def test_what_is_made_twice_is_the_same_object() -> None:
    assert LesionSegmentation().write(with_lesion()) == LesionSegmentation().write(with_lesion())


def test_without_a_lesion_and_for_an_audit_there_is_none() -> None:
    audit = an_explained(method="shapley")
    assert LesionSegmentation().write(an_explained()) is None
    assert LesionSegmentation().write(replace(audit, lesions=(a_lesion(audit),))) is None


def test_a_mask_that_fits_no_frame_makes_no_object() -> None:
    with pytest.raises(ResultError, match="fits no source frame"):
        LesionSegmentation().write(with_lesion(mask=disc(64, 64, 9, (30, 30))))


# ---- the report


def numbers_of(group: Dataset) -> dict[str, tuple[float, str]]:
    """Return concept → value and unit of the measurements of a group."""
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: (
            float(item.MeasuredValueSequence[0].NumericValue),
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }


def groups_of(made: Dataset) -> list[Dataset]:
    found = []
    for item in made.ContentSequence:
        name = item.ConceptNameCodeSequence[0].CodeValue
        if name == "126010":  # Imaging Measurements
            found += list(item.ContentSequence)
    return found


def test_the_report_gives_probability_and_sizes_of_the_lesion_first() -> None:
    explained = a_stack([disc(64, 64, r, (30, 30)) for r in (6, 12, 6)])
    made = written(StructuredReport(), explained)
    first, *others = groups_of(made)
    size = size_of(explained, explained.lesions[0])
    assert None not in (size.longest, size.area, size.volume)
    assert numbers_of(first) == {
        "Probability": (93.0, "%"),
        "Long axis": (pytest.approx(size.longest, rel=1e-3), "mm"),
        "Area": (pytest.approx(size.area, rel=1e-3), "mm2"),
        "Volume": (pytest.approx(size.volume, rel=1e-3), "mm3"),
    }
    assert others, "where the model looked is there, too"
    assert set(numbers_of(others[0])) == {"Probability"}


def test_the_outline_of_the_lesion_lies_on_the_slice_where_it_is_longest() -> None:
    explained = a_stack([disc(64, 64, r, (30, 30)) for r in (6, 12, 6)])
    made = written(StructuredReport(), explained)
    (outline,) = (item for item in groups_of(made)[0].ContentSequence if item.ValueType == "SCOORD")
    image = outline.ContentSequence[0].ReferencedSOPSequence[0]
    assert image.ReferencedSOPInstanceUID == "1.2.3.2"
    (study,) = made.CurrentRequestedProcedureEvidenceSequence
    named = {
        item.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert named == {"1.2.3.1", "1.2.3.2"}


# ---- real masks


def test_real_tumours_come_back_pixel_by_pixel_and_measured() -> None:
    if not TRAINING.exists():
        pytest.skip("the training data is not beside this repository")
    for name in ("0001", "0002", "0211"):
        file = next((TRAINING / "masks").glob(f"{name}*.png"))
        mask = np.asarray(Image.open(file).convert("L")) > 0
        explained = with_lesion(a_header(*mask.shape), mask)
        data = LesionSegmentation().write(explained)
        assert data is not None
        read = hd.seg.segread(io.BytesIO(data))
        assert np.array_equal(read.pixel_array.astype(bool), mask)
        size = size_of(explained, explained.lesions[0])
        rows, columns = (np.ptp(np.flatnonzero(mask.any(axis=a))) + 1 for a in (1, 0))
        assert size.longest is not None
        assert 0.9 * max(rows, columns) <= size.longest + 1e-9
        assert size.longest <= 0.9 * math.hypot(rows, columns) + 1e-9
