"""A parametric map's attributes are those that highdicom writes, but for the order of frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from contracts.result_writer import written
from explained_builders import a_header, an_explained, as_file
from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.results import codes
from lightbox.results.header.source import Source, all_sources, key_source
from lightbox.results.parametric_map import ParametricMap
from lightbox.results.wording import method_name
from plane_images import plane_image

ACROSS = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ALONG = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
TILTED = (
    math.cos(0.3), math.sin(0.3), 0.0,
    -math.sin(0.3) * math.cos(0.2), math.cos(0.3) * math.cos(0.2), math.sin(0.2),
)  # fmt: skip


def a_series(places: Sequence[float], orientation: tuple[float, ...]) -> Explained:
    """Return an explanation of the first of some frames, so far along their normal (mm)."""
    normal = np.cross(orientation[:3], orientation[3:])
    headers = [
        a_header(
            40,
            32,
            SOPInstanceUID=derived_uid("test", str(number)),
            ImageOrientationPatient=[round(v, 6) for v in orientation],
            ImagePositionPatient=[float(round(v, 4)) for v in (-100, -90, 20) + place * normal],
        )
        for number, place in enumerate(places)
    ]
    explained = an_explained(headers[0], method="shapley")
    one = explained.job.instances[0]
    instances = tuple(replace(one, sop_instance_uid=str(h.SOPInstanceUID)) for h in headers)
    return replace(
        explained,
        job=replace(explained.job, instances=instances),
        sources=tuple(as_file(header) for header in headers),
    )


def by_highdicom(made: Dataset, frames: list[Source], key: Source) -> Dataset:
    """Return what highdicom makes of the same frames and values, its frames put in our order."""
    pixels = np.frombuffer(made.FloatPixelData, "<f4").reshape(len(frames), *key.shape)
    low, high = float(pixels.min()), float(pixels.max())
    planes = [
        replace(f.plane, orientation=key.plane.orientation, spacing=key.plane.spacing)
        for f in frames
    ]
    theirs = hd.pm.ParametricMap(
        source_images=[plane_image(p, key.shape, n) for n, p in enumerate(planes)],
        pixel_array=pixels,
        series_instance_uid=made.SeriesInstanceUID,
        series_number=int(made.SeriesNumber),
        sop_instance_uid=made.SOPInstanceUID,
        instance_number=1,
        manufacturer="Lightbox",
        manufacturer_model_name="brain_tumour_mri",
        software_versions="1.0.0",
        device_serial_number="abababababababab",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            hd.pm.RealWorldValueMapping(
                lut_label=method_name("shapley"),
                lut_explanation=f"Attribution by {method_name('shapley')}",
                unit=codes.NO_UNITS,
                value_range=(low, high),
                slope=1.0,
                intercept=0.0,
                quantity_definition=codes.SALIENCY,
            )
        ],
        voi_lut_transformations=[
            hd.VOILUTTransformation(
                window_center=(low + high) / 2,
                window_width=max(high - low, 1e-6),
                voi_lut_function=hd.VOILUTFunctionValues.LINEAR_EXACT,
            )
        ],
        content_description="AI RESULT - NOT FOR PRIMARY DIAGNOSIS",
        content_label="AI_MAP",
        content_qualification=hd.ContentQualificationValues.RESEARCH,
        derivation=codes.SALIENCY,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    groups = sorted(
        theirs.PerFrameFunctionalGroupsSequence,
        key=lambda g: -g.FrameContentSequence[0].DimensionIndexValues,
    )
    theirs.PerFrameFunctionalGroupsSequence = groups
    return theirs


OTHERWISE = {
    "SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "ContributingEquipmentSequence",
    "ReferencedSeriesSequence", "InstanceCreationDate", "InstanceCreationTime", "ContentDate",
    "ContentTime", "SoftwareVersions", "DimensionOrganizationSequence", "Modality",
    "FloatPixelData", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate",
    "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
    "PositionReferenceIndicator",
}  # fmt: skip
"""Of the patient, the job and the source: every kind of result has them, and other tests."""
DROPPED = {"SourceImageSequence", "DimensionOrganizationUID", "ContentCreatorName"}


def said(dataset: Dataset) -> dict[str, object]:
    """Return the attributes that are compared, at every depth."""
    found: dict[str, object] = {}
    for element in dataset:
        if element.keyword in OTHERWISE | DROPPED:
            continue
        value = element.value
        found[element.keyword] = (
            [said(item) for item in value] if element.VR == "SQ" else (element.VR, str(value))
        )
    return found


@pytest.mark.parametrize(
    ("places", "orientation"),
    [
        ([0.0], ACROSS),
        ([0.0, 5.0], ACROSS),
        ([0.0, 5.0, 11.0, 30.0], ACROSS),
        ([0.0, -4.0, 4.0, 8.0], ALONG),
        ([0.0, 3.3333, 6.6667, 10.0], TILTED),
    ],
    ids=["one frame", "two", "unevenly spaced", "sagittal, key in the middle", "tilted"],
)
def test_a_map_has_the_attributes_that_highdicom_writes(
    places: list[float], orientation: tuple[float, ...]
) -> None:
    explained = a_series(places, orientation)
    made = written(ParametricMap(), explained)
    frames = sorted(all_sources(explained), key=lambda s: s.plane.distance)
    theirs = said(by_highdicom(made, frames, key_source(explained)))
    ours = said(made)
    missing = set(theirs) - set(ours)
    assert {name: ours[name] for name in set(theirs) & set(ours)} == {
        name: value for name, value in theirs.items() if name not in missing
    }
    assert missing == set()
