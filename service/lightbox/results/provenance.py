"""Who made a result, out of what, and under which name: the same for every kind of object.

All dates, times and UIDs come from the job, so that a result that is made again is the same
object, byte for byte.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian

from lightbox.domain.explained import Explained
from lightbox.domain.identity import Uid, derived_uid
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, ResultKind
from lightbox.results import codes
from lightbox.results.encoding import build
from lightbox.results.encoding.data_set import parts_of
from lightbox.results.header.source import Source
from lightbox.results.header.text import SHORT_TEXT, ascii_text
from lightbox.results.wording import is_contradicting, method_name
from lightbox.version import __version__

MANUFACTURER = "Lightbox"
OWN_DEVICE_UID = derived_uid("lightbox", "device")
"""Device UID in the Contributing Equipment of all that we make: own results are recognised by it."""

_IMPLEMENTATION_CLASS_UID = UID(derived_uid("lightbox", "implementation"))
_NOUNS = {
    ResultKind.SECONDARY_CAPTURE: "picture",
    ResultKind.SLICE: "picture",
    ResultKind.MOSAIC: "mosaic",
    ResultKind.SEGMENTATION: "region",
    ResultKind.PARAMETRIC_MAP: "map",
    ResultKind.STRUCTURED_REPORT: "findings",
    ResultKind.KEY_OBJECT: "results replaced",
    ResultKind.KEY_IMAGES: "key images",
    ResultKind.PRESENTATION_STATE: "outline",
    ResultKind.LESION: "lesion",
}


@dataclass(frozen=True, slots=True)
class Name:
    """How one result is named and filed."""

    sop_instance_uid: str
    series_instance_uid: str
    series_number: int
    instance_number: int
    series_description: str


def name_of(explained: Explained, source: Source, kind: ResultKind) -> Name:
    """Derive UIDs and numbers from what the object shows.

    Pictures of one source series share a series, in the order of their sources; every other kind
    gets a series of its own, because viewers open only the first object of such a series.
    """
    job, method = explained.job, explained.attribution.method
    site, signer = dict(explained.prediction.thresholds), explained.prediction.signer
    made_of = (
        job.study_instance_uid,
        *sorted(f"{i.sop_instance_uid}={i.sha256}" for i in job.instances),
        explained.package.sha256,
        job.path,
        method,
        json.dumps(dict(explained.attribution.parameters), sort_keys=True),
        kind,
        *([json.dumps(site, sort_keys=True)] if site else []),
        *([f"signed by {signer}"] if signer else []),
        *([source.sop_instance_uid, str(source.frame)] if kind is ResultKind.SLICE else []),
    )
    instance = derived_uid("instance", *made_of)
    series = derived_uid("series", instance)
    instance_number = 1
    if kind in {ResultKind.SECONDARY_CAPTURE, ResultKind.SLICE}:
        series = picture_series(job, method, source, apart=is_contradicting(explained))
        number = str(source.frame) if source.has_frames else source.text("InstanceNumber")
        instance_number = int(number) if number.isdigit() else 1
    return Name(
        sop_instance_uid=instance,
        series_instance_uid=series,
        series_number=codes.SERIES_NUMBERS[kind] + (job.path is JobPath.AUDIT),
        instance_number=instance_number,
        series_description=_series_description(explained, kind),
    )


def picture_series(job: Job, method: str, source: Source, *, apart: bool) -> Uid:
    """Return the series of the pictures of one source series; contradicting audits stand apart."""
    shared = (source.text("BodyPartExamined"), source.text("Laterality"))
    return derived_uid(
        "series",
        source.series_instance_uid,
        job.model_sha256,
        job.path,
        method,
        *shared,
        *(["contradicts"] if apart else []),
    )


def _series_description(explained: Explained, kind: ResultKind) -> str:
    """Name the series; viewers show about 20 characters, so what matters comes first."""
    if kind is ResultKind.LESION:
        return "AI LESION outlined by the model"
    name = method_name(explained.attribution.method)
    if explained.fast is not None and is_contradicting(explained):
        fast = method_name(explained.fast.method)
        return ascii_text(f"AI {name} DISAGREES with the {fast} picture: {_NOUNS[kind]}")
    return ascii_text(f"AI {name} {_NOUNS[kind]}")


def made_at(job: Job, source: Source) -> datetime:
    """Return when the job was placed, in the source's time zone where it states one, else UTC."""
    offset = source.text("TimezoneOffsetFromUTC")
    zone: timezone = UTC
    if len(offset) == 5 and offset[0] in "+-" and offset[1:].isdigit():
        minutes = int(offset[1:3]) * 60 + int(offset[3:])
        if minutes < 24 * 60:
            zone = timezone(timedelta(minutes=minutes if offset[0] == "+" else -minutes))
    return datetime.fromtimestamp(job.placed_at, tz=zone)


def date_text(moment: datetime) -> str:
    """Return a DA value."""
    return moment.strftime("%Y%m%d")


def time_text(moment: datetime) -> str:
    """Return a TM value."""
    return moment.strftime("%H%M%S.%f")


def stamp(dataset: Dataset, explained: Explained, source: Source, kind: ResultKind) -> None:
    """Put patient, study, series, equipment and provenance on a result, over what is there."""
    made = Made(explained.job, explained.package, derivation(explained))
    put(dataset, made, source, name_of(explained, source, kind))


@dataclass(frozen=True, slots=True)
class Made:
    """Who made an object, for which job, and what was done, in words."""

    job: Job
    package: ModelPackage
    words: str


def put(dataset: Dataset, made: Made, source: Source, name: Name) -> None:
    """Put patient, study, series, equipment and provenance on an object of this name."""
    dataset.update(source.patient_study)
    for keyword in ("SpecificCharacterSet", "TimezoneOffsetFromUTC"):
        _copy_or_remove(dataset, source, keyword)
    moment = made_at(made.job, source)
    date, time = date_text(moment), time_text(moment)
    build.put(
        dataset,
        SOPInstanceUID=name.sop_instance_uid,
        SeriesInstanceUID=name.series_instance_uid,
        SeriesNumber=name.series_number,
        SeriesDescription=name.series_description,
        InstanceNumber=name.instance_number,
        InstanceCreationDate=date,
        ContentDate=date,
        InstanceCreationTime=time,
        ContentTime=time,
        ContributingEquipmentSequence=[_contribution(made)],
        **_equipment(made.package),
    )
    for keyword in ("SeriesDate", "SeriesTime"):
        dataset.pop(keyword, None)
    body_part = body_part_of(made.package, source)
    if body_part:
        dataset.BodyPartExamined = body_part
    else:
        dataset.pop("BodyPartExamined", None)


def _equipment(package: ModelPackage) -> dict[str, object]:
    """Return what names us and the model (PS3.3 C.7.5.1)."""
    return {
        "Manufacturer": MANUFACTURER,
        "ManufacturerModelName": ascii_text(package.name),
        "SoftwareVersions": [__version__, ascii_text(package.version)],
        "DeviceSerialNumber": package.sha256[:16],
    }


def body_part_of(package: ModelPackage, source: Source) -> str:
    """Return Body Part Examined: the source's, else what the model is for if that is one part."""
    stated = source.text("BodyPartExamined")
    accepted = package.accepts.body_part
    return stated or (accepted[0] if len(accepted) == 1 else "")


def _copy_or_remove(dataset: Dataset, source: Source, keyword: str) -> None:
    if keyword in source.image:
        dataset.add(source.image[keyword])
    else:
        dataset.pop(keyword, None)


def _contribution(made: Made) -> Dataset:
    """Return our item of Contributing Equipment (PS3.3 C.12.1): processing, by this device."""
    moment = datetime.fromtimestamp(made.job.placed_at, tz=UTC)
    return build.data_set(
        PurposeOfReferenceCodeSequence=[codes.code_item(codes.PROCESSING_EQUIPMENT)],
        DeviceUID=OWN_DEVICE_UID,
        ContributionDateTime=moment.strftime("%Y%m%d%H%M%S.%f+0000"),
        ContributionDescription=ascii_text(f"{NOT_FOR_DIAGNOSIS}. {made.words}", SHORT_TEXT),
        **_equipment(made.package),
    )


def derivation(explained: Explained) -> str:
    """Say in one line what was computed: method, model, version, who signed it, target."""
    package, attribution = explained.package, explained.attribution
    model, signer = f"{package.name} {package.version}", explained.prediction.signer
    if signer:
        model += f", signed by {signer}"
    target = package.finding(attribution.target).words
    return f"{method_name(attribution.method)} of {model}, target: {target}"


def algorithm_parameters(explained: Explained) -> dict[str, str]:
    """Return what makes the computation repeatable, for Algorithm Parameters (PS3.3 10.16)."""
    attribution = explained.attribution
    found = {
        "method": attribution.method,
        "target": explained.package.finding(attribution.target).name,
        "sha256": explained.package.sha256,
        "evaluations": str(attribution.estimate.evaluations),
        **attribution.parameters,
    }
    for name, threshold in sorted(explained.prediction.thresholds.items()):
        found[f"site_threshold_{name}"] = f"{threshold:g}"
    if explained.prediction.signer:
        found["signed_by"] = explained.prediction.signer
    if attribution.taken_from:
        found["taken_from"] = attribution.taken_from
    return {ascii_text(k): ascii_text(str(v)) for k, v in found.items()}


def source_reference(source: Source, *, same_pixels: bool) -> Dataset:
    """Return an item of Source Image Sequence (PS3.3 C.7.6.1.1.4, C.12.4).

    Parameters
    ----------
    same_pixels : bool
        Whether our pixels lie where the source's lie (a picture's do not).
    """
    item = build.data_set(
        ReferencedSOPClassUID=source.sop_class_uid,
        ReferencedSOPInstanceUID=source.sop_instance_uid,
        PurposeOfReferenceCodeSequence=[codes.code_item(codes.SOURCE_IMAGE)],
        SpatialLocationsPreserved="YES" if same_pixels else "NO",
    )
    if source.has_frames:
        item.ReferencedFrameNumber = source.frame
    return item


def referenced_series(*sources: Source) -> Dataset:
    """Return an item of Referenced Series Sequence (PS3.3 C.12.2): the series of the sources."""
    instances = [
        build.data_set(
            ReferencedSOPClassUID=source.sop_class_uid,
            ReferencedSOPInstanceUID=source.sop_instance_uid,
        )
        for source in {source.sop_instance_uid: source for source in sources}.values()
    ]
    return build.data_set(
        SeriesInstanceUID=sources[0].series_instance_uid, ReferencedInstanceSequence=instances
    )


def to_file(dataset: Dataset) -> bytes:
    """Encode as a DICOM file (PS3.10), Explicit VR Little Endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = ascii_text(f"LIGHTBOX_{__version__}", 16)
    head = DicomBytesIO()
    head.is_little_endian, head.is_implicit_VR = True, False
    write_file_meta_info(head, meta)
    return b"".join([bytes(128), b"DICM", head.getvalue(), *parts_of(dataset)])
