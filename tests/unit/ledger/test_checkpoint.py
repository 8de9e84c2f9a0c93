"""A restart from a checkpoint picks up exactly what a restart from the whole ledger picks up."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import (
    NOON,
    a_job,
    a_ready_study,
    a_result,
    a_stored,
    a_written,
    an_arrival,
    an_instance,
)
from fakes.clock import FakeClock
from lightbox.domain.account import Account
from lightbox.domain.events import Delivered, Event, JobFailed, JobPlaced, JobStarted, ServiceMarked
from lightbox.domain.result import ListedReason
from lightbox.ledger.checkpoint import Checkpoint, checkpoint_from, checkpoint_text
from lightbox.ledger.prove import prove
from lightbox.ledger.sqlite_ledger import SqliteLedger

RECENT = NOON + 100
INSTANCES = [an_instance(str(n), study=f"1.2.{n}") for n in range(3)]
JOBS = [a_job(instance) for instance in INSTANCES]
STORED: list[Event] = [
    a_stored(instance, an_arrival(RECENT + 1 if n == 2 else NOON))
    for n, instance in enumerate(INSTANCES)
]
LATER: list[Event] = [
    ServiceMarked("receive", "started", "0.1.0", NOON + 200),
    *(
        event
        for instance, job in zip(INSTANCES, JOBS, strict=True)
        for event in (
            a_ready_study(instance),
            JobPlaced(job),
            JobStarted(job.study_instance_uid, job.job_id),
            a_written(job),
            JobFailed(job.study_instance_uid, job.job_id, ListedReason.FAILED, "no memory"),
            Delivered(
                job.study_instance_uid, job.job_id, a_result(job).sop_instance_uid, "pacs", 1
            ),
        )
    ),
]


def pending(account: Account) -> tuple[set[object], ...]:
    return (
        set(account.waiting_instances(RECENT)),
        set(account.unplaced_units()),
        set(account.unplaced_jobs()),
        {(d.job.job_id, d.result.sop_instance_uid) for d in account.undelivered("pacs")},
    )


def resumed(folder: Path) -> tuple[Account, int]:
    ledger = SqliteLedger(folder, "control", FakeClock(NOON + 300))
    account = Account(("pacs",))
    rows = ledger.resume(account, RECENT)
    assert ledger.since(account.positions) == ()
    ledger.close()
    return account, len(rows)


@settings(max_examples=15, deadline=None)
@given(
    later=st.lists(st.sampled_from(LATER), unique_by=lambda e: e.key, max_size=22),
    cut=st.integers(0, 22),
)
def test_a_checkpoint_anywhere_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, later: list[Event], cut: int
) -> None:
    events = [*STORED, *later]
    folder = tmp_path_factory.mktemp("ledger")
    clock = FakeClock(NOON + 200)
    chains = {name: SqliteLedger(folder, name, clock) for name in ("receive", "control", "work")}
    whole = Account(("pacs",))
    for n, event in enumerate(events):
        if n == cut:
            early = Account(("pacs",))
            for row in chains["control"].since({}):
                early.apply(row)
            chains["control"].save_checkpoint(Checkpoint.of(early, RECENT))
        clock.advance(1)
        name = "receive" if event.kind in {"instance_stored", "service_marked"} else "control"
        name = "work" if event.kind in {"job_started", "results_written", "job_failed"} else name
        (row,) = chains[name].record(event)
        whole.apply(row)
    for ledger in chains.values():
        ledger.close()
    account, _ = resumed(folder)
    assert pending(account) == pending(whole)
    assert account.positions == whole.positions


def settle(folder: Path) -> Account:
    ledger = SqliteLedger(folder, "control", FakeClock())
    job = JOBS[0]
    sent = Delivered(job.study_instance_uid, job.job_id, a_result(job).sop_instance_uid, "pacs", 1)
    ledger.record(a_stored(INSTANCES[0]), JobPlaced(job), a_written(job), sent)
    ledger.record(a_stored(INSTANCES[1]))
    account = Account(("pacs",))
    assert len(ledger.resume(account, RECENT)) == 5
    ledger.save_checkpoint(Checkpoint.of(account, RECENT))
    ledger.close()
    return account


def test_what_is_settled_is_not_read_again(tmp_path: Path) -> None:
    settle(tmp_path)
    account, rows = resumed(tmp_path)
    assert rows == 1
    assert account.totals().accepted == 1


def test_a_late_event_brings_its_settled_study_back(tmp_path: Path) -> None:
    settle(tmp_path)
    late = SqliteLedger(tmp_path, "receive", FakeClock(NOON + 200))
    late.record(a_stored(an_instance("late", study="1.2.0")))
    late.close()
    account, _ = resumed(tmp_path)
    assert len(account.study("1.2.0").instances) == 2


def test_a_checkpoint_of_rows_that_are_gone_is_not_used(tmp_path: Path) -> None:
    account = settle(tmp_path)
    ledger = SqliteLedger(tmp_path, "control", FakeClock())
    ledger.save_checkpoint(Checkpoint({"control": 5, "receive": 7}, frozenset()))
    ledger.close()
    assert resumed(tmp_path)[0].totals() == account.totals()


def test_a_checkpoint_is_no_part_of_the_proof(tmp_path: Path) -> None:
    settle(tmp_path)
    assert prove(tmp_path, ("pacs",)).delivered == 1


def test_a_checkpoint_survives_its_text() -> None:
    checkpoint = Checkpoint({"receive": 3}, frozenset({"1.2", "1.3"}))
    assert checkpoint_from(checkpoint_text(checkpoint)) == checkpoint


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"positions": 1, "unsettled": []}'])
def test_text_that_is_no_checkpoint_is_none(text: str) -> None:
    assert checkpoint_from(text) is None
