"""One segment: what it is, coded, who outlined it, and its colour (PS3.3 C.8.20.4)."""

from __future__ import annotations

from dataclasses import dataclass

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from lightbox.domain.explained import Explained
from lightbox.results import codes, provenance
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
    item = Dataset()
    item.SegmentedPropertyCategoryCodeSequence = [codes.code_item(segment.category)]
    item.SegmentNumber = number
    item.SegmentLabel = segment.label
    item.SegmentDescription = ascii_text(segment.words, SHORT_TEXT)
    item.SegmentationAlgorithmIdentificationSequence = [_algorithm(explained)]
    item.SegmentAlgorithmType = "AUTOMATIC"
    item.SegmentAlgorithmName = ascii_text(explained.package.name)
    item.RecommendedDisplayCIELabValue = list(hd.color.CIELabColor.from_rgb(*segment.colour).value)
    item.SegmentedPropertyTypeCodeSequence = [codes.code_item(segment.type)]
    item.TrackingID, item.TrackingUID = segment.tracking
    return item


def _algorithm(explained: Explained) -> Dataset:
    """Return model, version and parameters (PS3.3 10.16)."""
    parameters = provenance.algorithm_parameters(explained)
    item = Dataset()
    item.AlgorithmSource = provenance.MANUFACTURER
    item.AlgorithmFamilyCodeSequence = [codes.code_item(codes.ARTIFICIAL_INTELLIGENCE)]
    item.AlgorithmVersion = ascii_text(explained.package.version)
    item.AlgorithmParameters = ",".join(f"{key}={value}" for key, value in parameters.items())
    item.AlgorithmName = ascii_text(explained.package.name)
    return item
