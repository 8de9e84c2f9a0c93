"""One object of every IOD that we create, and what the tables of PS3.3 say of it.

The tables are those that highdicom ships (made from the standard's own XML): which modules an IOD has,
and which attributes a module has.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import highdicom._standard_utils as standard
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from explained_builders import a_header, a_package, an_explained
from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.domain.model_package import Accepts
from lightbox.domain.replaced import Replaced
from lightbox.domain.result import Result, ResultKind
from lightbox.ports import ResultWriter
from lightbox.results import codes
from lightbox.results.parametric_map import ParametricMap
from lightbox.results.pointing.presentation_state import PresentationState
from lightbox.results.pointing.rejection import Rejection
from lightbox.results.secondary_capture import SecondaryCapture
from lightbox.results.segmentation import Segmentation
from lightbox.results.structured_report import StructuredReport

CREATED: dict[UID, str] = {
    codes.SECONDARY_CAPTURE: "picture",
    codes.SEGMENTATION: "region, lesion",
    codes.PARAMETRIC_MAP: "map",
    codes.ENHANCED_SR: "findings",
    codes.COMPREHENSIVE_3D_SR: "findings (3D)",
    codes.KEY_OBJECT_SELECTION: "rejection note, key images",
    codes.GRAYSCALE_PRESENTATION_STATE: "presentation state",
}
"""SOP class → how this document calls the object."""

_WRITERS: tuple[ResultWriter, ...] = (
    SecondaryCapture(),
    Segmentation(),
    ParametricMap(fast=True),
    StructuredReport(),
    StructuredReport("comprehensive3d"),
    Rejection(),
    PresentationState(),
)
_CONTENT_OF_REPORTS = {"sr-document-content", "document-relationship-macro"}
"""Their attributes depend on the value type of each item: the validators look at them."""
_LEFT_THE_STANDARD = {"EthnicGroup"}
"""Still in sources; copied, because archives compare patients attribute by attribute."""


def _explained(header: Dataset, version: str, placed: float) -> Explained:
    package = a_package(
        name=f"model_{version[0]}",
        version=version,
        sha256=version[0] * 64,
        accepts=Accepts(modality=("MR",), body_part=("BRAIN",)),
    )
    made = an_explained(header, package=package, confidence=0.9 - 0.01 * placed)
    job = replace(made.job, placed_at=made.job.placed_at + placed)
    old = Result(ResultKind.SECONDARY_CAPTURE, codes.SECONDARY_CAPTURE, "1.2.3", "", "", 1)
    replaced = Replaced(job, made.prediction, (old,), job.placed_at + 1)
    return replace(made, job=job, replaces=replaced)


def _headers() -> tuple[Dataset, Dataset]:
    """Return two headers that agree in nothing but class, modality and body part."""
    other = {
        keyword: derived_uid("other", keyword)
        for keyword in (
            "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
        )
    }  # fmt: skip
    first = a_header(
        SpecificCharacterSet="ISO_IR 100",
        TimezoneOffsetFromUTC="+0100",
        PhotometricInterpretation="MONOCHROME2",
        BitsStored=12,
        RescaleIntercept="0",
        RescaleSlope="1",
        WindowCenter="600",
        WindowWidth="1200",
    )
    second = a_header(
        rows=200,
        columns=180,
        SpecificCharacterSet="ISO_IR 192",
        TimezoneOffsetFromUTC="-0300",
        StudyDate="20260902",
        StudyTime="111213",
        StudyID="S2",
        AccessionNumber="A2",
        ReferringPhysicianName="An^Other",
        StudyDescription="MR skull",
        PatientName="Some^One",
        PatientID="P2",
        PatientBirthDate="19800202",
        PatientSex="M",
        PatientAge="046Y",
        InstanceNumber=13,
        BodyPartExamined="HEAD",
        PhotometricInterpretation="MONOCHROME1",
        BitsStored=12,
        RescaleIntercept="-5",
        RescaleSlope="2",
        WindowCenter="700",
        WindowWidth="1300",
        **other,
    )
    return first, second


def _made(explained: Explained) -> dict[UID, Dataset]:
    found: dict[UID, Dataset] = {}
    for writer in _WRITERS:
        data = writer.write(explained)
        assert data is not None, writer.kind
        dataset = pydicom.dcmread(io.BytesIO(data))
        found[dataset.SOPClassUID] = dataset
    return found


@cache
def created() -> tuple[dict[UID, Dataset], dict[UID, Dataset]]:
    """Return one object of each class, of two studies, models and days."""
    first, second = _headers()
    return _made(_explained(first, "1.0.0", 0)), _made(_explained(second, "2.1.0", 86_400 * 3 + 5))


def modules_of(sop_class: UID) -> list[tuple[str, str]]:
    """Return (module, usage) of an IOD: M, C or U."""
    iod = standard.get_sop_class_iod_map()[sop_class]
    return [(m["key"], m["usage"]) for m in standard.get_iod_module_map()[iod]]


def _attributes(module: str) -> dict[str, str]:
    """Return keyword → type of the attributes that stand at the top of a module."""
    listed = standard.get_module_attribute_map()[module]
    return {a["keyword"]: a["type"] for a in listed if not a["path"]}


def module_rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield (object, IOD, module, usage) of what is in the objects."""
    first, _ = created()
    for sop_class, name in CREATED.items():
        iod = standard.get_sop_class_iod_map()[sop_class]
        here = {e.keyword for e in first[sop_class]}
        claimed: set[str] = set()
        mandatory_first = sorted(modules_of(sop_class), key=lambda m: "MCU".index(m[1]))
        shown = {}
        for module, usage in mandatory_first:
            present = here & _attributes(module).keys() - claimed
            claimed |= present
            shown[module] = usage == "M" or bool(present)
        for module, usage in modules_of(sop_class):
            if shown[module]:
                yield name, iod, module, usage


def _origin(sop_class: UID, keyword: str) -> str:
    if keyword not in created()[0][sop_class]:
        return ""
    if all(made[sop_class][keyword].is_empty for made in created()):
        return "empty"
    a, b = (made[sop_class].get(keyword) for made in created())
    sources = [header.get(keyword) for header in _headers()]
    if [a, b] == sources:
        return "copied"
    return "fixed" if a == b else "made"


def attribute_rows() -> Iterator[tuple[str, ...]]:
    """Yield attribute, tag and its origin in each object: copied, fixed, made, empty."""
    first, _ = created()
    tags = sorted({e.tag for made in first.values() for e in made})
    for tag in tags:
        keyword = pydicom.datadict.keyword_for_tag(tag)
        origins = (_origin(sop_class, keyword) for sop_class in CREATED)
        yield keyword, f"({tag.group:04X},{tag.element:04X})", *origins


def faults(dataset: Dataset) -> Iterator[str]:
    """Yield what the tables of PS3.3 do not allow: strangers, and what is missing or empty.

    Conditions are not looked at: type 1C and 2C may be there or not.
    """
    modules = [(m, u) for m, u in modules_of(dataset.SOPClassUID) if m not in _CONTENT_OF_REPORTS]
    known = _LEFT_THE_STANDARD | {
        keyword for module, _ in modules_of(dataset.SOPClassUID) for keyword in _attributes(module)
    }
    for element in dataset:
        if element.keyword not in known:
            yield f"{element.keyword} is of no module of this IOD"
    for module, usage in modules:
        if usage != "M":
            continue
        for keyword, kind in _attributes(module).items():
            if kind in ("1", "2") and keyword not in dataset:
                yield f"{keyword} (type {kind} of {module}) is missing"
            elif kind == "1" and dataset[keyword].is_empty:
                yield f"{keyword} (type 1 of {module}) is empty"
