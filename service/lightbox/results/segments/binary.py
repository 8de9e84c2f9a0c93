"""A Segmentation of bits (PS3.3 A.51, C.8.20.2): frames, planes and where each comes from.

Ours, because building the same object by highdicom takes most of the time of a region; a test
compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.domain.result import NOT_FOR_DIAGNOSIS
from lightbox.results import codes, provenance
from lightbox.results.header.cleaning import put_uid
from lightbox.results.header.decimal import decimal
from lightbox.results.header.plane import Plane
from lightbox.results.header.source import Source
from lightbox.results.segments.segment import Segment, segment_item


@dataclass(frozen=True, slots=True)
class Segments:
    """What a segmentation holds.

    Attributes
    ----------
    label : str
        Content Label.
    sources : sequence of Source
        Of each plane, all of one frame of reference.
    masks : array, shape (planes, rows, columns, segments), bool
    """

    label: str
    sources: Sequence[Source]
    masks: npt.NDArray[np.bool_]
    segments: Sequence[Segment]


def segmentation(explained: Explained, name: provenance.Name, content: Segments) -> Dataset:
    """Return a BINARY segmentation: a frame per segment and plane in which it lies."""
    order = np.argsort([source.plane.distance for source in content.sources], kind="stable")
    planes = [content.sources[i] for i in order]
    masks = content.masks[order]
    frames = [
        (segment, plane)
        for segment in range(masks.shape[3])
        for plane in range(masks.shape[0])
        if masks[plane, :, :, segment].any()
    ]
    dataset = Dataset()
    dataset.SOPClassUID = codes.SEGMENTATION
    dataset.Modality = "SEG"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.SegmentationType = "BINARY"
    dataset.SegmentsOverlap = "YES" if (masks.sum(axis=3) > 1).any() else "NO"
    dataset.SegmentSequence = [
        segment_item(explained, segment, number)
        for number, segment in enumerate(content.segments, start=1)
    ]
    dataset.ContentLabel = content.label
    dataset.ContentDescription = NOT_FOR_DIAGNOSIS
    dataset.ContentCreatorName = None
    dataset.LossyImageCompression = "00"
    dataset.PresentationLUTShape = "IDENTITY"
    put_uid(dataset, "FrameOfReferenceUID", planes[0].plane.frame_of_reference_uid)
    dataset.PositionReferenceIndicator = None
    _dimensions(dataset, derived_uid("dimensions", name.sop_instance_uid))
    _groups(dataset, planes, frames, alone=len(content.segments) == 1)
    dataset.ReferencedSeriesSequence = [_series(content.sources)]
    _put_bits(dataset, np.stack([masks[plane, :, :, segment] for segment, plane in frames]))
    return dataset


def _dimensions(dataset: Dataset, uid: str) -> None:
    """Order frames by segment, then by position (PS3.3 C.7.6.17)."""
    organisation = Dataset()
    organisation.DimensionOrganizationUID = uid
    dataset.DimensionOrganizationSequence = [organisation]
    dataset.DimensionIndexSequence = []
    for pointer, group, words in (
        ("ReferencedSegmentNumber", "SegmentIdentificationSequence", "Referenced Segment Number"),
        ("ImagePositionPatient", "PlanePositionSequence", "Image Position Patient"),
    ):
        index = Dataset()
        index.DimensionOrganizationUID = uid
        index.DimensionIndexPointer = pointer
        index.FunctionalGroupPointer = group
        index.DimensionDescriptionLabel = words
        dataset.DimensionIndexSequence.append(index)


def _groups(
    dataset: Dataset, planes: Sequence[Source], frames: Sequence[tuple[int, int]], *, alone: bool
) -> None:
    """Put what holds for all frames, and what for each (PS3.3 C.7.6.16)."""
    shared = Dataset()
    gaps = np.diff([source.plane.distance for source in planes])
    gap = decimal(float(np.median(gaps))) if gaps.any() else 1.0
    parallel = all(_is_alike(source.plane, planes[0].plane) for source in planes)
    if parallel:
        shared.update(_geometry(planes[0].plane, gap))
    if alone:
        shared.SegmentIdentificationSequence = [_identified(0)]
    dataset.SharedFunctionalGroupsSequence = [shared]
    used = sorted({plane for _, plane in frames})
    dataset.PerFrameFunctionalGroupsSequence = []
    for segment, plane in frames:
        group, content, position, derivation = Dataset(), Dataset(), Dataset(), Dataset()
        reference = provenance.source_reference(planes[plane], same_pixels=True)
        derivation.SourceImageSequence = [reference]
        derivation.DerivationCodeSequence = [codes.code_item(codes.SEGMENTATION_DERIVATION)]
        content.DimensionIndexValues = [segment + 1, used.index(plane) + 1]
        position.ImagePositionPatient = [decimal(v) for v in planes[plane].plane.position]
        group.DerivationImageSequence = [derivation]
        group.FrameContentSequence = [content]
        group.PlanePositionSequence = [position]
        if not parallel:
            group.update(_geometry(planes[plane].plane, gap))
        if not alone:
            group.SegmentIdentificationSequence = [_identified(segment)]
        dataset.PerFrameFunctionalGroupsSequence.append(group)


def _is_alike(one: Plane, other: Plane) -> bool:
    """Say whether orientation, spacing and thickness are those of the other, but for last digits."""
    return (
        np.allclose(one.orientation, other.orientation, atol=1e-4)
        and np.allclose(one.spacing, other.spacing, atol=1e-4)
        and abs(one.thickness - other.thickness) < 1e-4
    )


def _geometry(plane: Plane, gap: float) -> Dataset:
    """Return orientation and pixel measures of a group of frames."""
    group, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [decimal(v) for v in plane.orientation]
    measures.SliceThickness = decimal(plane.thickness)
    measures.SpacingBetweenSlices = gap
    measures.PixelSpacing = [decimal(v) for v in plane.spacing]
    group.PlaneOrientationSequence = [orientation]
    group.PixelMeasuresSequence = [measures]
    return group


def _identified(segment: int) -> Dataset:
    item = Dataset()
    item.ReferencedSegmentNumber = segment + 1
    return item


def _series(sources: Sequence[Source]) -> Dataset:
    """Return the source series with every instance named once."""
    series = provenance.referenced_series(sources[0])
    series.ReferencedInstanceSequence = [
        provenance.referenced_series(source).ReferencedInstanceSequence[0]
        for source in {each.sop_instance_uid: each for each in sources}.values()
    ]
    return series


def _put_bits(dataset: Dataset, frames: npt.NDArray[np.bool_]) -> None:
    """Put frames, shape (frames, rows, columns), one bit a pixel (PS3.5 8.1.1)."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = dataset.PixelRepresentation = 0
    bits = np.packbits(frames.ravel(), bitorder="little").tobytes()
    dataset.PixelData = bits if len(bits) % 2 == 0 else bits + b"\0"
