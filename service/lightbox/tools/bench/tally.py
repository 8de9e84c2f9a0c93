"""What became of every job of a day, read from the ledger: when each of its steps was done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lightbox.domain.events import (
    Attributed,
    Delivered,
    JobPlaced,
    JobStarted,
    NotTaken,
    Predicted,
    Recorded,
    ResultsWritten,
)
from lightbox.domain.jobs import Job, JobPath

STAGES = ("receive", "wait", "decode", "device", "infer", "explain", "encode", "deliver")
"""Of a fast job, in order; "device" is the wait for it."""


@dataclass(slots=True)
class JobTimes:
    """Moments of one job, seconds since 1970; 0 where it has not come so far."""

    job: Job
    placed: float = 0.0
    started: float = 0.0
    predicted: float = 0.0
    attributed: float = 0.0
    written: float = 0.0
    ended: float = 0.0
    decode_seconds: float = 0.0
    infer_seconds: float = 0.0
    explain_seconds: float = 0.0
    awaited: set[str] = field(default_factory=set)

    def turnaround(self, now: float) -> float:
        """Return seconds from the last byte to the archive, or until now if it is not there."""
        return (self.ended or now) - self.job.received_at

    @property
    def is_met(self) -> bool:
        """Whether it was in the archive in time."""
        return 0.0 < self.ended <= self.job.deadline

    def stages(self) -> Mapping[str, float]:
        """Return the seconds of each stage of a fast job that has ended."""
        asked = self.predicted - self.started
        return {
            "receive": self.placed - self.job.received_at,
            "wait": self.started - self.placed,
            "decode": self.decode_seconds,
            "device": max(0.0, asked - self.decode_seconds - self.infer_seconds),
            "infer": self.infer_seconds,
            "explain": self.attributed - self.predicted,
            "encode": self.written - self.attributed,
            "deliver": self.ended - self.written,
        }


class Tally:
    """Takes the ledger's rows in; asks nobody."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobTimes] = {}
        self.positions: dict[str, int] = {}

    def take(self, rows: Iterable[Recorded]) -> None:
        """Take further rows in."""
        for recorded in rows:
            self.positions[recorded.chain] = recorded.sequence
            event = recorded.event
            if isinstance(event, JobPlaced):
                self.jobs[event.job.job_id] = JobTimes(event.job, placed=recorded.at)
            elif (times := self.jobs.get(getattr(event, "job_id", ""))) is not None:
                _note(times, recorded)

    def of(self, path: JobPath) -> Sequence[JobTimes]:
        """Return the jobs of one path."""
        return [times for times in self.jobs.values() if times.job.path is path]


def _note(times: JobTimes, recorded: Recorded) -> None:
    at = recorded.at
    match recorded.event:
        case JobStarted():
            times.started = times.started or at
        case Predicted(prediction=prediction):
            times.predicted = at
            times.decode_seconds = prediction.decode_seconds
            times.infer_seconds = prediction.infer_seconds
        case Attributed(record=record):
            times.attributed, times.explain_seconds = at, record.seconds
        case ResultsWritten(results=results):
            times.written = at
            times.awaited = {result.sop_instance_uid for result in results}
        case Delivered() | NotTaken() as event:
            times.awaited.discard(event.sop_instance_uid)
            if times.written and not times.awaited:
                times.ended = times.ended or at
        case _:
            pass
