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
from lightbox.results.encoding.build import data_set
from lightbox.results.header.source import Source
from lightbox.results.outline import Polygon

Relationship = Literal["", "CONTAINS", "HAS OBS CONTEXT", "HAS CONCEPT MOD", "SELECTED FROM"]


def _item(relationship: Relationship, value_type: str, name: Code, **values: object) -> Dataset:
    related = {"RelationshipType": relationship} if relationship else {}
    named = [codes.code_item(name)]
    return data_set(ValueType=value_type, **related, ConceptNameCodeSequence=named, **values)


def container(
    relationship: Relationship, name: Code, children: Iterable[Dataset], template: str = ""
) -> Dataset:
    """Return a container; ``template`` is the TID that it follows (PS3.16)."""
    values: dict[str, object] = {"ContinuityOfContent": "CONTINUOUS"}
    if template:
        follows = data_set(MappingResource="DCMR", TemplateIdentifier=template)
        values["ContentTemplateSequence"] = [follows]
    return _item(relationship, "CONTAINER", name, **values, ContentSequence=list(children))


def code(relationship: Relationship, name: Code, value: Code) -> Dataset:
    """Return a coded value."""
    return _item(relationship, "CODE", name, ConceptCodeSequence=[codes.code_item(value)])


def text(relationship: Relationship, name: Code, words: str) -> Dataset:
    """Return words."""
    return _item(relationship, "TEXT", name, TextValue=words)


def uid(relationship: Relationship, name: Code, value: str) -> Dataset:
    """Return a UID."""
    return _item(relationship, "UIDREF", name, UID=value)


def number(name: Code, value: float, unit: Code) -> Dataset:
    """Return a measurement, as text and as it is."""
    measured = data_set(
        NumericValue=DS(value, auto_format=True),
        FloatingPointValue=value,
        MeasurementUnitsCodeSequence=[codes.code_item(unit)],
    )
    return _item("CONTAINS", "NUM", name, MeasuredValueSequence=[measured])


def image(relationship: Relationship, name: Code, source: Source) -> Dataset:
    """Return a reference to a source frame, its UIDs as they came."""
    reference = data_set(
        ReferencedSOPClassUID=source.sop_class_uid, ReferencedSOPInstanceUID=source.sop_instance_uid
    )
    if source.has_frames:
        reference.ReferencedFrameNumber = source.frame
    return _item(relationship, "IMAGE", name, ReferencedSOPSequence=[reference])


def outline(polygon: Polygon, source: Source) -> Dataset:
    """Return a closed outline on a source frame (PS3.3 C.18.6).

    Parameters
    ----------
    polygon : array, shape (n, 2)
        Corners as (column, row), not repeating the first one.
    """
    return _item(
        "CONTAINS",
        "SCOORD",
        codes.IMAGE_REGION,
        GraphicType="POLYLINE",
        GraphicData=np.vstack([polygon, polygon[:1]]).ravel().tolist(),
        ContentSequence=[image("SELECTED FROM", codes.SOURCE, source)],
    )
