"""A Key Object Selection: a title, words, and the objects that it points at (PS3.16 TID 2010)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from lightbox.domain.explained import Explained
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, ResultKind
from lightbox.results import codes, provenance
from lightbox.results.header.source import Source
from lightbox.results.header.text import SHORT_TEXT, ascii_text
from lightbox.results.replacing.references import hierarchy
from lightbox.results.report import tree


@dataclass(frozen=True, slots=True)
class Selection:
    """What a note says, and of what.

    Attributes
    ----------
    title : Code
        Of CID 7010.
    references : tuple of (str, Dataset)
        Series Instance UID and reference of each object, in the order in which they matter.
    """

    kind: ResultKind
    title: Code
    words: str
    references: tuple[tuple[str, Dataset], ...]


def key_object(explained: Explained, source: Source, selection: Selection) -> bytes:
    """Return the note as a DICOM file (PS3.3 A.35.4)."""
    dataset = Dataset()
    dataset.SOPClassUID = codes.KEY_OBJECT_SELECTION
    dataset.Modality = "KO"
    dataset.ReferencedPerformedProcedureStepSequence = []
    evidence = [(series, _whole(item)) for series, item in selection.references]
    dataset.CurrentRequestedProcedureEvidenceSequence = [hierarchy(source, evidence)]
    _content(dataset, explained, selection)
    provenance.stamp(dataset, explained, source, selection.kind)
    dataset.pop("BodyPartExamined", None)  # not an attribute of Key Object Document Series
    return provenance.to_file(dataset)


def _whole(reference: Dataset) -> Dataset:
    """Return a reference to the whole instance: evidence names no frames."""
    item = Dataset()
    for element in reference:
        if element.keyword != "ReferencedFrameNumber":
            item.add(element)
    return item


def _content(dataset: Dataset, explained: Explained, selection: Selection) -> None:
    """Put the content tree: title, who observed (a device, TID 1004), words, references."""
    template = Dataset()
    template.MappingResource = "DCMR"
    template.TemplateIdentifier = "2010"
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = [codes.code_item(selection.title)]
    dataset.ContinuityOfContent = "SEPARATE"
    dataset.ContentTemplateSequence = [template]
    words = ascii_text(f"{NOT_FOR_DIAGNOSIS}. {selection.words}", SHORT_TEXT)
    package = explained.package
    dataset.ContentSequence = [
        tree.code("HAS OBS CONTEXT", codes.OBSERVER_TYPE, codes.DEVICE),
        tree.uid("HAS OBS CONTEXT", codes.DEVICE_UID, provenance.OWN_DEVICE_UID),
        tree.text("HAS OBS CONTEXT", codes.DEVICE_NAME, ascii_text(package.name)),
        tree.text("CONTAINS", codes.KEY_OBJECT_DESCRIPTION, words),
        *_items(item for _, item in selection.references),
    ]


def _items(references: Iterable[Dataset]) -> Iterable[Dataset]:
    """Yield one item per object; sources and our images are images, all else is a composite."""
    ours = codes.REPORTS | {codes.KEY_OBJECT_SELECTION, codes.GRAYSCALE_PRESENTATION_STATE}
    for reference in references:
        item = Dataset()
        item.RelationshipType = "CONTAINS"
        item.ValueType = "COMPOSITE" if reference.ReferencedSOPClassUID in ours else "IMAGE"
        item.ReferencedSOPSequence = [Dataset(reference)]
        yield item
