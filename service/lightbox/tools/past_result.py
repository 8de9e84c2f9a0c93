"""A past result, as the ledger tells it, and whether what it was made of is still there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lightbox.app.changes.newest_patient import newest_patient
from lightbox.app.models_in_force import copies_of
from lightbox.app.questions.predecessor import replaced_by
from lightbox.domain.attribution import AttributionRecord
from lightbox.domain.errors import LedgerError, ModelPackageError, NotApplicableError
from lightbox.domain.events import (
    Attributed,
    Event,
    FilesRemoved,
    JobPlaced,
    Predicted,
    Recorded,
    ResultsWritten,
    ServiceMarked,
)
from lightbox.domain.identity import is_uid
from lightbox.domain.jobs import Job, JobPath, job_identity
from lightbox.domain.keeping import removed_paths
from lightbox.domain.model_package import FAST_METHODS
from lightbox.domain.prediction import Prediction
from lightbox.domain.replaced import Replaced
from lightbox.domain.result import Result
from lightbox.domain.study import Instance
from lightbox.domain.study_account import Expectations, StudyAccount
from lightbox.infer.packages import LoadedPackage, find
from lightbox.ledger.timeline import LedgerReader, recorded
from lightbox.receive.stored_file import data_set_sha256

_WRITTEN = "results_written:"
_Kind = TypeVar("_Kind", JobPlaced, Predicted, Attributed)


@dataclass(frozen=True, slots=True)
class PastResult:
    """A result with what the ledger says of its making.

    Attributes
    ----------
    written_at : float
        Seconds since 1970.
    version : str
        Of the service that made it, or "".
    replaces : Replaced or None
        The earlier result that it supersedes.
    patient : Instance or None
        The image whose patient it carries; None: that of its source.
    """

    result: Result
    job: Job
    prediction: Prediction
    record: AttributionRecord
    written_at: float
    version: str
    replaces: Replaced | None = None
    patient: Instance | None = None


def past_result(reader: LedgerReader, sop_instance_uid: str) -> PastResult:
    """Find a result in the ledger.

    Raises
    ------
    NotApplicableError
        If it is none of ours, or the ledger lacks a part of its story.
    """
    written = _written(reader, sop_instance_uid)
    if written is None:
        raise NotApplicableError(
            f"result {sop_instance_uid}",
            "is not in this ledger",
            "give the SOP Instance UID of a result: lightbox studies UID lists them",
        )
    event = written.event
    assert isinstance(event, ResultsWritten)
    result = next(r for r in event.results if r.sop_instance_uid == sop_instance_uid)
    placed = _event(reader, f"job_placed:{event.job_id}", JobPlaced)
    job = placed.job
    predicted_by = job.job_id if job.path is JobPath.FAST else _fast_job(reader, job)
    return PastResult(
        result=result,
        job=job,
        prediction=_event(reader, f"predicted:{predicted_by}", Predicted).prediction,
        record=_event(reader, f"attributed:{job.job_id}", Attributed).record,
        replaces=replaced_by(reader.find, job),
        written_at=written.at,
        version=_version(reader, written),
        patient=newest_patient(reader, job),
    )


def _fast_job(reader: LedgerReader, job: Job) -> str:
    """Return the fast job that an audit is of, whichever map the package named then."""
    known = [
        job_identity(JobPath.FAST, job.instances, job.model_sha256, method)
        for method in FAST_METHODS
    ]
    return next((each for each in known if reader.find(f"predicted:{each}")), known[0])


def changed_sources(job: Job, root: Path, removed: Mapping[str, FilesRemoved]) -> tuple[str, ...]:
    """Say of each source file that is gone, or is no longer what was received, in one line.

    ``removed`` says of paths that they were removed on purpose.
    """
    found = []
    for instance in job.instances:
        path = root / instance.path
        now = data_set_sha256(path)
        if not path.is_file():
            row = removed.get(instance.path)
            why = f"was {row.words}" if row else "is gone"
            found.append(f"source {instance.sop_instance_uid}: its file {path} {why}")
        elif now != instance.sha256:
            found.append(
                f"source {instance.sop_instance_uid}: its file {path} has other bytes than were "
                f"received (SHA-256 {now or 'of no DICOM file of ours'}, recorded {instance.sha256})"
            )
    return tuple(found)


def removals(reader: LedgerReader, study: str) -> Mapping[str, FilesRemoved]:
    """Return the files of a study that were removed on purpose, by path."""
    account = StudyAccount(study, Expectations())
    for row in reader.timeline(study):
        account.apply(row)
    return removed_paths(account)


def same_package(job: Job, models: Path, data: Path) -> LoadedPackage:
    """Return the package that the job names, with the weights that it names.

    ``models`` is where packages are installed, ``data`` the data directory with the versions that
    were put in force while the service ran.

    Raises
    ------
    ModelPackageError
        If there is none, or its weights are others.
    """
    for copy in copies_of(data, job.model):
        if copy.package.sha256 == job.model_sha256:
            return copy
    found = find(models, (job.model,))
    for loaded in found.packages:
        if loaded.package.name == job.model:
            if loaded.package.sha256 == job.model_sha256:
                return loaded
            raise ModelPackageError(
                str(loaded.folder),
                f"has the weights {loaded.package.sha256}, the result was made with "
                f"{job.model_sha256}",
                "bring back the package of that time, or name its folder under [models] path",
            )
    if found.problems:
        raise found.problems[0]
    raise ModelPackageError(
        f"model {job.model!r}", f"is not under {models}", "bring the package back"
    )


def object_now(result: Result, root: Path) -> str:
    """Say how the stored object stands: "as recorded", "changed" or "gone"."""
    try:
        data = (root / result.path).read_bytes()
    except OSError:
        return "gone"
    return "as recorded" if hashlib.sha256(data).hexdigest() == result.sha256 else "changed"


def _written(reader: LedgerReader, sop_instance_uid: str) -> Recorded | None:
    """Read the bodies that name the UID, and no others: a ledger may be long."""
    if not is_uid(sop_instance_uid):
        return None
    for chain in reader.chains():
        for row in reader.rows(chain):
            if row.key.startswith(_WRITTEN) and f'"{sop_instance_uid}"' in row.body:
                found = recorded(chain, row)
                if sop_instance_uid in _uids(found.event):
                    return found
    return None


def _uids(event: Event) -> tuple[str, ...]:
    results = event.results if isinstance(event, ResultsWritten) else ()
    return tuple(result.sop_instance_uid for result in results)


def _event(reader: LedgerReader, key: str, kind: type[_Kind]) -> _Kind:
    found = reader.find(key)
    if found is None or not isinstance(found.event, kind):
        raise LedgerError(
            f"ledger row {key}", "is not there", "run `lightbox ledger prove`: it says what is lost"
        )
    return found.event


def _version(reader: LedgerReader, written: Recorded) -> str:
    """Return the version of the process that wrote the row: what its chain said at its start."""
    starts = (
        row
        for row in (recorded(written.chain, raw) for raw in reader.anchors(written.chain))
        if row.sequence < written.sequence
    )
    versions = [row.event.version for row in starts if isinstance(row.event, ServiceMarked)]
    return versions[-1] if versions else ""
