"""What operators ask is done, recorded with their name, and never done twice."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from builders import NOON, a_job, a_predicted, a_result, a_stored, a_uid, a_written, an_instance
from fakes.clock import FakeClock
from fakes.destination import FakeDestination
from fakes.ledger import FakeLedger
from lightbox.app.operate.operations import Operations
from lightbox.app.operate.switch import Flag, Switch, SwitchedQueue
from lightbox.app.questions.off_peak import OffPeak
from lightbox.deliver.send import Send
from lightbox.domain.account import Account
from lightbox.domain.errors import OperationError
from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    DeliveryRevived,
    FilesRemoved,
    JobFailed,
    JobPlaced,
    JobRetried,
    OperatorActed,
    RemovedFile,
    StudyUrged,
)
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.operations import Action, Outcome, Request
from lightbox.domain.result import ListedReason
from lightbox.domain.urgency import Deadlines, Urgency
from lightbox.schedule.place import Place
from lightbox.schedule.queues.memory import MemoryQueue
from lightbox.settings import DestinationSettings
from lightbox.storage.files import Files

Kind = TypeVar("Kind")

PACS = DestinationSettings(name="pacs")
JOB = a_job(an_instance("1"))
OTHER = a_job(an_instance("2", study=a_uid("other study")))


class SpyQueue(MemoryQueue):
    """Notes what it is given and told to cancel."""

    def __init__(self) -> None:
        super().__init__(1)
        self.placed: list[tuple[str, int]] = []
        self.cancelled: list[str] = []

    def place(self, job: Job) -> None:
        self.placed.append((job.job_id, job.attempt))

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)


class Books:
    """Everything that ever was, folded from a ledger in memory each time."""

    def __init__(self, ledger: FakeLedger) -> None:
        self._ledger = ledger

    def account_of(self, studies: Collection[str]) -> Account:
        account = Account(("pacs",))
        for row in self._ledger.since({}):
            if row.event.study in studies:
                account.apply(row)
        return account

    def study_of(self, uid: str) -> str:
        account = self.account_of(self.needing_person())
        named = [job.job.study_instance_uid for job in account.jobs_of(uid)]
        return named[0] if named else uid if account.study(uid).instances else ""

    def needing_person(self) -> tuple[str, ...]:
        return tuple({event.study: None for event in self._ledger.events if event.study})


class Bench:
    """Operations over a ledger in memory; ``ask`` reads the ledger first, as control does."""

    def __init__(self, root: Path, *events: object) -> None:
        self.clock = FakeClock(NOON)
        self.ledger = FakeLedger(self.clock)
        self.account = Account(("pacs",))
        self.queue = SpyQueue()
        self.pacs = FakeDestination()
        self.switch = Switch(root, Files())
        self.off_peak = OffPeak("", self.clock)
        switched = SwitchedQueue(self.queue, self.switch, self.account.unplaced_jobs, self.off_peak)
        self.switched = switched
        self.send = Send(self.pacs, self.ledger, PACS, self.clock, is_held=self._is_held)
        self.operations = Operations(
            root=root,
            ledger=self.ledger,
            account=self.account,
            read_model=Books(self.ledger),
            lock=threading.RLock(),
            place=Place(self.ledger, switched, Deadlines(), {}, self.clock),
            queue=switched,
            destinations={"pacs": (PACS, self.send)},
            switch=self.switch,
            clock=self.clock,
            off_peak=self.off_peak,
        )
        self.ledger.record(*events)  # type: ignore[arg-type]  # events, named as objects for brevity

    def _is_held(self, _parcel: object) -> bool:
        return self.switch.stops(JOB.model)

    def ask(
        self, action: Action, subject: str = "all", method: str = "shapley", urgency: str = ""
    ) -> Outcome:
        self.clock.advance(1.0)
        self.read()
        asked = Request(action, subject, "anna", self.clock.now(), method, urgency)
        done = self.operations.perform(asked)
        self.read()
        return done

    def look(self) -> None:
        self.read()
        self.operations.look()

    def read(self) -> None:
        for row in self.ledger.since(self.account.positions):
            self.account.apply(row)

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.ledger.events if isinstance(event, kind)]


def failed(job: Job, reason: ListedReason = ListedReason.FAILED, attempt: int = 1) -> JobFailed:
    return JobFailed(job.study_instance_uid, job.job_id, reason, "no memory", attempt)


def dead(job: Job, attempt: int = 1) -> DeadLettered:
    uid = a_result(job).sop_instance_uid
    return DeadLettered(job.study_instance_uid, job.job_id, uid, "pacs", attempt, "no such host")


def test_a_dead_letter_goes_out_again_and_the_ledger_says_who_sent_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, a_stored(JOB.instances[0]), JobPlaced(JOB), a_written(JOB), dead(JOB))
    done = bench.ask("retry")
    assert (done.is_done, done.lines) == (True, ("pacs: 1 result goes out again",))
    bench.send.deliver_due()
    uid = a_result(JOB).sop_instance_uid
    assert bench.pacs.stored == [uid]
    assert [(e.sop_instance_uid, e.attempt, e.by) for e in bench.of(DeliveryRevived)] == [
        (uid, 1, "anna")
    ]
    assert [e.attempt for e in bench.of(Delivered)] == [2]
    assert [(e.action, e.by) for e in bench.of(OperatorActed)] == [("retry", "anna")]


def test_what_is_stored_and_was_never_promised_goes_out_again_too(tmp_path: Path) -> None:
    uid = a_result(JOB).sop_instance_uid
    of = (JOB.study_instance_uid, JOB.job_id, uid, "pacs")
    lost = DeadLettered(*of, 3, "stored but not committed: no such object", again=3)
    story = (a_stored(JOB.instances[0]), JobPlaced(JOB), a_written(JOB))
    bench = Bench(tmp_path, *story, Delivered(*of, 3, again=2), lost)
    done = bench.ask("retry", uid)
    assert (done.is_done, done.lines) == (True, ("pacs: 1 result goes out again",))
    bench.send.deliver_due()
    assert bench.pacs.stored == [uid]


def test_what_retention_removed_is_not_tried_again_and_the_answer_says_so(tmp_path: Path) -> None:
    image, result = JOB.instances[0], a_result(JOB)
    files = (RemovedFile(image.path), RemovedFile(result.path))
    gone = FilesRemoved(JOB.study_instance_uid, 0, "retention", NOON, files)
    bench = Bench(tmp_path, a_stored(image), JobPlaced(JOB), a_written(JOB), dead(JOB), gone)
    done = bench.ask("retry")
    assert not done.is_done
    assert "its file was removed by retention on " in done.lines[0]
    other = Bench(tmp_path, a_stored(image), JobPlaced(JOB), failed(JOB), gone)
    done = other.ask("retry", JOB.study_instance_uid)
    assert not done.is_done
    assert "its images were removed by retention on " in done.lines[0]
    assert (bench.of(DeliveryRevived), other.of(JobRetried), other.queue.placed) == ([], [], [])


def test_a_result_by_its_uid_is_retried_alone(tmp_path: Path) -> None:
    events = [e for job in (JOB, OTHER) for e in (JobPlaced(job), a_written(job), dead(job))]
    bench = Bench(tmp_path, *events)
    assert bench.ask("retry", a_result(OTHER).sop_instance_uid).is_done
    bench.send.deliver_due()
    assert bench.pacs.stored == [a_result(OTHER).sop_instance_uid]


def test_what_did_not_fail_is_not_retried_and_nothing_is_recorded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, a_stored(JOB.instances[0]), JobPlaced(JOB))
    assert bench.ask("retry") == Outcome(is_done=True, lines=("nothing has failed",))
    assert not bench.ask("retry", JOB.study_instance_uid).is_done
    assert bench.of(OperatorActed) == []
    with pytest.raises(OperationError, match="not known here"):
        bench.ask("retry", "1.2.3")


def test_a_failed_job_is_placed_as_a_new_attempt_each_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, JobPlaced(JOB), failed(JOB))
    assert bench.ask("retry").is_done
    assert bench.queue.placed == [(JOB.job_id, 2)]
    assert bench.ask("retry").lines == ("nothing has failed",)
    bench.ledger.record(failed(JOB, attempt=2))
    assert bench.ask("retry", JOB.study_instance_uid).is_done
    assert bench.queue.placed == [(JOB.job_id, 2), (JOB.job_id, 3)]
    assert [e.attempt for e in bench.of(JobRetried)] == [2, 3]


def test_a_cancelled_job_is_retried_only_by_its_name(tmp_path: Path) -> None:
    bench = Bench(tmp_path, JobPlaced(JOB), failed(JOB, ListedReason.CANCELLED))
    bench.ask("retry")
    assert bench.queue.placed == []
    bench.ask("retry", JOB.instances[0].sop_instance_uid)
    assert bench.queue.placed == [(JOB.job_id, 2)]


def test_what_a_rejection_note_ended_is_not_tried_again_and_the_answer_says_so(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, JobPlaced(JOB), failed(JOB, ListedReason.REJECTED))
    assert bench.ask("retry").lines == ("nothing has failed",)
    done = bench.ask("retry", JOB.instances[0].sop_instance_uid)
    assert not done.is_done
    assert "send the right images" in done.lines[0]
    assert bench.queue.placed == []


def test_cancelling_ends_what_waits_or_runs_and_nothing_else(tmp_path: Path) -> None:
    bench = Bench(tmp_path, a_stored(JOB.instances[0]), JobPlaced(JOB), JobPlaced(OTHER))
    assert bench.ask("cancel", JOB.study_instance_uid).is_done
    assert bench.queue.cancelled == [JOB.job_id]
    (standing,) = bench.account.instances()
    assert (standing.verdict.reason, standing.verdict.detail) == ("cancelled", "cancelled by anna")
    assert not bench.ask("cancel", JOB.study_instance_uid).is_done
    assert [e.job_id for e in bench.of(JobFailed)] == [JOB.job_id]


def test_results_that_are_written_are_not_cancelled(tmp_path: Path) -> None:
    bench = Bench(tmp_path, JobPlaced(JOB), a_written(JOB))
    assert not bench.ask("cancel", JOB.study_instance_uid).is_done
    assert bench.of(JobFailed) == []


def test_an_audit_is_requested_by_name_and_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, JobPlaced(JOB), a_predicted(JOB))
    assert bench.ask("audit", JOB.study_instance_uid).is_done
    audit = bench.of(JobPlaced)[-1].job
    assert (audit.path, audit.method) == (JobPath.AUDIT, "shapley")
    assert audit.rule == "requested by anna"
    again = bench.ask("audit", JOB.study_instance_uid)
    assert not again.is_done
    assert "is there already" in again.lines[0]
    assert bench.ask("audit", JOB.study_instance_uid, "occlusion").is_done


def test_an_audit_that_waits_for_the_night_begins_when_a_person_asks_for_it(
    tmp_path: Path,
) -> None:
    audit = replace(
        a_job(an_instance("1"), path=JobPath.AUDIT, urgency=Urgency.AUDIT), off_peak=True
    )
    bench = Bench(tmp_path, JobPlaced(JOB), a_predicted(JOB), JobPlaced(audit))
    ask = partial(bench.ask, "audit", JOB.study_instance_uid)
    assert "is there already" in ask().lines[0]  # at any hour: it is its turn that it waits for
    hour = datetime.fromtimestamp(NOON, UTC).astimezone().hour
    bench.off_peak.configure(f"{(hour + 8) % 24:02}:00-{(hour + 9) % 24:02}:00")
    assert bench.switched.waiting()["AUDIT"] == 1
    done = ask()
    assert (done.is_done, "begins now" in done.lines[0]) == (True, True)
    assert bench.queue.placed[-1] == (audit.job_id, 2)
    assert bench.switched.waiting()["AUDIT"] == 0  # this queue notes what it is given, and has none
    assert [(e.job_id, e.attempt, e.by) for e in bench.of(JobRetried)] == [
        (audit.job_id, 2, "anna")
    ]
    assert "is there already" in ask().lines[0]
    bench.ledger.record(a_written(audit))
    assert not ask().is_done


def test_an_audit_needs_a_fast_result_and_a_method_that_can(tmp_path: Path) -> None:
    bench = Bench(tmp_path, JobPlaced(JOB))
    with pytest.raises(OperationError, match="no fast result"):
        bench.ask("audit", JOB.study_instance_uid)
    with pytest.raises(OperationError, match="shapley"):
        bench.ask("audit", JOB.study_instance_uid, "grad_cam")


def test_while_all_is_stopped_nothing_is_placed_or_sent_and_afterwards_everything(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, JobPlaced(JOB), failed(JOB), JobPlaced(OTHER), a_written(OTHER))
    bench.send.take(OTHER.job_id, OTHER.study_instance_uid, a_result(OTHER), OTHER.urgency)
    bench.ask("stop")
    bench.look()
    bench.ask("retry")
    bench.send.deliver_due()
    assert (bench.queue.placed, bench.pacs.stored) == ([], [])
    assert [flag.by for flag in bench.operations.stopped()] == ["anna"]
    bench.ask("resume")
    bench.look()
    bench.send.deliver_due()
    assert set(bench.queue.placed) == {(JOB.job_id, 2)}
    assert bench.pacs.stored == [a_result(OTHER).sop_instance_uid]
    said = [(e.action, e.subject, e.by) for e in bench.of(OperatorActed)]
    assert said == [("stop", "all", "anna"), ("retry", "all", "anna"), ("resume", "all", "anna")]


def test_what_waits_while_it_is_stopped_is_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, JobPlaced(JOB), JobPlaced(OTHER))
    bench.ask("stop")
    assert bench.switched.waiting()["ROUTINE"] == 2
    bench.ask("resume")
    assert bench.switched.waiting()["ROUTINE"] == 0


def test_a_flag_that_was_set_by_hand_counts_and_is_recorded_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "stop" / "chest_xray").touch()
    bench.look()
    bench.look()
    assert [(e.subject, e.by) for e in bench.of(OperatorActed)] == [("chest_xray", "unknown")]


def test_the_switch_works_while_the_ledger_does_not_and_is_recorded_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    bench.ledger.fail()
    bench.ask("stop", "chest_xray")
    bench.look()
    assert bench.switch.stops("chest_xray")
    monkeypatch.setattr(bench.ledger, "_broken", "")
    bench.look()
    assert [e.action for e in bench.of(OperatorActed)] == ["stop"]


def test_one_model_is_stopped_and_the_others_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.switch.stop(Flag("chest_xray", "anna", NOON))
    assert bench.switch.stops("chest_xray")
    assert not bench.switch.stops("brain_tumour_mri")


def test_a_raised_study_is_written_down_with_who_raised_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, a_stored(JOB.instances[0]), JobPlaced(JOB))
    done = bench.ask("urgency", JOB.instances[0].sop_instance_uid, urgency="STAT")
    assert done.is_done
    assert "ROUTINE to STAT" in done.lines[0]
    (acted,) = bench.of(OperatorActed)
    assert (acted.action, acted.by, acted.detail) == ("urgency", "anna", "STAT")
    (event,) = bench.of(StudyUrged)
    assert event.study == JOB.study_instance_uid
    assert (event.urged.urgency, event.urged.rule) == (Urgency.STAT, "STAT by anna")


@pytest.mark.parametrize("level", ["AUDIT", "", "stat"])
def test_a_study_cannot_be_given_an_urgency_that_is_none(tmp_path: Path, level: str) -> None:
    bench = Bench(tmp_path, a_stored(JOB.instances[0]), JobPlaced(JOB))
    with pytest.raises(OperationError, match="STAT, HIGH, ROUTINE"):
        bench.ask("urgency", JOB.study_instance_uid, urgency=level)
    with pytest.raises(OperationError, match="not known here"):
        bench.ask("urgency", "1.2.3", urgency="STAT")
    assert bench.of(OperatorActed) == []


def test_a_drill_is_noted_and_nothing_else_is_done(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    asked = Request("drill", "passed", "anna", NOON, detail="ab" * 32)
    assert bench.operations.perform(asked).is_done
    assert bench.ledger.events == (
        OperatorActed("drill", "passed", "anna", NOON, detail="ab" * 32),
    )
