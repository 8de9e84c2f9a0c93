"""Frames of floats with their planes and meaning (PS3.3 A.75, C.7.6.16, C.8.32).

Ours, because building the same object by highdicom takes longer than region and report together; a
test compares the two, attribute by attribute. highdicom judges whether the planes are evenly spaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.valuerep import DS, format_number_as_ds

from lightbox.domain.arrays import FloatMap
from lightbox.domain.result import NOT_FOR_DIAGNOSIS
from lightbox.results import codes, provenance
from lightbox.results.encoding import build
from lightbox.results.encoding.build import data_set
from lightbox.results.header.decimal import decimal
from lightbox.results.header.plane import Plane
from lightbox.results.header.source import Source

_IMAGE_TYPE = ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"]
_QUANTITY = Code("246205007", "SCT", "Quantity")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a value is.

    Attributes
    ----------
    label, words : str
        For people: 16 and 64 characters at most.
    code : Code
        Of the quantity, and of how it was derived.
    """

    label: str
    words: str
    code: Code


def float_frames(
    frames: Sequence[Source], pixels: FloatMap, plane: Plane, meaning: Meaning, uid: str
) -> Dataset:
    """Return a data set that holds every frame, in the order given: ascending along the normal.

    Parameters
    ----------
    frames : sequence of Source
        What each frame is of and where it lies.
    pixels : array, shape (frames, rows, columns), float32
    plane : Plane
        Whose orientation, spacing and thickness all of them have.
    uid : str
        Dimension Organization UID.
    """
    gap, _ = hd.spatial.get_volume_positions(
        image_positions=[[decimal(v) for v in source.plane.position] for source in frames],
        image_orientation=[decimal(v) for v in plane.orientation],
    )
    dataset = data_set(
        SOPClassUID=codes.PARAMETRIC_MAP,
        ImageType=_IMAGE_TYPE,
        PixelPresentation="MONOCHROME",
        ContentQualification="RESEARCH",
        ContentLabel="AI_MAP",
        ContentDescription=NOT_FOR_DIAGNOSIS,
        BurnedInAnnotation="NO",
        RecognizableVisualFeatures="NO",
        LossyImageCompression="00",
        PresentationLUTShape="IDENTITY",
        AcquisitionContextSequence=[],
        DimensionOrganizationSequence=[data_set(DimensionOrganizationUID=uid)],
        DimensionIndexSequence=[
            data_set(
                DimensionOrganizationUID=uid,
                DimensionIndexPointer="ImagePositionPatient",
                FunctionalGroupPointer="PlanePositionSequence",
                DimensionDescriptionLabel="Image Position Patient",
            )
        ],
        SharedFunctionalGroupsSequence=[_shared(plane, gap, pixels, meaning)],
        PerFrameFunctionalGroupsSequence=[
            # Indices descend where frames ascend: viewers place frames by their order.
            _frame(source, len(frames) - number, meaning)
            for number, source in enumerate(frames)
        ],
        ReferencedSeriesSequence=[provenance.referenced_series(*frames)],
        FrameOfReferenceUID=frames[0].plane.frame_of_reference_uid,
    )
    if len(frames) > 1 and gap is not None:
        dataset.DimensionOrganizationType = "3D"
    _put_floats(dataset, pixels)
    return dataset


def _shared(plane: Plane, gap: float | None, pixels: FloatMap, meaning: Meaning) -> Dataset:
    """Return what holds for every frame: plane, window, and what a value is."""
    low, high = float(pixels.min()), float(pixels.max())
    measures = data_set(
        SliceThickness=decimal(plane.thickness),
        PixelSpacing=[decimal(v) for v in plane.spacing],
    )
    if gap is not None:
        measures.SpacingBetweenSlices = format_number_as_ds(float(gap))
    # A linear window may not be narrower than 1; an exact one may.
    window = data_set(
        WindowCenter=DS((low + high) / 2, auto_format=True),
        WindowWidth=DS(max(high - low, 1e-6), auto_format=True),
        VOILUTFunction="LINEAR_EXACT",
    )
    as_stored = data_set(RescaleIntercept=0.0, RescaleSlope=1.0, RescaleType="US")
    orientation = data_set(ImageOrientationPatient=[decimal(v) for v in plane.orientation])
    return data_set(
        PlaneOrientationSequence=[orientation],
        PixelMeasuresSequence=[measures],
        FrameVOILUTSequence=[window],
        PixelValueTransformationSequence=[as_stored],
        ParametricMapFrameTypeSequence=[data_set(FrameType=_IMAGE_TYPE)],
        RealWorldValueMappingSequence=[_mapping(meaning, low, high)],
    )


def _mapping(meaning: Meaning, low: float, high: float) -> Dataset:
    """Return what the values are, and their range (PS3.3 C.7.6.16.2.11)."""
    quantity = data_set(
        ValueType="CODE",
        ConceptNameCodeSequence=[codes.code_item(_QUANTITY)],
        ConceptCodeSequence=[codes.code_item(meaning.code)],
    )
    return data_set(
        LUTExplanation=meaning.words,
        LUTLabel=meaning.label,
        MeasurementUnitsCodeSequence=[codes.code_item(codes.NO_UNITS)],
        DoubleFloatRealWorldValueFirstValueMapped=low,
        DoubleFloatRealWorldValueLastValueMapped=high,
        QuantityDefinitionSequence=[quantity],
        RealWorldValueIntercept=0.0,
        RealWorldValueSlope=1.0,
    )


def _frame(source: Source, index: int, meaning: Meaning) -> Dataset:
    """Return where one frame lies and what it was made of."""
    derivation = data_set(
        SourceImageSequence=[provenance.source_reference(source, same_pixels=True)],
        DerivationCodeSequence=[codes.code_item(meaning.code)],
    )
    position = data_set(ImagePositionPatient=[decimal(v) for v in source.plane.position])
    return data_set(
        DerivationImageSequence=[derivation],
        FrameContentSequence=[data_set(DimensionIndexValues=[index])],
        PlanePositionSequence=[position],
    )


def _put_floats(dataset: Dataset, pixels: FloatMap) -> None:
    build.put(
        dataset,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        NumberOfFrames=pixels.shape[0],
        Rows=pixels.shape[1],
        Columns=pixels.shape[2],
        BitsAllocated=32,
        FloatPixelData=np.ascontiguousarray(pixels, dtype="<f4").tobytes(),
    )
