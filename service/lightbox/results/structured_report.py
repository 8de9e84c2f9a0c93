"""The findings that a system reads: Enhanced SR or Comprehensive 3D SR, TID 1500 (PS3.16).

Lesions that a segmentation network outlined come first, with their sizes, then where the model
looked (``report/``). Reports are preliminary and unverified: no person has looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from pydicom.dataset import Dataset

from lightbox.domain.explained import Explained
from lightbox.domain.result import ResultKind
from lightbox.results import codes, provenance
from lightbox.results.header.cleaning import put_uid
from lightbox.results.header.source import Source, key_source
from lightbox.results.header.text import ascii_text
from lightbox.results.replacing.references import hierarchy, replaced_objects
from lightbox.results.report import tree
from lightbox.results.report.explanation import outlined, without_outline
from lightbox.results.report.lesions import lesion_groups

SrClass = Literal["enhanced", "comprehensive3d"]
_CLASSES = {"enhanced": codes.ENHANCED_SR, "comprehensive3d": codes.COMPREHENSIVE_3D_SR}


class StructuredReport:
    """Makes the report of one key frame.

    Parameters
    ----------
    sr_class : str
        "enhanced" (older archives know it) or "comprehensive3d" (IHE AIR).
    """

    kind = ResultKind.STRUCTURED_REPORT

    def __init__(self, sr_class: SrClass = "enhanced") -> None:
        self._sop_class_uid = _CLASSES[sr_class]

    def write(self, explained: Explained) -> bytes | None:
        """Return the report as a DICOM file.

        Raises
        ------
        ResultError
            If the key frame is not among the sources.
        """
        source = key_source(explained)
        dataset = Dataset()
        dataset.SOPClassUID = self._sop_class_uid
        dataset.Modality = "SR"
        dataset.CompletionFlag = "COMPLETE"
        dataset.VerificationFlag = "UNVERIFIED"
        dataset.PreliminaryFlag = "PRELIMINARY"
        dataset.PerformedProcedureCodeSequence = []
        dataset.ReferencedPerformedProcedureStepSequence = []
        lesions = lesion_groups(explained)
        evidence = hierarchy(source, _evidence([source, *(lies_on for _, lies_on in lesions)]))
        dataset.CurrentRequestedProcedureEvidenceSequence = [evidence]
        if replaced := list(replaced_objects(explained, source, {self.kind})):
            dataset.PredecessorDocumentsSequence = [_predecessors(source, replaced)]
        groups = [*(group for group, _ in lesions), *outlined(explained, source)]
        dataset.update(_content(explained, groups or [without_outline(explained, source)]))
        provenance.stamp(dataset, explained, source, self.kind)
        dataset.pop("BodyPartExamined", None)  # not an attribute of SR Document Series
        return provenance.to_file(dataset)


def _evidence(sources: Iterable[Source]) -> Iterator[tuple[str, Dataset]]:
    """Yield series and reference of each instance that the report refers to (PS3.3 C.17.2)."""
    for source in {each.sop_instance_uid: each for each in sources}.values():
        instance = Dataset()
        put_uid(instance, "ReferencedSOPClassUID", source.sop_class_uid)
        put_uid(instance, "ReferencedSOPInstanceUID", source.sop_instance_uid)
        yield source.series_instance_uid, instance


def _predecessors(source: Source, replaced: list[tuple[str, Dataset]]) -> Dataset:
    """Return the item that names the report which this one replaces (PS3.3 C.17.2, CID 7009)."""
    for _, item in replaced:
        item.PurposeOfReferenceCodeSequence = [codes.code_item(codes.REPLACED_REPORT)]
    return hierarchy(source, replaced)


def _content(explained: Explained, groups: list[Dataset]) -> Dataset:
    """Return the root of the tree: language, who observed, procedure, groups."""
    children = [
        tree.code("HAS CONCEPT MOD", codes.LANGUAGE, codes.ENGLISH),
        *_observer(explained),
        tree.code("HAS CONCEPT MOD", codes.PROCEDURE_REPORTED, codes.IMAGING_PROCEDURE),
        tree.container("CONTAINS", codes.IMAGING_MEASUREMENTS, groups),
    ]
    return tree.container("", codes.IMAGING_REPORT, children, "1500")


def _observer(explained: Explained) -> list[Dataset]:
    """Return who observed: a device, this one (TID 1002, TID 1004)."""
    package = explained.package
    said = (
        (codes.DEVICE_NAME, ascii_text(package.name)),
        (codes.DEVICE_MANUFACTURER, provenance.MANUFACTURER),
        (codes.DEVICE_MODEL, ascii_text(f"{package.name} {package.version}")),
        (codes.DEVICE_SERIAL_NUMBER, package.sha256[:16]),
    )
    return [
        tree.code("HAS OBS CONTEXT", codes.OBSERVER_TYPE, codes.DEVICE),
        tree.uid("HAS OBS CONTEXT", codes.DEVICE_UID, provenance.OWN_DEVICE_UID),
        *(tree.text("HAS OBS CONTEXT", name, words) for name, words in said),
    ]
