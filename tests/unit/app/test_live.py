"""What is open is in memory, what is settled is not, and nothing is lost between the two."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing
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
from lightbox.app.processes.live import Live
from lightbox.domain.account import Account
from lightbox.domain.commitment import CommitmentAsked, CommitmentReported, ResultReference
from lightbox.domain.events import (
    AssociationReleased,
    Delivered,
    Event,
    JobFailed,
    JobPlaced,
    JobStarted,
    ServiceMarked,
    StudyReady,
)
from lightbox.domain.result import ListedReason
from lightbox.ledger.read_model.read import ReadModel
from lightbox.ledger.sqlite_ledger import SqliteLedger

LATELY = 70.0
INSTANCES = [an_instance(str(n), study=f"1.2.{n}") for n in range(3)]
JOBS = [a_job(instance) for instance in INSTANCES]


def sent(number: int) -> Delivered:
    job = JOBS[number]
    uid = a_result(job).sop_instance_uid
    return Delivered(job.study_instance_uid, job.job_id, uid, "pacs", 1)


def done(number: int) -> list[Event]:
    job = JOBS[number]
    ready = a_ready_study(INSTANCES[number])
    return [a_stored(INSTANCES[number]), ready, JobPlaced(job), a_written(job), sent(number)]


LATER: list[Event] = [
    ServiceMarked("receive", "started", "0.1.0", NOON + 200),
    AssociationReleased("a1", 3, "released"),
    *(
        event
        for n, job in enumerate(JOBS)
        for event in (
            *done(n)[1:],
            JobStarted(job.study_instance_uid, job.job_id),
            JobFailed(job.study_instance_uid, job.job_id, ListedReason.FAILED, "no memory"),
        )
    ),
]


class Site:
    """One process's chain, and what ``control`` makes of it."""

    def __init__(self, folder: Path, now: float = NOON + 1000) -> None:
        self.clock = FakeClock(now)
        self.ledger = SqliteLedger(folder, "control", self.clock)
        self.account = Account(("pacs",))
        self.live = Live(self.ledger, self.account, threading.RLock(), self.clock, LATELY)
        self.history = self.live.resume()

    def follow(self, *events: Event) -> Sequence[object]:
        self.clock.advance(1.0)
        self.ledger.record(*events)
        return self.live.take(self.ledger.since(self.account.positions))

    def close(self) -> None:
        self.live.close()
        self.ledger.close()


def pending(account: Account) -> tuple[set[object], ...]:
    return (
        set(account.waiting_instances()),
        set(account.unplaced_units()),
        set(account.unplaced_jobs()),
        {(d.job.job_id, d.result.sop_instance_uid) for d in account.undelivered("pacs")},
    )


@settings(max_examples=10, deadline=None)
@given(
    later=st.lists(st.sampled_from(LATER), unique_by=lambda e: e.key, max_size=22),
    cuts=st.sets(st.integers(0, 22), max_size=2),
)
def test_a_restart_anywhere_finds_all_that_is_open(
    tmp_path_factory: pytest.TempPathFactory, later: list[Event], cuts: set[int]
) -> None:
    events = [*map(a_stored, INSTANCES), *later]
    folder = tmp_path_factory.mktemp("ledger")
    whole = Account(("pacs",))
    with ExitStack() as stack:
        site = stack.enter_context(closing(Site(folder)))
        for n, event in enumerate(events):
            if n in cuts:
                stack.close()
                site = stack.enter_context(closing(Site(folder)))
            site.follow(event)
            site.clock.advance(100.0)
            site.live.look()
        for row in site.ledger.since({}):
            whole.apply(row)
        assert pending(site.account) == pending(whole)
        assert site.account.positions == whole.positions
    with closing(Site(folder)) as again:
        assert pending(again.account) == pending(whole)


def test_what_is_settled_leaves_memory_and_is_still_known(tmp_path: Path) -> None:
    with closing(Site(tmp_path)) as site:
        site.follow(*done(0), a_stored(INSTANCES[1]))
        site.clock.advance(10.0)
        assert site.live.look() == {"1.2.0"}
        assert site.account.held() == ("1.2.1",)
        with closing(ReadModel(tmp_path, site.account.expected)) as model:
            assert model.counts().delivered == 1


def test_what_came_lately_stays_until_its_time_is_over(tmp_path: Path) -> None:
    with closing(Site(tmp_path, NOON + 1)) as site:
        site.follow(*done(0))
        site.clock.advance(10.0)
        assert site.live.look() == frozenset()
        site.clock.advance(LATELY)
        assert site.live.look() == {"1.2.0"}
        site.clock.advance(LATELY)
        assert site.live.look() == frozenset()


def test_a_late_instance_brings_its_study_back_with_what_was_ready(tmp_path: Path) -> None:
    with closing(Site(tmp_path)) as site:
        site.follow(*done(0))
        site.clock.advance(10.0)
        site.live.look()
        late = an_instance("late", study="1.2.0")
        earlier = site.follow(a_stored(late, an_arrival(NOON + 1000)))
        assert [type(row.event) for row in earlier][1] is StudyReady  # type: ignore[attr-defined]
        assert len(site.account.study("1.2.0").instances) == 2
        assert site.account.placed_job(JOBS[0].job_id) == JOBS[0]


def test_a_start_reads_what_is_open_and_nothing_else(tmp_path: Path) -> None:
    with closing(Site(tmp_path)) as site:
        site.follow(*done(0), a_stored(INSTANCES[1]))
    with closing(Site(tmp_path)) as site:
        assert [row.event.study for row in site.history] == ["1.2.1"]


def test_a_report_of_an_open_transaction_is_read_again_at_the_start(tmp_path: Path) -> None:
    job, uid = JOBS[0], sent(0).sop_instance_uid
    reference = ResultReference(job.job_id, "1.2", uid)
    asked = CommitmentAsked(job.study_instance_uid, "pacs", "2.25.7", (reference,))
    report = CommitmentReported("2.25.7", "PACS", (uid,))
    with closing(Site(tmp_path)) as site:
        site.follow(*done(0), asked, report)
    with closing(Site(tmp_path)) as site:
        assert report in [row.event for row in site.history]
