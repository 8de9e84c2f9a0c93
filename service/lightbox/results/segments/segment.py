"""One segment: what it is, coded, who outlined it, and its colour (PS3.3 C.8.20.4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from lightbox.domain.explained import Explained
from lightbox.results import codes, provenance
from lightbox.results.encoding.build import data_set
from lightbox.results.header.text import SHORT_TEXT, ascii_text


@dataclass(frozen=True, slots=True)
class Segment:
    """What a segment is.

    Attributes
    ----------
    tracking : tuple of str
        Identifier for people, and UID.
    colour : tuple of three ints
        RGB in which viewers are asked to show it.
    """

    label: str
    words: str
    category: Code
    type: Code
    tracking: tuple[str, str]
    colour: tuple[int, int, int]


def segment_item(explained: Explained, segment: Segment, number: int) -> Dataset:
    """Return the item of Segment Sequence."""
    tracking_id, tracking_uid = segment.tracking
    return data_set(
        SegmentedPropertyCategoryCodeSequence=[codes.code_item(segment.category)],
        SegmentNumber=number,
        SegmentLabel=segment.label,
        SegmentDescription=ascii_text(segment.words, SHORT_TEXT),
        SegmentationAlgorithmIdentificationSequence=[_algorithm(explained)],
        SegmentAlgorithmType="AUTOMATIC",
        SegmentAlgorithmName=ascii_text(explained.package.name),
        RecommendedDisplayCIELabValue=_cie_lab(segment.colour),
        SegmentedPropertyTypeCodeSequence=[codes.code_item(segment.type)],
        TrackingID=tracking_id,
        TrackingUID=tracking_uid,
    )


@lru_cache(maxsize=32)
def _cie_lab(colour: tuple[int, int, int]) -> list[int]:
    return [int(value) for value in hd.color.CIELabColor.from_rgb(*colour).value]


def _algorithm(explained: Explained) -> Dataset:
    """Return model, version and parameters (PS3.3 10.16)."""
    parameters = provenance.algorithm_parameters(explained)
    return data_set(
        AlgorithmSource=provenance.MANUFACTURER,
        AlgorithmFamilyCodeSequence=[codes.code_item(codes.ARTIFICIAL_INTELLIGENCE)],
        AlgorithmVersion=ascii_text(explained.package.version),
        AlgorithmParameters=",".join(f"{key}={value}" for key, value in parameters.items()),
        AlgorithmName=ascii_text(explained.package.name),
    )
