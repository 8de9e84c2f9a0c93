"""Content items of a structured report (PS3.3 C.17.3).

Ours, because building the same tree by highdicom costs a third of all encoding; a test compares the
two, item by item.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.valuerep import DS

from lightbox.results import codes
from lightbox.results.header.cleaning import put_uid
from lightbox.results.header.source import Source
from lightbox.results.outline import Polygon

Relationship = Literal["", "CONTAINS", "HAS OBS CONTEXT", "HAS CONCEPT MOD", "SELECTED FROM"]


def _item(relationship: Relationship, value_type: str, name: Code) -> Dataset:
    item = Dataset()
    item.ValueType = value_type
    if relationship:
        item.RelationshipType = relationship
    item.ConceptNameCodeSequence = [codes.code_item(name)]
    return item


def container(
    relationship: Relationship, name: Code, children: Iterable[Dataset], template: str = ""
) -> Dataset:
    """Return a container; ``template`` is the TID that it follows (PS3.16)."""
    item = _item(relationship, "CONTAINER", name)
    item.ContinuityOfContent = "CONTINUOUS"
    if template:
        follows = Dataset()
        follows.MappingResource = "DCMR"
        follows.TemplateIdentifier = template
        item.ContentTemplateSequence = [follows]
    item.ContentSequence = list(children)
    return item


def code(relationship: Relationship, name: Code, value: Code) -> Dataset:
    """Return a coded value."""
    item = _item(relationship, "CODE", name)
    item.ConceptCodeSequence = [codes.code_item(value)]
    return item


def text(relationship: Relationship, name: Code, words: str) -> Dataset:
    """Return words."""
    item = _item(relationship, "TEXT", name)
    item.TextValue = words
    return item


def uid(relationship: Relationship, name: Code, value: str) -> Dataset:
    """Return a UID."""
    item = _item(relationship, "UIDREF", name)
    item.UID = value
    return item


def number(name: Code, value: float, unit: Code) -> Dataset:
    """Return a measurement, as text and as it is."""
    measured = Dataset()
    measured.NumericValue = DS(value, auto_format=True)
    measured.FloatingPointValue = value
    measured.MeasurementUnitsCodeSequence = [codes.code_item(unit)]
    item = _item("CONTAINS", "NUM", name)
    item.MeasuredValueSequence = [measured]
    return item


def image(relationship: Relationship, name: Code, source: Source) -> Dataset:
    """Return a reference to a source frame, its UIDs as they came."""
    reference = Dataset()
    put_uid(reference, "ReferencedSOPClassUID", source.sop_class_uid)
    put_uid(reference, "ReferencedSOPInstanceUID", source.sop_instance_uid)
    if source.has_frames:
        reference.ReferencedFrameNumber = source.frame
    item = _item(relationship, "IMAGE", name)
    item.ReferencedSOPSequence = [reference]
    return item


def outline(polygon: Polygon, source: Source) -> Dataset:
    """Return a closed outline on a source frame (PS3.3 C.18.6).

    Parameters
    ----------
    polygon : array, shape (n, 2)
        Corners as (column, row), not repeating the first one.
    """
    item = _item("CONTAINS", "SCOORD", codes.IMAGE_REGION)
    item.GraphicType = "POLYLINE"
    item.GraphicData = np.vstack([polygon, polygon[:1]]).ravel().tolist()
    item.ContentSequence = [image("SELECTED FROM", codes.SOURCE, source)]
    return item
