"""A segmentation's attributes are those that highdicom writes, one by one."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from contracts.result_writer import written
from explained_builders import an_explained
from lightbox.domain.result import NOT_FOR_DIAGNOSIS
from lightbox.results.header.source import Source, key_source
from lightbox.results.mask import region_mask
from lightbox.results.segmentation import Segmentation
from plane_images import plane_image

OURS = {
    "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "ContributingEquipmentSequence", "ReferencedSeriesSequence", "SourceImageSequence",
    "SeriesDescription", "InstanceCreationDate", "InstanceCreationTime", "ContentDate",
    "ContentTime", "SoftwareVersions", "SeriesNumber", "SegmentSequence", "PixelData",
}  # fmt: skip
"""Compared elsewhere, or ours to say: UIDs, times, equipment, references."""


def by_highdicom(made: Dataset, sources: Sequence[Source], masks: np.ndarray) -> Dataset:
    """Return what highdicom makes of the same planes, masks and segments."""
    images = []
    for number, source in enumerate(sources):
        images.append(plane_image(source.plane, source.shape, number))
    return hd.seg.Segmentation(
        source_images=images,
        pixel_array=masks,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            hd.seg.SegmentDescription.from_dataset(item) for item in made.SegmentSequence
        ],
        series_instance_uid=made.SeriesInstanceUID,
        series_number=1,
        sop_instance_uid=made.SOPInstanceUID,
        instance_number=1,
        manufacturer="Lightbox",
        manufacturer_model_name="brain_tumour_mri",
        software_versions="1.0.0",
        device_serial_number="abababababababab",
        content_description=NOT_FOR_DIAGNOSIS,
        content_label=made.ContentLabel,
        content_creator_name=None,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )


def groups_of(made: Dataset) -> dict[tuple[float, ...], list[str]]:
    """Return position and place of each frame by its dimension indices, whatever their order."""
    found: dict[tuple[float, ...], list[str]] = {}
    for group in made.PerFrameFunctionalGroupsSequence:
        position = [float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient]
        found[tuple(position)] = sorted(e.keyword for e in group)
    return found


def same(made: Dataset, theirs: Dataset) -> None:
    for element in theirs:
        if element.keyword in OURS or element.keyword not in made:
            continue
        if element.keyword in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
            pointers = [
                [i.get("DimensionIndexPointer") for i in d[element.keyword].value]
                for d in (made, theirs)
            ]
            assert pointers[0] == pointers[1]
        elif element.keyword == "PerFrameFunctionalGroupsSequence":
            assert groups_of(made) == groups_of(theirs)
        elif element.keyword == "SharedFunctionalGroupsSequence":
            assert made.SharedFunctionalGroupsSequence[0].to_json_dict() == (
                theirs.SharedFunctionalGroupsSequence[0].to_json_dict()
            )
        elif not element.is_empty and element.keyword not in PATIENT:
            assert made[element.keyword].value == element.value, element.keyword
    missing = {e.keyword for e in theirs} - {e.keyword for e in made} - OURS
    assert missing == set()
    assert np.array_equal(made.pixel_array.sum(), theirs.pixel_array.sum())


PATIENT = {
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName",
}  # fmt: skip


def test_a_region_has_the_attributes_that_highdicom_writes() -> None:
    explained = an_explained()
    made = written(Segmentation(), explained)
    mask = region_mask(explained.attribution)
    theirs = by_highdicom(made, [key_source(explained)], mask)
    same(made, theirs)
    assert made.PixelData == theirs.PixelData
