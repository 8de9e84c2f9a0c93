"""The report's tree is the one that highdicom builds, item by item, but for what it gets wrong."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from contracts.result_writer import written
from explained_builders import a_header, a_package, an_explained
from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.domain.model_package import Finding
from lightbox.domain.result import NOT_FOR_DIAGNOSIS
from lightbox.results import codes, provenance
from lightbox.results.mask import region_mask
from lightbox.results.outline import outlines
from lightbox.results.structured_report import StructuredReport
from lightbox.results.wording import explained_confidence

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def by_highdicom(explained: Explained) -> Dataset:
    """Return the root of the same report, made by highdicom's templates."""
    package = explained.package
    observer = hd.sr.ObserverContext(
        observer_type=hd.sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=provenance.OWN_DEVICE_UID,
            name=package.name,
            manufacturer_name=provenance.MANUFACTURER,
            model_name=f"{package.name} {package.version}",
            serial_number=package.sha256[:16],
        ),
    )
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.IMAGING_PROCEDURE,
        imaging_measurements=groups(explained),
        title=codes.IMAGING_REPORT,
        language_of_content_item_and_descendants=hd.sr.LanguageOfContentItemAndDescendants(
            hd.sr.CodedConcept.from_code(codes.ENGLISH)
        ),
    )
    root: Dataset = report[0]
    return root


def groups(
    explained: Explained,
) -> list[
    hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations
    | hd.sr.MeasurementsAndQualitativeEvaluations
]:
    instance, frame = explained.job.instances[0], None
    if instance.sop_class_uid == ENHANCED_MR:
        frame = [explained.prediction.key_frame.frame]
    finding = explained.package.finding(explained.attribution.target)
    score = explained_confidence(explained)
    verdict = codes.PRESENT if score >= finding.threshold else codes.UNDETERMINED
    probability = hd.sr.Measurement(codes.PROBABILITY, round(100 * score, 2), codes.PERCENT)
    quality = {f"quality_{k}": f"{v:g}" for k, v in explained.attribution.quality.items()}
    parameters = (provenance.algorithm_parameters(explained) | quality).items()

    def shared(which: str) -> dict[str, object]:
        return {
            "tracking_identifier": hd.sr.TrackingIdentifier(
                uid=derived_uid("tracking", explained.job.job_id, which),
                identifier=f"{finding.name} {explained.attribution.method} {which}",
            ),
            "finding_type": coded(finding),
            "method": codes.visual_explanation(explained.attribution.method),
            "algorithm_id": hd.sr.AlgorithmIdentification(
                name=explained.package.name,
                version=explained.package.version,
                parameters=[NOT_FOR_DIAGNOSIS, *(f"{k}={v}" for k, v in parameters)],
            ),
            "measurements": [probability],
        }

    if finding.negative:
        others = [f for f in explained.package.findings if not f.negative]
        image = hd.sr.SourceImageForMeasurementGroup(
            instance.sop_class_uid, instance.sop_instance_uid, frame
        )
        return [
            hd.sr.MeasurementsAndQualitativeEvaluations(
                **shared("1 of 1"),  # type: ignore[arg-type]  # a dict of keyword arguments
                qualitative_evaluations=[
                    hd.sr.QualitativeEvaluation(coded(f), codes.ABSENT) for f in others
                ],
                source_images=[image],
            )
        ]
    polygons = outlines(region_mask(explained.attribution))
    return [
        hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            **shared(f"{number} of {len(polygons)}"),  # type: ignore[arg-type]  # as above
            qualitative_evaluations=[hd.sr.QualitativeEvaluation(coded(finding), verdict)],
            referenced_region=hd.sr.ImageRegion(
                graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
                graphic_data=np.vstack([polygon, polygon[:1]]),
                source_image=hd.sr.SourceImageForRegion(
                    instance.sop_class_uid, instance.sop_instance_uid, frame
                ),
            ),
        )
        for number, polygon in enumerate(polygons, start=1)
    ]


def coded(finding: Finding) -> Code:
    return Code(finding.code.value, finding.code.scheme, finding.code.meaning)


def a_long_code() -> Explained:
    finding = a_package().findings[0]
    long = finding.model_copy(
        update={"code": finding.code.model_copy(update={"value": "12345678901234567890"})}
    )
    return an_explained(package=a_package(findings=(long, *a_package().findings[1:])))


def say_the_method_as_the_standard(item: Dataset) -> None:
    """Mend the one thing that PixelMed objects to: PS3.16 TID 1419 row 1, TID 1501 row 5."""
    concept = item.get("ConceptNameCodeSequence")
    if concept and concept[0].get("CodeValue") == codes.MEASUREMENT_METHOD.value:
        assert item.RelationshipType == "CONTAINS"
        item.RelationshipType = "HAS CONCEPT MOD"
    for child in item.get("ContentSequence") or []:
        say_the_method_as_the_standard(child)


@pytest.mark.parametrize(
    "explained",
    [
        an_explained(),
        an_explained(method="shapley"),
        an_explained(confidence=0.4),
        an_explained(target=2),
        an_explained(a_header(SOPClassUID=ENHANCED_MR, NumberOfFrames=3)),
        a_long_code(),
    ],
    ids=["fast", "audit", "undetermined", "normal", "frame of several", "long code"],
)
def test_the_tree_is_the_one_that_highdicom_builds(explained: Explained) -> None:
    ours, theirs = written(StructuredReport(), explained), by_highdicom(explained)
    say_the_method_as_the_standard(theirs)
    for element in theirs:
        if element.keyword == "ContentSequence":
            continue
        assert ours[element.keyword].to_json_dict(None, 0) == element.to_json_dict(None, 0)
    for mine, other in zip(ours.ContentSequence, theirs.ContentSequence, strict=True):
        assert mine.to_json_dict() == other.to_json_dict()
