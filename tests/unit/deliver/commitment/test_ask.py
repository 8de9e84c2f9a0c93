"""Storage commitment as SCU: asked once per study, matched by transaction, sent again, given up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from builders import a_job, a_written
from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.deliver.commitment.ask import ASK_WITHIN, GATHER, Commitment
from lightbox.deliver.commitment.book import TRIES
from lightbox.deliver.outbox import Parcel, dead_letters, still_to_send
from lightbox.deliver.status import Action, DestinationError
from lightbox.domain.account import Account
from lightbox.domain.commitment import (
    NO_REPORT,
    NO_SUCH_INSTANCE,
    CommitmentAsked,
    CommitmentFailed,
    CommitmentReported,
    Committed,
    Failure,
    Reference,
)
from lightbox.domain.events import DeadLettered, Delivered, Event, JobMoved, JobPlaced
from lightbox.domain.result import ResultKind
from lightbox.domain.urgency import Urgency
from lightbox.settings import DestinationSettings

SC, SEG = ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION
PACS = DestinationSettings(
    name="pacs", commitment=True, commitment_within=60.0, retry_first=30.0, retries=2
)
JOB = a_job(urgency=Urgency.HIGH)
WRITTEN = a_written(JOB, SC, SEG)
PICTURE, MASK = WRITTEN.results


def refusal(action: Action) -> DestinationError:
    return DestinationError(action, "pacs (PACS@host:104)", "said no", "mend it")


class Bench:
    """The door with a ledger in memory, an archive that a test plays, and a resend that stores."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ledger = FakeLedger(self.clock)
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.refusals: list[DestinationError] = []
        self.resent: list[Parcel] = []
        self.hung_up = 0
        self.seen = 0
        self.door = self.started()

    def started(self) -> Commitment:
        return Commitment(
            PACS,
            ask=self.ask,
            hang_up=self.hang_up,
            ledger=self.ledger,
            resend=self.resent.append,
            clock=self.clock,
        )

    def ask(self, transaction: str, references: Sequence[Reference]) -> None:
        assert self.ledger.find(f"commitment_asked:{transaction}") is not None
        if self.refusals:
            raise self.refusals.pop(0)
        self.asked.append((transaction, tuple(r.sop_instance_uid for r in references)))

    def hang_up(self) -> None:
        self.hung_up += 1

    def restart(self) -> None:
        self.door = self.started()
        self.door.resume(self.ledger.rows)
        self.seen = len(self.ledger.rows)

    def record(self, *events: Event) -> None:
        """What other parts write; the road leads every row to the door."""
        self.ledger.record(*events)
        self.run()

    def run(self) -> float | None:
        while True:
            rows = self.ledger.rows[self.seen :]
            self.seen += len(rows)
            for row in rows:
                self.door.follow(row)
            at = self.door.do_due()
            if len(self.ledger.rows) == self.seen:
                return at

    def after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.run()

    def store(self, attempt: int = 1, again: int = 0) -> None:
        self.record(
            *(
                Delivered(JOB.study_instance_uid, JOB.job_id, r.sop_instance_uid, "pacs", attempt, again=again)
                for r in WRITTEN.results
            )
        )  # fmt: skip

    def resend(self) -> None:
        """Store what came back, as the outbox would."""
        parcels, self.resent[:] = list(self.resent), []
        for parcel in parcels:
            uid = parcel.result.sop_instance_uid
            self.record(
                Delivered(parcel.study, parcel.job_id, uid, "pacs", parcel.attempt + 1, again=parcel.again)
            )  # fmt: skip

    def report(self, kept: tuple[str, ...], failed: tuple[str, ...] = (), number: int = -1) -> None:
        failures = tuple(Failure("1.2", uid, NO_SUCH_INSTANCE) for uid in failed)
        self.record(CommitmentReported(self.asked[number][0], "PACS", kept, failures))

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.ledger.events if isinstance(event, kind)]

    def account(self) -> Account:
        account = Account(("pacs",), commits=("pacs",))
        for row in self.ledger.rows:
            account.apply(row)
        return account


BOTH = tuple(sorted((PICTURE.sop_instance_uid, MASK.sop_instance_uid)))


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.record(JobPlaced(JOB), WRITTEN)
    return made


@pytest.mark.parametrize("restarts", [False, True])
def test_what_is_sent_again_has_the_urgency_that_its_study_was_given(restarts: bool) -> None:
    bench = Bench()
    moved = JobMoved(JOB.study_instance_uid, JOB.job_id, Urgency.STAT, 0.0, "STAT by anna", 1)
    bench.record(JobPlaced(JOB), moved, WRITTEN)
    bench.store()
    bench.after(GATHER)
    if restarts:
        bench.restart()
    bench.report((), BOTH)
    assert {parcel.urgency for parcel in bench.resent} == {Urgency.STAT}
    assert {p.urgency for p in still_to_send(bench.ledger.rows, PACS)} == {Urgency.STAT}


@pytest.fixture
def asked(bench: Bench) -> Bench:
    bench.store()
    bench.after(GATHER)
    return bench


def test_the_results_of_a_study_are_asked_for_in_one_transaction(bench: Bench) -> None:
    bench.store()
    assert bench.asked == []
    bench.after(GATHER)
    assert [uids for _, uids in bench.asked] == [BOTH]
    bench.after(GATHER)
    assert len(bench.of(CommitmentAsked)) == 1


def test_a_report_commits_each_result(asked: Bench) -> None:
    asked.report(BOTH)
    assert {e.sop_instance_uid for e in asked.of(Committed) if isinstance(e, Committed)} == set(
        BOTH
    )
    asked.after(3600)
    assert asked.resent == []
    assert asked.of(CommitmentFailed) == []


def test_a_report_that_comes_before_the_rest_of_the_ledger_is_read_is_not_lost(
    bench: Bench,
) -> None:
    bench.store()
    bench.clock.advance(GATHER)
    bench.door.do_due()
    early = CommitmentReported(bench.asked[0][0], "PACS", BOTH)
    other = bench.started()
    rows = (*bench.ledger.record(early), *bench.ledger.rows)
    for row in rows:
        other.follow(row)
    other.do_due()
    assert len(bench.of(Committed)) == 2


def test_what_the_archive_does_not_hold_is_sent_again_and_asked_for_again(asked: Bench) -> None:
    asked.report((PICTURE.sop_instance_uid,), (MASK.sop_instance_uid,))
    assert [(p.result, p.attempt, p.again) for p in asked.resent] == [(MASK, 1, 1)]
    assert asked.resent[0].urgency is Urgency.HIGH
    asked.resend()
    asked.after(GATHER)
    first, second = asked.asked
    assert second[1] == (MASK.sop_instance_uid,)
    assert second[0] != first[0]
    asked.report((MASK.sop_instance_uid,))
    results = asked.account().study(JOB.study_instance_uid).results
    assert [result.is_committed for result in results] == [True, True]


def test_silence_is_a_failure_after_the_time_that_is_set(asked: Bench) -> None:
    asked.after(59)
    assert asked.resent == []
    asked.after(1)
    assert {p.result for p in asked.resent} == {PICTURE, MASK}
    failed = asked.of(CommitmentFailed)
    assert [e.reason for e in failed if isinstance(e, CommitmentFailed)] == [NO_REPORT, NO_REPORT]


def test_after_three_times_a_result_is_given_up_as_stored_but_not_committed(asked: Bench) -> None:
    for _ in range(TRIES):
        asked.report((PICTURE.sop_instance_uid,), (MASK.sop_instance_uid,))
        asked.resend()
        asked.after(GATHER)
    dead = asked.of(DeadLettered)
    assert [(e.sop_instance_uid, e.again) for e in dead if isinstance(e, DeadLettered)] == [
        (MASK.sop_instance_uid, TRIES)
    ]
    assert "stored but not committed: 0x0112" in str(dead[0])
    assert len(asked.asked) == TRIES
    assert asked.resent == []
    assert [p.result for p in dead_letters(asked.ledger.rows, PACS)] == [MASK]
    assert still_to_send(asked.ledger.rows, PACS) == ()


def test_what_a_person_revives_has_all_its_tries_again(asked: Bench) -> None:
    for _ in range(TRIES):
        asked.report((PICTURE.sop_instance_uid,), (MASK.sop_instance_uid,))
        asked.resend()
        asked.after(GATHER)
    asked.resent.extend(dead_letters(asked.ledger.rows, PACS))
    asked.resend()
    asked.after(GATHER)
    asked.report((), (MASK.sop_instance_uid,))
    assert len(asked.resent) == 1
    assert len(asked.of(DeadLettered)) == 1


def test_a_promise_that_comes_late_counts(asked: Bench) -> None:
    asked.after(60)
    asked.report(BOTH, number=0)
    assert len(asked.of(Committed)) == 2
    assert still_to_send(asked.ledger.rows, PACS) == ()


def test_a_report_after_a_restart_finds_its_results(asked: Bench) -> None:
    asked.restart()
    asked.report(BOTH)
    assert len(asked.of(Committed)) == 2


def test_a_report_that_was_recorded_and_not_judged_before_the_crash_is_judged(
    asked: Bench,
) -> None:
    asked.ledger.record(CommitmentReported(asked.asked[0][0], "PACS", BOTH))
    asked.restart()
    asked.run()
    assert len(asked.of(Committed)) == 2


def test_a_restart_asks_for_what_was_stored_and_not_asked_for(bench: Bench) -> None:
    bench.store()
    bench.restart()
    bench.after(GATHER)
    assert [uids for _, uids in bench.asked] == [BOTH]


def test_a_restart_does_not_judge_a_failed_report_twice(asked: Bench) -> None:
    asked.report((), BOTH)
    asked.resend()
    asked.after(GATHER)
    asked.restart()
    asked.run()
    assert len(asked.of(CommitmentFailed)) == 2
    assert asked.resent == []


def test_a_crash_between_failure_and_resending_is_mended_by_the_outbox(asked: Bench) -> None:
    asked.report((PICTURE.sop_instance_uid,), (MASK.sop_instance_uid,))
    left = still_to_send(asked.ledger.rows, PACS)
    assert [(p.result, p.attempt, p.again) for p in left] == [(MASK, 1, 1)]


def test_old_results_are_left_alone_when_commitment_is_switched_on(bench: Bench) -> None:
    bench.store()
    bench.clock.advance(ASK_WITHIN + 1)
    bench.restart()
    bench.after(GATHER)
    assert bench.asked == []


def test_an_archive_that_cannot_be_reached_is_asked_when_it_is_back(bench: Bench) -> None:
    bench.refusals = [refusal(Action.UNREACHABLE)] * 5
    bench.store()
    bench.after(GATHER)
    for _ in range(5):
        bench.after(70)
    assert [uids for _, uids in bench.asked] == [BOTH]
    assert len(bench.of(CommitmentAsked)) == 1
    assert bench.resent == []


def test_an_archive_without_storage_commitment_is_an_alarm_at_once(bench: Bench) -> None:
    bench.refusals = [refusal(Action.DEAD_LETTER)]
    bench.store()
    bench.after(GATHER)
    assert len(bench.of(DeadLettered)) == 2
    assert bench.resent == []


def test_a_busy_archive_is_asked_again_as_often_as_results_are_tried(bench: Bench) -> None:
    bench.refusals = [refusal(Action.RETRY)] * 3
    bench.store()
    bench.after(GATHER)
    bench.after(40)
    assert bench.of(DeadLettered) == []
    bench.after(80)
    assert len(bench.of(DeadLettered)) == 2


def test_reports_of_strangers_change_nothing(asked: Bench) -> None:
    asked.record(CommitmentReported("2.25.1", "EVIL", BOTH))
    asked.record(CommitmentReported(asked.asked[0][0], "PACS", ("1.2.3",), ()))
    assert asked.of(Committed) == []


def test_strangers_with_many_transactions_do_not_fill_the_memory(asked: Bench) -> None:
    asked.record(*(CommitmentReported(f"2.25.{n}", "EVIL", BOTH) for n in range(200)))
    asked.report(BOTH)
    assert len(asked.of(Committed)) == 2


def test_the_association_is_released_when_nothing_happens(asked: Bench) -> None:
    asked.report(BOTH)
    asked.after(31)
    assert asked.hung_up == 1
