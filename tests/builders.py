"""Objects for tests: each builder gives something right, and takes what a test cares about.

Append only. ``an_instance(sop="1.2.3")`` says what matters; all else is plausible.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from lightbox.domain.attribution import AttributionRecord
from lightbox.domain.events import InstanceStored, JobPlaced, Predicted, ResultsWritten, StudyReady
from lightbox.domain.identity import JobId, derived_uid
from lightbox.domain.jobs import Job, JobPath, job_identity
from lightbox.domain.model_package import Accepts, Code, Finding, ModelPackage, Preprocessing
from lightbox.domain.prediction import FrameRef, Prediction
from lightbox.domain.result import Result, ResultKind
from lightbox.domain.study import Arrival, Described, Instance
from lightbox.domain.urgency import Deadlines, Urgency

NOON = 1_790_000_000.0
"""Seconds since 1970 of an ordinary moment."""

DIGITAL_X_RAY = "1.2.840.10008.5.1.4.1.1.1.1"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"

_RESULT_CLASSES = {
    ResultKind.SECONDARY_CAPTURE: "1.2.840.10008.5.1.4.1.1.7",
    ResultKind.SEGMENTATION: "1.2.840.10008.5.1.4.1.1.66.4",
    ResultKind.STRUCTURED_REPORT: "1.2.840.10008.5.1.4.1.1.88.22",
    ResultKind.PARAMETRIC_MAP: "1.2.840.10008.5.1.4.1.1.30",
    ResultKind.KEY_OBJECT: "1.2.840.10008.5.1.4.1.1.88.59",
    ResultKind.KEY_IMAGES: "1.2.840.10008.5.1.4.1.1.88.59",
    ResultKind.PRESENTATION_STATE: "1.2.840.10008.5.1.4.1.1.11.1",
    ResultKind.LESION: "1.2.840.10008.5.1.4.1.1.66.4",
    ResultKind.MOSAIC: "1.2.840.10008.5.1.4.1.1.7",
    ResultKind.SLICE: "1.2.840.10008.5.1.4.1.1.7",
}


def a_uid(*parts: str) -> str:
    """Return a UID that these words always give."""
    return derived_uid("test", *parts)


def a_digest(*parts: str) -> str:
    """Return a SHA-256 that these words always give."""
    return sha256("\x1f".join(parts).encode()).hexdigest()


def an_instance(
    name: str = "1",
    *,
    sop: str = "",
    study: str = "",
    series: str = "",
    sop_class: str = DIGITAL_X_RAY,
    content: str = "",
    path: str = "",
) -> Instance:
    """Return an instance; ``name`` tells several of one study apart, ``content`` its bytes."""
    sop = sop or a_uid("sop", name)
    digest = a_digest("bytes", sop, content)
    return Instance(
        sop_instance_uid=sop,
        sop_class_uid=sop_class,
        study_instance_uid=study or a_uid("study"),
        series_instance_uid=series or a_uid("series", study),
        transfer_syntax_uid=EXPLICIT_LITTLE,
        path=path or f"instances/{digest[:16]}.dcm",
        sha256=digest,
        size_bytes=1024,
    )


def an_arrival(
    received_at: float = NOON,
    *,
    called: str = "LIGHTBOX",
    calling: str = "MODALITY",
    association: str = "a1",
    priority: int = 0,
) -> Arrival:
    """Return how an instance came."""
    return Arrival(received_at, calling, called, "127.0.0.1", association, priority)


def a_described(instance: Instance | None = None, **attributes: str) -> Described:
    """Return an instance with header attributes (keywords as in DICOM)."""
    return Described(instance or an_instance(), an_arrival(), attributes)


def a_stored(instance: Instance | None = None, arrival: Arrival | None = None) -> InstanceStored:
    """Return the event that an instance is on disk."""
    return InstanceStored(instance or an_instance(), arrival or an_arrival())


def a_job(
    *instances: Instance,
    path: JobPath = JobPath.FAST,
    model: str = "chest_xray",
    method: str = "",
    urgency: Urgency = Urgency.ROUTINE,
    rule: str = "default",
    received_at: float = NOON,
    placed_at: float = 0.0,
    revision: int = 1,
    supersedes: str = "",
) -> Job:
    """Return a job; its identifier is derived as the service does it."""
    units = instances or (an_instance(),)
    how = method or ("grad_cam" if path is JobPath.FAST else "shapley")
    weights = a_digest("weights", model)
    return Job(
        job_id=job_identity(path, units, weights, how),
        path=path,
        study_instance_uid=units[0].study_instance_uid,
        series_instance_uid=units[0].series_instance_uid,
        instances=units,
        model=model,
        model_sha256=weights,
        method=how,
        urgency=urgency,
        rule=rule,
        received_at=received_at,
        placed_at=placed_at or received_at + 0.1,
        deadline=received_at + Deadlines().of(urgency),
        revision=revision,
        supersedes=supersedes,
    )


def a_placed_job(*instances: Instance, **how: object) -> JobPlaced:
    """Return the event that a job exists."""
    return JobPlaced(a_job(*instances, **how))  # type: ignore[arg-type]  # passes a_job's own keywords on


def a_ready_study(*instances: Instance, model: str = "chest_xray", revision: int = 1) -> StudyReady:
    """Return the event that a unit is complete."""
    units = instances or (an_instance(),)
    return StudyReady(
        study_instance_uid=units[0].study_instance_uid,
        series_instance_uid=units[0].series_instance_uid,
        instances=units,
        model=model,
        urgency=Urgency.ROUTINE,
        rule="default",
        received_at=NOON,
        revision=revision,
    )


def a_prediction(finding: str = "pneumonia", confidence: float = 0.93) -> Prediction:
    """Return what a two-class model said."""
    return Prediction(
        model="chest_xray",
        version="1.0.0",
        model_sha256=a_digest("weights", "chest_xray"),
        finding=finding,
        confidence=confidence,
        scores={finding: confidence, "other": 1 - confidence},
        target=0,
        key_frame=FrameRef(a_uid("sop", "1")),
    )


def an_attribution_record(
    method: str = "grad_cam", evaluations: int = 1, agreement: float | None = None
) -> AttributionRecord:
    """Return what the ledger keeps of an explanation."""
    exact = method == "shapley_exact"
    return AttributionRecord(
        method=method,
        target=0,
        parameters={},
        evaluations=evaluations,
        exact=exact,
        standard_error_max=0.0,
        completeness_residual=0.0,
        v_empty=0.1,
        v_full=0.93,
        values=(),
        quality={},
        warnings=(),
        seconds=0.02,
        agreement=agreement,
    )


def a_result(job: Job, kind: ResultKind = ResultKind.SECONDARY_CAPTURE) -> Result:
    """Return a result object of a job."""
    uid = derived_uid("result", job.job_id, kind)
    return Result(
        kind=kind,
        sop_class_uid=_RESULT_CLASSES[kind],
        sop_instance_uid=uid,
        path=f"results/{uid}.dcm",
        sha256=a_digest("result", uid),
        size_bytes=2048,
        preview=f"results/{uid}.png",  # as 0.1 wrote it: such rows stay in ledgers
    )


def a_predicted(job: Job, prediction: Prediction | None = None) -> Predicted:
    """Return the event that the model has spoken."""
    return Predicted(job.study_instance_uid, job.job_id, prediction or a_prediction())


def a_written(job: Job, *kinds: ResultKind, withheld: str = "") -> ResultsWritten:
    """Return the event that a job's results are on disk (one picture, unless withheld)."""
    made = kinds or (() if withheld else (ResultKind.SECONDARY_CAPTURE,))
    results = tuple(a_result(job, kind) for kind in made)
    return ResultsWritten(job.study_instance_uid, job.job_id, results, withheld)


def renamed(job: Job, job_id: str) -> Job:
    """Return the same job under another identifier."""
    return replace(job, job_id=JobId(job_id))


def a_result_file(
    root: Path, name: str = "1", kind: ResultKind = ResultKind.SECONDARY_CAPTURE, study: str = ""
) -> Result:
    """Write a small DICOM object of this kind under ``root`` and return it as a result.

    It has the right SOP class and is no complete IOD: enough for archives, which check neither.
    """
    uid = derived_uid("result file", name, kind)
    header = Dataset()
    header.SOPClassUID = _RESULT_CLASSES[kind]
    header.SOPInstanceUID = uid
    header.StudyInstanceUID = study or a_uid("study")
    header.SeriesInstanceUID = a_uid("series", study, kind)
    header.PatientID = "TEST"
    header.PatientName = "Test^Nobody"
    header.Modality = "OT"
    header.InstanceNumber = 1
    path = root / "results" / f"{uid}.dcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.save_as(path, enforce_file_format=True)
    data = path.read_bytes()
    digest = sha256(data).hexdigest()
    return Result(kind, header.SOPClassUID, uid, f"results/{uid}.dcm", digest, len(data))


def a_key_object(
    rejected: dict[str, list[str]], title: str = "113001", *, study: str = "", scheme: str = "DCM"
) -> Dataset:
    """Return a Key Object Selection that names images (study → SOP Instance UIDs), by its title."""
    note = Dataset()
    note.file_meta = FileMetaDataset()
    note.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    note.SOPClassUID = _RESULT_CLASSES[ResultKind.KEY_OBJECT]
    note.SOPInstanceUID = a_uid("note", title, *(uid for of in rejected.values() for uid in of))
    note.file_meta.MediaStorageSOPClassUID = note.SOPClassUID
    note.file_meta.MediaStorageSOPInstanceUID = note.SOPInstanceUID
    note.StudyInstanceUID = study or next(iter(rejected), a_uid("study"))
    note.SeriesInstanceUID = a_uid("notes", note.StudyInstanceUID)
    note.Modality, note.PatientID, note.PatientName = "KO", "", ""
    note.SeriesNumber, note.InstanceNumber, note.ValueType = 99, 1, "CONTAINER"
    name = Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = title, scheme, "a title"
    note.ConceptNameCodeSequence = [name]
    note.CurrentRequestedProcedureEvidenceSequence = []
    for of_study, uids in rejected.items():
        evidence, series = Dataset(), Dataset()
        evidence.StudyInstanceUID = of_study
        series.SeriesInstanceUID = a_uid("series", of_study)
        series.ReferencedSOPSequence = []
        for uid in uids:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = MR_IMAGE, uid
            series.ReferencedSOPSequence.append(item)
        evidence.ReferencedSeriesSequence = [series]
        note.CurrentRequestedProcedureEvidenceSequence.append(evidence)
    return note


def a_model(
    name: str, unit: str = "instance", modality: str = "DX", **accepts: tuple[str | int, ...]
) -> ModelPackage:
    """Return a model of one finding, for images or, ``unit="series"``, for series."""
    return ModelPackage(
        name=name,
        version="1.0.0",
        sha256=a_digest("weights", name),
        unit="series" if unit == "series" else "instance",
        intended_use="tests",
        licence="CC0",
        citation="none",
        accepts=Accepts.model_validate({"modality": (modality,), **accepts}),
        preprocessing=Preprocessing(size=(64, 64)),
        findings=(Finding(name="x", label="X", code=Code(scheme="99", value="1", meaning="X")),),
    )
