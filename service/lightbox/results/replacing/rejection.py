"""A rejection note: Key Object Selection (PS3.3 A.35.4, TID 2010) that names the replaced objects.

Archives that follow IHE Imaging Object Change Management hide what such a note rejects. Others show
it as one more object, so a destination gets it only if it is configured to.
"""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from lightbox.domain.explained import Explained
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, ResultKind
from lightbox.results import codes, provenance
from lightbox.results.header.source import key_source
from lightbox.results.header.text import SHORT_TEXT, ascii_text
from lightbox.results.replacing.references import IMAGES, hierarchy, replaced_objects
from lightbox.results.replacing.sentence import replaces_sentence

_REJECTABLE = IMAGES | {ResultKind.STRUCTURED_REPORT}


class Rejection:
    """Makes the note; none where a result replaces nothing."""

    kind = ResultKind.KEY_OBJECT

    def write(self, explained: Explained) -> bytes | None:
        """Return the note as a DICOM file, or None where nothing is replaced.

        Raises
        ------
        ResultError
            If the key frame is not among the sources.
        """
        if explained.replaces is None:
            return None
        source = key_source(explained)
        found = list(replaced_objects(explained, source, _REJECTABLE))
        if not found:
            return None
        dataset = Dataset()
        dataset.SOPClassUID = codes.KEY_OBJECT_SELECTION
        dataset.Modality = "KO"
        dataset.ReferencedPerformedProcedureStepSequence = []
        dataset.CurrentRequestedProcedureEvidenceSequence = [hierarchy(source, found)]
        _content(dataset, explained, [item for _, item in found])
        provenance.stamp(dataset, explained, source, self.kind)
        dataset.pop("BodyPartExamined", None)  # not an attribute of Key Object Document Series
        return provenance.to_file(dataset)


def _content(dataset: Dataset, explained: Explained, rejected: list[Dataset]) -> None:
    """Put the content tree: the title says why, the text what replaces what (TID 2010)."""
    template = Dataset()
    template.MappingResource = "DCMR"
    template.TemplateIdentifier = "2010"
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = [codes.code_item(codes.REJECTED_FOR_QUALITY)]
    dataset.ContinuityOfContent = "SEPARATE"
    dataset.ContentTemplateSequence = [template]
    text = f"{NOT_FOR_DIAGNOSIS}. Replaced by a newer result: {replaces_sentence(explained)}"
    dataset.ContentSequence = [
        *_device(explained),
        _text("CONTAINS", codes.KEY_OBJECT_DESCRIPTION, ascii_text(text, SHORT_TEXT)),
        *(_reference(item) for item in rejected),
    ]


def _device(explained: Explained) -> list[Dataset]:
    """Return who observed: a device, this one (TID 1002, TID 1004)."""
    observer, uid = Dataset(), Dataset()
    for item, value_type, concept in (
        (observer, "CODE", codes.OBSERVER_TYPE),
        (uid, "UIDREF", codes.DEVICE_UID),
    ):
        item.RelationshipType = "HAS OBS CONTEXT"
        item.ValueType = value_type
        item.ConceptNameCodeSequence = [codes.code_item(concept)]
    observer.ConceptCodeSequence = [codes.code_item(codes.DEVICE)]
    uid.UID = provenance.OWN_DEVICE_UID
    name = _text("HAS OBS CONTEXT", codes.DEVICE_NAME, ascii_text(explained.package.name))
    return [observer, uid, name]


def _text(relationship: str, name: Code, words: str) -> Dataset:
    item = Dataset()
    item.RelationshipType = relationship
    item.ValueType = "TEXT"
    item.ConceptNameCodeSequence = [codes.code_item(name)]
    item.TextValue = words
    return item


def _reference(rejected: Dataset) -> Dataset:
    """Return the item of one rejected object; a report is a composite, not an image."""
    is_report = rejected.ReferencedSOPClassUID in codes.REPORTS
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "COMPOSITE" if is_report else "IMAGE"
    item.ReferencedSOPSequence = [Dataset(rejected)]
    return item
