"""From jobs to what people ask: what became of this instance, how does this study stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lightbox.domain.jobs import JobPath
from lightbox.domain.result import Disposition, ListedReason
from lightbox.domain.standing import (
    AuditStanding,
    AuditState,
    DeliveryState,
    InstanceStanding,
    JobStanding,
    JobState,
    ResultStanding,
    StudyStanding,
    Verdict,
)


def verdict_of(jobs: Sequence[JobStanding]) -> Verdict:
    """Judge an instance by the newest job of each model; at least one.

    Fast jobs decide where there are any, audits else. While one is open the instance is in
    progress; where one ended without delivery it is listed with that reason.
    """
    deciding = [job for job in jobs if job.job.path is JobPath.FAST] or list(jobs)
    waiting = [job for job in deciding if not job.state.is_end]
    # A newer revision that holds other instances replaces this job; nobody will finish it.
    replaced = [job for job in waiting if job.is_superseded]
    open_jobs = [job for job in waiting if not job.is_superseded]
    if open_jobs:
        first = min(open_jobs, key=_deadline)
        return Verdict(
            Disposition.IN_PROGRESS, owner=first.state.owner, deadline=first.job.deadline
        )
    if replaced:
        detail = "a newer revision of its unit does not hold it"
        return Verdict(Disposition.LISTED, ListedReason.SUPERSEDED, detail)
    for job in deciding:
        if job.state is not JobState.DELIVERED:
            return Verdict(Disposition.LISTED, job.reason, job.detail)
    return Verdict(Disposition.DELIVERED)


def summarise(
    study_instance_uid: str,
    instances: tuple[InstanceStanding, ...],
    jobs: tuple[JobStanding, ...],
) -> StudyStanding:
    """Put a study into one line; superseded revisions stay out."""
    current = tuple(job for job in jobs if not job.is_superseded)
    fast = [job for job in current if job.job.path is JobPath.FAST]
    audits = [job for job in current if job.job.path is JobPath.AUDIT]
    received_at = min((i.arrival.received_at for i in instances), default=0.0)
    audit = _audit(audits)
    if not fast:
        return StudyStanding(
            study_instance_uid,
            received_at,
            instances,
            audit=audit,
            results=tuple(_results(current)),
            jobs=current,
        )
    leading = min(fast, key=_importance)
    prediction = leading.prediction
    return StudyStanding(
        study_instance_uid,
        received_at,
        instances,
        modality=leading.job.modality,
        urgency=leading.job.urgency,
        rule=leading.job.rule,
        model=leading.job.model,
        finding=prediction.finding if prediction else "",
        confidence=prediction.confidence if prediction else None,
        deadline=leading.job.deadline,
        allowed=leading.job.deadline - leading.job.received_at,
        turnaround=_slowest(fast),
        is_met=_is_met(fast),
        expected=max(
            (j.expected_at - j.job.received_at for j in fast if j.expected_at), default=None
        ),
        audit=audit,
        results=tuple(_results(current)),
        jobs=current,
    )


def _audit(audits: Sequence[JobStanding]) -> AuditStanding:
    if not audits:
        return AuditStanding()
    newest = max(audits, key=_placed_at)
    state = _AUDIT_STATES.get(newest.state, AuditState.RUNNING)
    reason = newest.job.rule
    if state is AuditState.FAILED:
        reason = f"{newest.reason}: {newest.detail}"
    record = newest.record
    if record is None:
        return AuditStanding(state, reason, turnaround=newest.turnaround)
    return AuditStanding(
        state, reason, record.evaluations, record.exact, newest.turnaround, record.agreement
    )


_AUDIT_STATES = {
    JobState.PLACED: AuditState.WAITING,
    JobState.DELIVERED: AuditState.DONE,
    JobState.WITHHELD: AuditState.DONE,
    JobState.FAILED: AuditState.FAILED,
    JobState.DEAD_LETTER: AuditState.FAILED,
}


def _results(jobs: Iterable[JobStanding]) -> Iterable[ResultStanding]:
    for job in jobs:
        for result in job.results:
            mine = tuple(d for d in job.deliveries if d.result == result)
            taken = [d for d in mine if d.state is not DeliveryState.NOT_TAKEN]
            done = all(d.state is DeliveryState.DELIVERED for d in taken)
            stored = done and (bool(taken) or not mine)
            asked = [d.is_committed for d in mine if d.is_committed is not None]
            committed = all(asked) if asked else None
            yield ResultStanding(job.job.path, result, stored, mine, committed)


def _slowest(jobs: Sequence[JobStanding]) -> float | None:
    times = [job.turnaround for job in jobs if job.turnaround is not None]
    return max(times) if len(times) == len(jobs) else None


def _is_met(jobs: Sequence[JobStanding]) -> bool | None:
    if not all(job.state.is_end for job in jobs):
        return None
    return all(job.state is JobState.DELIVERED and job.ended_at <= job.job.deadline for job in jobs)


def _deadline(job: JobStanding) -> float:
    return job.job.deadline


def _placed_at(job: JobStanding) -> float:
    return job.job.placed_at


def _importance(job: JobStanding) -> tuple[int, float, str]:
    return (job.job.urgency.rank, job.job.placed_at, job.job.job_id)
