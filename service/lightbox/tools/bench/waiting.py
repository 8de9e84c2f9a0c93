"""What waiting results cost: a process that holds them as control does, and looks at its memory.

Every event is read from its JSON, as from the ledger, so nothing is shared that is not shared there.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from lightbox.app.clock import SystemClock
from lightbox.deliver.send import Send
from lightbox.deliver.status import Action, DestinationError
from lightbox.domain.account import Account
from lightbox.domain.errors import DeliveryError
from lightbox.domain.events import (
    Event,
    InstanceStored,
    JobPlaced,
    Recorded,
    ResultsWritten,
    StudyReady,
    from_json,
    to_json,
)
from lightbox.domain.identity import JobId, derived_id, derived_uid
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.result import Result, ResultKind
from lightbox.domain.study import Arrival, Instance
from lightbox.domain.urgency import Urgency
from lightbox.results import codes
from lightbox.settings import DestinationSettings

STUDY_RESULTS = 4
_KINDS = {
    ResultKind.SECONDARY_CAPTURE: codes.SECONDARY_CAPTURE,
    ResultKind.SEGMENTATION: codes.SEGMENTATION,
    ResultKind.STRUCTURED_REPORT: codes.ENHANCED_SR,
    ResultKind.PARAMETRIC_MAP: codes.PARAMETRIC_MAP,
}


def cost_of_waiting(results: int, answer: Connection, *, holds_account: bool) -> None:
    """Send through the pipe by how many bytes this process grows with so many waiting results."""
    answer.send(_grown_by(results, holds_account=holds_account))
    answer.close()


class _Down:
    """A destination that does not answer."""

    name = "archive"

    def echo(self) -> None:
        raise DestinationError(Action.UNREACHABLE, self.name, "connection refused", "start it")

    def send(self, _: Result) -> str:
        self.echo()
        return ""

    def close(self) -> None:
        """Nothing is held."""


class _NoLedger:
    """Takes every event and keeps none: what it keeps is on the disk."""

    def record(self, *events: Event) -> tuple[Recorded, ...]:
        return tuple(Recorded("control", 1, 0.0, "", event) for event in events)

    def find(self, key: str) -> None:  # nothing was recorded
        """Find nothing."""


def _grown_by(results: int, *, holds_account: bool) -> int:
    """Return by how many bytes the process has grown with so many waiting results."""
    settings = DestinationSettings(name="archive", ae_title="ARCHIVE", retries=10**6)
    send = Send(_Down(), _NoLedger(), settings, SystemClock())  # type: ignore[arg-type]  # what waits is only recorded
    account = Account(("archive",))
    _take(send, account if holds_account else None, range(-1, 0))  # what is loaded once
    before = _resident()
    _take(send, account if holds_account else None, range(results // STUDY_RESULTS))
    send.deliver_due()
    if send.waiting() < results:
        raise DeliveryError("outbox", f"holds {send.waiting()} results of {results}", "")
    return _resident() - before


def _take(send: Send, account: Account | None, studies: range) -> None:
    for number in studies:
        for event in (from_json(to_json(each)) for each in _events(number)):
            if account is not None:
                account.apply(Recorded("control", number + 2, time.monotonic(), "0" * 64, event))
            if isinstance(event, ResultsWritten):
                for result in event.results:
                    send.take(event.job_id, event.study, result, Urgency.ROUTINE)


def _events(number: int) -> Iterator[Event]:
    """Yield what the ledger says of a study of one image whose results wait."""
    study, series, sop = (derived_uid("waiting", what, str(number)) for what in ("a", "b", "c"))
    digest = derived_id("waiting", str(number)) * 2
    instance = Instance(
        sop_instance_uid=sop,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
        study_instance_uid=study,
        series_instance_uid=series,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=f"instances/{digest[:2]}/{digest[:32]}.dcm",
        sha256=digest[:64],
        size_bytes=2**19,
    )
    yield InstanceStored(instance, Arrival(1.0, "PACS", "LIGHTBOX", "10.0.0.5", digest[:16]))
    ready = StudyReady(study, series, (instance,), "model", "ROUTINE", "default", 1.0, 1)
    yield ready
    job = Job(
        JobId(digest[:32]), JobPath.FAST, study, series, (instance,), "model", "0" * 64,
        "grad_cam", Urgency.ROUTINE, "default", 1.0, 1.0, 301.0,
    )  # fmt: skip
    yield JobPlaced(job)
    results = tuple(_result(kind, str(number)) for kind in _KINDS)
    yield ResultsWritten(study, job.job_id, results, destinations=("archive",))


def _result(kind: ResultKind, number: str) -> Result:
    uid = derived_uid("waiting", kind, number)
    stem = f"results/20260101/{uid}"
    return Result(kind, str(_KINDS[kind]), uid, f"{stem}.dcm", "0" * 64, 2**20)


def _resident() -> int:
    """Return the resident memory of this process, bytes."""
    gc.collect()
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
