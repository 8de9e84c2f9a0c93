"""The findings that a system reads: Enhanced SR or Comprehensive 3D SR, TID 1500 (PS3.16).

Only groups with an outline (TID 1410) beside a probability: viewers draw those on the right image
and turn black on any other mixture. A negative result has no outline; it states the absence
(TID 1501) for the systems that read it. Reports are preliminary and unverified: no person has
looked.
"""

from __future__ import annotations

from typing import Literal

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as SrCode

from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.domain.model_package import Finding
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, ResultKind
from lightbox.results import codes, provenance
from lightbox.results.header.cleaning import put_uid
from lightbox.results.header.plane_image import STAND_IN
from lightbox.results.header.source import Source, key_source
from lightbox.results.header.text import ascii_text
from lightbox.results.mask import region_mask
from lightbox.results.outline import Polygon, outlines
from lightbox.results.replacing.references import hierarchy, replaced_objects
from lightbox.results.wording import explained_confidence

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
        dataset.CurrentRequestedProcedureEvidenceSequence = [_evidence(source)]
        if replaced := list(replaced_objects(explained, source, {self.kind})):
            dataset.PredecessorDocumentsSequence = [_predecessors(source, replaced)]
        root = _content(explained, source)[0]
        _true_source(root, source)
        for element in root:
            dataset.add(element)
        provenance.stamp(dataset, explained, source, self.kind)
        dataset.pop("BodyPartExamined", None)  # not an attribute of SR Document Series
        return provenance.to_file(dataset)


def _true_source(item: Dataset, source: Source) -> None:
    """Put the source where highdicom, which knows no retired classes, got a stand-in."""
    for reference in item.get("ReferencedSOPSequence") or []:
        put_uid(reference, "ReferencedSOPClassUID", source.sop_class_uid)
        put_uid(reference, "ReferencedSOPInstanceUID", source.sop_instance_uid)
    for child in item.get("ContentSequence") or []:
        _true_source(child, source)


def _evidence(source: Source) -> Dataset:
    """Return the item that lists what the report refers to (PS3.3 C.17.2)."""
    instance = Dataset()
    put_uid(instance, "ReferencedSOPClassUID", source.sop_class_uid)
    put_uid(instance, "ReferencedSOPInstanceUID", source.sop_instance_uid)
    series = Dataset()
    put_uid(series, "SeriesInstanceUID", source.series_instance_uid)
    series.ReferencedSOPSequence = [instance]
    study = Dataset()
    put_uid(study, "StudyInstanceUID", source.patient_study.StudyInstanceUID)
    study.ReferencedSeriesSequence = [series]
    return study


def _predecessors(source: Source, replaced: list[tuple[str, Dataset]]) -> Dataset:
    """Return the item that names the report which this one replaces (PS3.3 C.17.2, CID 7009)."""
    for _, item in replaced:
        item.PurposeOfReferenceCodeSequence = [codes.code_item(codes.REPLACED_REPORT)]
    return hierarchy(source, replaced)


def _content(explained: Explained, source: Source) -> hd.sr.MeasurementReport:
    observer = hd.sr.ObserverContext(
        observer_type=hd.sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=provenance.OWN_DEVICE_UID,
            name=ascii_text(explained.package.name),
            manufacturer_name=provenance.MANUFACTURER,
            model_name=ascii_text(f"{explained.package.name} {explained.package.version}"),
            serial_number=explained.package.sha256[:16],
        ),
    )
    return hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.IMAGING_PROCEDURE,
        imaging_measurements=_groups(explained, source),
        title=codes.IMAGING_REPORT,
        language_of_content_item_and_descendants=hd.sr.LanguageOfContentItemAndDescendants(
            hd.sr.CodedConcept.from_code(codes.ENGLISH)
        ),
    )


def _groups(
    explained: Explained, source: Source
) -> list[
    hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations
    | hd.sr.MeasurementsAndQualitativeEvaluations
]:
    finding = explained.package.finding(explained.attribution.target)
    polygons = [] if finding.negative else outlines(region_mask(explained.attribution))
    if not polygons:
        return [_without_outline(explained, source, finding)]
    return [
        _with_outline(explained, source, polygon, f"{number} of {len(polygons)}")
        for number, polygon in enumerate(polygons, start=1)
    ]


def _with_outline(
    explained: Explained, source: Source, polygon: Polygon, which: str
) -> hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """Return a TID 1410 group: outline, probability, present or undetermined."""
    finding = explained.package.finding(explained.attribution.target)
    image = hd.sr.SourceImageForRegion(
        referenced_sop_class_uid=codes.SECONDARY_CAPTURE,
        referenced_sop_instance_uid=STAND_IN,
        referenced_frame_numbers=[source.frame] if source.has_frames else None,
    )
    region = hd.sr.ImageRegion(
        graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
        graphic_data=np.vstack([polygon, polygon[:1]]),
        source_image=image,
    )
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(explained, which),
        referenced_region=region,
        finding_type=_coded(finding),
        method=codes.visual_explanation(explained.attribution.method),
        algorithm_id=_algorithm(explained),
        measurements=[_probability(explained)],
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(_coded(finding), _verdict(explained))],
    )


def _without_outline(
    explained: Explained, source: Source, finding: Finding
) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    """Return a TID 1501 group: every finding that the model knows, and that it is absent."""
    if finding.negative:
        others = [f for f in explained.package.findings if not f.negative]
        evaluations = [hd.sr.QualitativeEvaluation(_coded(f), codes.ABSENT) for f in others]
    else:
        evaluations = [hd.sr.QualitativeEvaluation(_coded(finding), _verdict(explained))]
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(explained, "1 of 1"),
        finding_type=_coded(finding),
        method=codes.visual_explanation(explained.attribution.method),
        algorithm_id=_algorithm(explained),
        measurements=[_probability(explained)],
        qualitative_evaluations=evaluations,
        source_images=[
            hd.sr.SourceImageForMeasurementGroup(
                referenced_sop_class_uid=codes.SECONDARY_CAPTURE,
                referenced_sop_instance_uid=STAND_IN,
                referenced_frame_numbers=[source.frame] if source.has_frames else None,
            )
        ],
    )


def _verdict(explained: Explained) -> SrCode:
    finding = explained.package.finding(explained.attribution.target)
    is_present = explained_confidence(explained) >= explained.prediction.threshold(finding)
    return codes.PRESENT if is_present else codes.UNDETERMINED


def _probability(explained: Explained) -> hd.sr.Measurement:
    value = round(100 * explained_confidence(explained), 2)
    return hd.sr.Measurement(codes.PROBABILITY, value, codes.PERCENT)


def _tracking(explained: Explained, which: str) -> hd.sr.TrackingIdentifier:
    finding = explained.package.finding(explained.attribution.target)
    method = explained.attribution.method
    return hd.sr.TrackingIdentifier(
        uid=derived_uid("tracking", explained.job.job_id, which),
        identifier=ascii_text(f"{finding.name} {method} {which}"),
    )


def _algorithm(explained: Explained) -> hd.sr.AlgorithmIdentification:
    """Return what made the map, with what, and how good it was measured to be.

    Seconds are not among it: made again, the report has the same bytes.
    """
    parameters = provenance.algorithm_parameters(explained)
    for name, value in sorted(explained.attribution.quality.items()):
        parameters[f"quality_{name}"] = f"{value:.4g}"
    return hd.sr.AlgorithmIdentification(
        name=ascii_text(explained.package.name),
        version=ascii_text(explained.package.version),
        parameters=[NOT_FOR_DIAGNOSIS, *(f"{k}={v}" for k, v in parameters.items())],
    )


def _coded(finding: Finding) -> SrCode:
    code = finding.code
    return SrCode(code.value, code.scheme, ascii_text(code.meaning))
