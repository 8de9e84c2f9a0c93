"""The stop switch is effective for the very next start, chunk and sending: nobody remembers it.

So what is new waits for no look, and nothing that follows the switch by itself (what is released,
what is recorded) looks less often than four times a second: the promise is one second.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builders import a_job, a_result, an_instance
from fakes.clock import FakeClock
from fakes.destination import FakeDestination
from fakes.ledger import FakeLedger
from lightbox.app.operate.switch import Switch
from lightbox.app.processes import control, working
from lightbox.app.turns import Brake
from lightbox.deliver.outbox import Parcel
from lightbox.deliver.send import Send
from lightbox.domain.attribution import Attribution, Estimate
from lightbox.domain.errors import HeldError
from lightbox.domain.events import JobPlaced, JobStarted
from lightbox.domain.jobs import Job
from lightbox.domain.result import Result
from lightbox.explain.audit import finished
from lightbox.ports import Step
from lightbox.schedule.queues.lines import LINES
from lightbox.schedule.worker import Worker
from lightbox.settings import DestinationSettings
from lightbox.storage.files import Files

JOBS = tuple(a_job(an_instance(str(number))) for number in range(3))


def flag(root: Path) -> None:
    """Do what ``lightbox stop`` does, by hand."""
    (root / "stop").mkdir(exist_ok=True)
    (root / "stop" / "all").touch()


def test_a_job_that_is_handed_out_right_after_the_flag_does_not_start(tmp_path: Path) -> None:
    ledger, ran = FakeLedger(), list[str]()
    brake = Brake(ledger, tmp_path, FakeClock())
    ledger.record(*(JobPlaced(job) for job in JOBS))

    def run(job: Job, _: Step) -> None:
        ran.append(job.job_id)

    def no_step(name: str, function: Callable[[], str]) -> str:
        raise AssertionError(name, function)

    worker = Worker(ledger, run, FakeClock(), brake.hold)
    worker.handle(JOBS[0].job_id, no_step)
    flag(tmp_path)
    for job in JOBS[1:]:
        with pytest.raises(HeldError):
            worker.handle(job.job_id, no_step)
    assert ran == [JOBS[0].job_id]
    assert [e.job_id for e in ledger.events if isinstance(e, JobStarted)] == ran


def test_an_audit_computes_no_chunk_after_the_one_in_which_the_flag_came(tmp_path: Path) -> None:
    brake, computed = Brake(FakeLedger(), tmp_path, FakeClock()), list[int]()

    def chunks() -> Generator[Estimate, None, Attribution]:
        for number in range(100):
            computed.append(number)
            if number == 3:
                flag(tmp_path)
            yield Estimate(converged=False)
        raise AssertionError("nobody stopped it")

    @contextmanager
    def turn() -> Iterator[None]:
        brake.check(JOBS[0])
        yield

    with pytest.raises(HeldError):
        finished(chunks(), turn)
    assert computed == [0, 1, 2, 3]


def test_no_result_is_sent_after_the_one_in_hand(tmp_path: Path) -> None:
    switch = Switch(tmp_path, Files())

    class Pacs(FakeDestination):
        def send(self, result: Result) -> str:
            flag(tmp_path)
            return super().send(result)

    def is_held(parcel: Parcel) -> bool:
        return switch.stops(parcel.job_id)

    pacs = Pacs()
    send = Send(pacs, FakeLedger(), DestinationSettings(name="pacs"), FakeClock(), is_held=is_held)
    for job in JOBS:
        send.take(job.job_id, f"study of {job.job_id}", a_result(job), job.urgency)
    send.deliver_due()
    assert pacs.stored == [a_result(JOBS[0]).sop_instance_uid]
    assert send.waiting() == 2


def test_whoever_follows_the_switch_looks_four_times_a_second() -> None:
    looks = [control._LOOK_ANYWAY, working._LOOK_AT_SWITCH, *(line.poll for line in LINES.values())]
    assert max(looks) <= 0.25
