"""A ledger as a busy site has after months: what benchmarks of the ledger read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lightbox.domain.attribution import AttributionRecord
from lightbox.domain.events import (
    AssociationReleased,
    Attributed,
    DeadLettered,
    Delivered,
    Event,
    InstanceListed,
    InstanceStored,
    JobFailed,
    JobPlaced,
    JobStarted,
    Predicted,
    ResultsWritten,
    StudyReady,
)
from lightbox.domain.identity import derived_id, derived_uid
from lightbox.domain.jobs import Job, JobPath, job_identity
from lightbox.domain.prediction import FrameRef, Prediction
from lightbox.domain.result import ListedReason, Result, ResultKind
from lightbox.domain.study import Arrival, Instance
from lightbox.domain.urgency import Deadlines, Urgency
from lightbox.ledger.bulk import NewChain

DESTINATION = "pacs"
EVERY = 7.0
"""Seconds between two studies: twelve thousand a day."""

_AT_ONCE = 1000
_MODEL, _WEIGHTS = "chest_xray", derived_id("weights")
_MR = "1.2.840.10008.5.1.4.1.1.4"
_CLASSES = {
    ResultKind.SECONDARY_CAPTURE: "1.2.840.10008.5.1.4.1.1.7",
    ResultKind.SEGMENTATION: "1.2.840.10008.5.1.4.1.1.66.4",
    ResultKind.STRUCTURED_REPORT: "1.2.840.10008.5.1.4.1.1.88.22",
    ResultKind.PARAMETRIC_MAP: "1.2.840.10008.5.1.4.1.1.30",
}
_Timed = Iterator[tuple[float, Event]]


def write_ledger(folder: Path, rows: int, open_studies: int, now: float) -> int:
    """Write the chains of receive, control and work; return how many studies they hold.

    One study in five is listed, one in fifty failed, one in a hundred is a dead letter, one in
    ten was audited; the newest ``open_studies`` wait for their results.

    Parameters
    ----------
    folder : Path
        Empty.
    rows : int
        About so many in all.
    now : float
        When the newest study came, seconds since 1970.
    """
    count = max(1, int(rows / _ROWS_A_STUDY))
    chains = {name: NewChain(folder, name) for name in ("receive", "control", "work")}
    for start in range(0, count, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, count))
        studies = [_Study(n, now - (count - n) * EVERY, count - n <= open_studies) for n in numbers]
        for name, chain in chains.items():
            chain.extend(row for study in studies for row in study.rows(name))
    for chain in chains.values():
        chain.close()
    return count


def study_uid(number: int) -> str:
    """Return the UID of the n-th study."""
    return derived_uid("bench", "study", str(number))


_ROWS_A_STUDY = 12.96
"""Measured: the mean over many studies."""


class _Study:
    """What became of one study, told chain by chain."""

    def __init__(self, number: int, at: float, is_open: bool) -> None:  # noqa: FBT001  # private
        self._number = number
        self._at = at
        self._is_open = is_open
        self._instances = self._three()
        self._jobs = [] if number % 5 == 0 else [self._job(JobPath.FAST)]
        if number % 10 == 1 and not is_open:
            self._jobs.append(self._job(JobPath.AUDIT))
        self._results = {job.job_id: _results(job) for job in self._jobs}

    def rows(self, chain: str) -> _Timed:
        if chain == "receive":
            return self._receive()
        if not self._jobs:
            return self._listed() if chain == "control" else iter(())
        return (row for job in self._jobs for row in self._of_job(job, chain))

    def _three(self) -> tuple[Instance, ...]:
        name = str(self._number)
        return tuple(
            Instance(
                sop_instance_uid=derived_uid("bench", name, str(n)),
                sop_class_uid=_MR,
                study_instance_uid=study_uid(self._number),
                series_instance_uid=derived_uid("bench", "series", name),
                transfer_syntax_uid="1.2.840.10008.1.2.1",
                path=f"instances/20260101/{derived_id(name, str(n))[:24]}.dcm",
                sha256=derived_id("bytes", name, str(n)) * 2,
                size_bytes=526_000,
            )
            for n in range(3)
        )

    def _receive(self) -> _Timed:
        association = derived_id("association", str(self._number))
        arrival = Arrival(self._at, f"CT{self._number % 9}", "LIGHTBOX", "10.0.0.7", association)
        for instance in self._instances:
            yield self._at, InstanceStored(instance, arrival)
        yield self._at + 0.1, AssociationReleased(association, 3, "released")

    def _listed(self) -> _Timed:
        for each in self._instances:
            reason = (ListedReason.NO_MODEL, "made for other images")
            names = (each.study_instance_uid, each.sop_instance_uid, each.sha256)
            yield self._at + 0.2, InstanceListed(*names, *reason)

    def _job(self, path: JobPath) -> Job:
        urgency = list(Urgency)[self._number % 3]
        method = "grad_cam" if path is JobPath.FAST else "shapley"
        instances = self._instances
        return Job(
            job_id=job_identity(path, instances, _WEIGHTS, method),
            path=path,
            study_instance_uid=instances[0].study_instance_uid,
            series_instance_uid=instances[0].series_instance_uid,
            instances=instances,
            model=_MODEL,
            model_sha256=_WEIGHTS,
            method=method,
            urgency=urgency,
            rule="default",
            received_at=self._at,
            placed_at=self._at + 0.3,
            deadline=self._at + Deadlines().of(urgency),
            modality="MR",
        )

    def _of_job(self, job: Job, chain: str) -> _Timed:
        is_fast, study, at = job.path is JobPath.FAST, job.study_instance_uid, self._at
        if chain == "control":
            if is_fast:
                unit = (study, job.series_instance_uid, job.instances, job.model)
                yield at + 0.2, StudyReady(*unit, job.urgency, job.rule, at, 1, modality="MR")
            yield at + 0.3, JobPlaced(job)
            if not self._is_open and self._number % 50 != 3:
                yield from self._delivered(job)
        elif not self._is_open:
            yield at + 0.4, JobStarted(study, job.job_id)
            if self._number % 50 == 3:
                failed = JobFailed(study, job.job_id, ListedReason.FAILED, "no memory")
                yield at + 0.5, failed
            else:
                yield from self._computed(job)

    def _computed(self, job: Job) -> _Timed:
        study, at = job.study_instance_uid, self._at
        if job.path is JobPath.FAST:
            yield at + 0.5, Predicted(study, job.job_id, _prediction(job))
        yield at + 0.6, Attributed(study, job.job_id, _record(job))
        yield (
            at + 0.7,
            ResultsWritten(study, job.job_id, self._results[job.job_id], "", (DESTINATION,)),
        )

    def _delivered(self, job: Job) -> _Timed:
        for result in self._results[job.job_id]:
            what = (job.study_instance_uid, job.job_id, result.sop_instance_uid, DESTINATION)
            if self._number % 100 == 2:
                yield self._at + 0.9, DeadLettered(*what, 10, "no such host")
            else:
                yield self._at + 0.9, Delivered(*what, 1)


def _prediction(job: Job) -> Prediction:
    uid = job.instances[0].sop_instance_uid
    scores = {"normal": 0.07, "pneumonia": 0.93}
    told = (_MODEL, "1.0.0", _WEIGHTS, "pneumonia", 0.93, scores, 1)
    return Prediction(*told, FrameRef(uid), 3, 0.05, 0.02)


def _record(job: Job) -> AttributionRecord:
    values = () if job.path is JobPath.FAST else tuple(n / 7 for n in range(16))
    return AttributionRecord(
        job.method, 1, {}, len(values), True, 0.0, 0.0, 0.1, 0.9, values, {"pointing": 1.0}, (), 0.1
    )


def _results(job: Job) -> tuple[Result, ...]:
    kinds = list(_CLASSES) if job.path is JobPath.FAST else [ResultKind.STRUCTURED_REPORT]
    made = []
    for kind in kinds:
        uid = derived_uid("bench", job.job_id, kind)
        path = f"results/20260101/{uid}"
        made.append(
            Result(kind, _CLASSES[kind], uid, f"{path}.dcm", _WEIGHTS * 2, 9_000, f"{path}.png")
        )
    return tuple(made)
