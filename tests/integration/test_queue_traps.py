"""What the engine does by itself and we must not let it: each trap that was found has a test here.

Those about kill -9, identities, the journal, the network and messages of others stand in
``test_dbos_queue.py``; those of several machines cannot happen while several are refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from builders import an_instance
from contracts.queue import Record, jobs
from fakes.clock import FakeClock
from lightbox.app.site_check import check
from lightbox.domain.errors import ConfigurationError, StoppingError
from lightbox.domain.jobs import JobPath, job_identity
from lightbox.domain.urgency import Urgency
from lightbox.ports import Step
from lightbox.schedule.queues.dbos_queue import DbosQueue, DbosQueueClient
from lightbox.schedule.queues.lines import AUDIT, FAST, LINES, STAT
from lightbox.schedule.queues.upkeep import Upkeep
from lightbox.settings import Settings

Rows = list[tuple[object, ...]]


def ignored(job_id: str, detail: str) -> None:
    """Give up quietly."""


def rows(folder: Path, sql: str) -> Rows:
    with closing(sqlite3.connect(folder / "queue.sqlite")) as database:
        return database.execute(sql).fetchall()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[DbosQueue]:
    queue = DbosQueue(tmp_path / "queue.sqlite", "work-0", tmp_path, ignored)
    yield queue
    queue.close(5.0)


def test_one_line_per_class_each_with_a_poll_of_its_own(queue: DbosQueue, tmp_path: Path) -> None:
    queue.serve(Record())
    found = rows(tmp_path, "SELECT name, concurrency, polling_interval_sec FROM queues")
    polls = {name: poll for name, _, poll in found if not str(name).startswith("_")}
    assert polls == {line.name: line.poll for line in (STAT, FAST, AUDIT)}
    assert STAT.poll <= 0.05
    assert FAST.poll <= 0.05
    # The most that a line can start in a second: concurrency ÷ poll.
    assert STAT.concurrency / STAT.poll >= 100


def test_every_job_has_a_priority_and_a_version_that_an_upgrade_does_not_change(
    queue: DbosQueue, tmp_path: Path
) -> None:
    for urgency in Urgency:
        queue.place(jobs(1, urgency)[0])
    found = rows(tmp_path, "SELECT priority, application_version FROM workflow_status")
    assert len(found) == len(Urgency)
    for priority, version in found:
        assert isinstance(priority, int)
        assert priority > 0
        assert version == "1"


def test_emergencies_have_a_line_that_nobody_else_is_in() -> None:
    assert [urgency for urgency, line in LINES.items() if line is STAT] == [Urgency.STAT]


def test_the_same_study_with_other_bytes_is_another_job() -> None:
    first, changed = an_instance("1", content="a"), an_instance("1", content="b")
    assert first.sop_instance_uid == changed.sop_instance_uid
    one, other = (job_identity(JobPath.FAST, (i,), "ab", "grad_cam") for i in (first, changed))
    assert one != other


def test_nothing_is_stored_as_code(queue: DbosQueue, tmp_path: Path) -> None:
    done = Record()
    queue.serve(done)
    queue.place(jobs(1)[0])
    done.wait(1)
    found = rows(tmp_path, "SELECT DISTINCT serialization FROM workflow_status")
    assert found
    assert not any("pickle" in str(name) for (name,) in found)


def test_several_machines_are_refused_so_no_job_waits_for_another_hosts_recovery() -> None:
    """Only its own executor recovers a job, and nobody is told of news: each would need a watch."""
    several = Settings.model_validate({"database": {"url": "postgresql://db/lightbox"}})
    with pytest.raises(ConfigurationError, match=r"database\.url: several machines are not"):
        check(several)
    check(Settings())


def test_a_job_that_the_engine_takes_for_running_and_nobody_runs_is_done(
    queue: DbosQueue, tmp_path: Path
) -> None:
    done, (job,) = Record(), jobs(1, Urgency.STAT)

    def handler(job_id: str, step: Step) -> None:
        done.note(job_id)
        if len(done.handled) == 1:
            raise StoppingError

    queue.serve(handler)
    queue.place(job)
    done.wait(1)
    with queue._changed:
        queue._changed.wait_for(lambda: queue._interrupted, 5.0)
        queue._interrupted.clear()  # as if its thread had never been started
    assert queue.revive() == 0  # it might be about to start
    assert queue.revive() == 1
    done.wait(2)


def test_rows_go_once_an_hour_when_their_time_is_over(tmp_path: Path) -> None:
    clock, asked = FakeClock(1_790_000_000.0), []

    def forget(before: str) -> int:
        asked.append(before)
        return 2

    upkeep = Upkeep(forget, clock)
    assert upkeep.look(3 * 86400.0) == 2
    assert upkeep.look(3 * 86400.0) == 0
    clock.advance(3600)
    assert upkeep.look(60.0) == 2  # never sooner than after a day
    assert asked == ["2026-09-18T14:13:20+00:00", "2026-09-20T15:13:20+00:00"]


def test_a_store_that_is_gone_does_not_end_the_upkeep() -> None:
    def forget(_: str) -> int:
        raise OSError("disk")

    assert Upkeep(forget, FakeClock()).look(86400.0) == 0


def test_no_more_rows_go_at_once_than_asked(tmp_path: Path) -> None:
    done = Record()
    queue = DbosQueue(tmp_path / "queue.sqlite", "work-0", tmp_path, ignored)
    queue.serve(done)
    for job in jobs(5):
        queue.place(job)
    done.wait(5)
    queue.close(5.0)
    client = DbosQueueClient(tmp_path / "queue.sqlite")
    assert [client.forget("2999-01-01T00:00:00Z", most=2) for _ in range(4)] == [2, 2, 1, 0]
    client.close(0.0)
