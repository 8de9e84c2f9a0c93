"""The durable queue against its real engine and a real file: kill -9, identity, what is stored."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from builders import NOON, a_job, an_instance
from contracts.queue import PATIENCE, QueueContract, Record, jobs
from lightbox.domain.errors import ConfigurationError, HeldError, StoppingError, UsageError
from lightbox.domain.urgency import Urgency
from lightbox.ports import Queue, Step
from lightbox.schedule.queues.dbos_queue import DbosQueue, DbosQueueClient

WORKER = Path(__file__).parent / "dbos_worker.py"


def ignored(job_id: str, detail: str) -> None:
    """Give up quietly."""


class TestDbosQueue(QueueContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    @contextmanager
    def opened(self) -> Iterator[Queue]:
        queue = DbosQueue(self.folder / "queue.sqlite", "test-work-0", self.folder, ignored)
        yield queue
        queue.close(5.0)


class Process:
    """A worker in a process of its own."""

    def __init__(self, folder: Path, mode: str, executor: str = "work-0") -> None:
        self._log = folder / "log"
        self._process = subprocess.Popen([sys.executable, WORKER, folder, executor, mode])

    def wait_for(self, *words: str, times: int = 1) -> list[str]:
        """Wait until that many lines of this process have these words; return all lines."""
        mine = f"{self._process.pid} {' '.join(words)}"
        return until(lambda: self._lines(mine, times))

    def _lines(self, mine: str, times: int) -> list[str] | None:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        found = sum(line.startswith(mine) for line in lines)
        return lines if found >= times else None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)

    def terminate(self) -> int:
        self._process.terminate()
        return self._process.wait(PATIENCE)

    def dies(self) -> int:
        return self._process.wait(PATIENCE)


T = TypeVar("T")


def until(look: Callable[[], T | None]) -> T:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        found = look()
        if found is not None:
            return found
        pause.wait(0.02)
    raise AssertionError("it did not happen")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[DbosQueueClient]:
    client = DbosQueueClient(tmp_path / "queue.sqlite")
    yield client
    client.close(0.0)


@contextmanager
def serving(folder: Path, mode: str) -> Iterator[Process]:
    process = Process(folder, mode)
    try:
        process.wait_for("serving")
        yield process
    finally:
        process.kill()


def counted(lines: list[str], *words: str) -> int:
    return sum(line.split()[1:] == list(words) for line in lines)


def test_a_job_that_kill_9_interrupts_is_done_after_the_restart_each_step_once(
    tmp_path: Path, client: DbosQueueClient
) -> None:
    (job,) = jobs(1)
    with serving(tmp_path, "hang") as killed:
        client.place(job)
        killed.wait_for(job.job_id, "hangs")
    with serving(tmp_path, "plain") as second:
        lines = second.wait_for(job.job_id, "ends")
    # "second" was interrupted, so it is done again; "first" had been done and is not.
    assert counted(lines, job.job_id, "first") == 1
    assert counted(lines, job.job_id, "second") == 2
    assert counted(lines, job.job_id, "ends") == 1


def test_an_audit_that_kill_9_interrupts_keeps_its_place_before_those_that_waited(
    tmp_path: Path, client: DbosQueueClient
) -> None:
    audits = [
        a_job(an_instance(f"audit {n}"), urgency=Urgency.AUDIT, received_at=NOON + n)
        for n in range(3)
    ]
    with serving(tmp_path, "hang") as killed:
        client.place(audits[0])
        killed.wait_for(audits[0].job_id, "hangs")
        for audit in (audits[2], audits[1]):
            client.place(audit)
    with serving(tmp_path, "plain") as second:
        lines = second.wait_for(audits[2].job_id, "ends")
    ended = [line.split()[1] for line in lines if line.endswith(" ends")]
    assert ended == [audit.job_id for audit in audits]


def test_jobs_placed_while_no_worker_lives_are_done_later(
    tmp_path: Path, client: DbosQueueClient
) -> None:
    placed = [*jobs(3), *jobs(2, Urgency.STAT), *jobs(1, Urgency.AUDIT)]
    for job in placed:
        client.place(job)
    lines: list[str] = []
    with serving(tmp_path, "plain") as process:
        for job in placed:
            lines = process.wait_for(job.job_id, "ends")
    assert sum(line.endswith("ends") for line in lines) == len(placed)


def test_a_job_that_ends_the_process_three_times_is_given_up_and_the_next_one_is_done(
    tmp_path: Path, client: DbosQueueClient
) -> None:
    poison = a_job(an_instance("poison"))
    client.place(poison)
    for _ in range(3):
        assert Process(tmp_path, "die").dies() == -signal.SIGKILL
    with serving(tmp_path, "plain") as process:
        lines = process.wait_for(poison.job_id, "given-up")
        assert counted(lines, poison.job_id, "first") == 3
        until(lambda: client.quarantined() or None)
        (good,) = jobs(1)
        client.place(good)
        process.wait_for(good.job_id, "ends")
    assert client.quarantined() == (poison.job_id,)
    assert client.waiting()["ROUTINE"] == 0


def test_a_stop_in_good_order_gives_the_running_job_back_and_counts_no_try(
    tmp_path: Path, client: DbosQueueClient
) -> None:
    (job,) = jobs(1)
    client.place(job)
    for _ in range(4):
        with serving(tmp_path, "hang") as process:
            process.wait_for(job.job_id, "hangs")
            assert process.terminate() == 0
    assert client.waiting()["ROUTINE"] == 1
    with serving(tmp_path, "plain") as process:
        process.wait_for(job.job_id, "ends")


def test_a_second_process_with_the_same_identity_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, "noop"), pytest.raises(ConfigurationError, match="work-0: is in use"):
        DbosQueue(tmp_path / "queue.sqlite", "work-0", tmp_path, ignored)


def test_an_identity_is_free_again_after_kill_9(tmp_path: Path) -> None:
    with serving(tmp_path, "noop"):
        pass
    DbosQueue(tmp_path / "queue.sqlite", "work-0", tmp_path, ignored).close(0.0)


def test_a_client_executes_nothing(client: DbosQueueClient) -> None:
    with pytest.raises(UsageError):
        client.serve(Record())


def test_the_file_is_in_write_ahead_mode(tmp_path: Path, client: DbosQueueClient) -> None:
    with closing(sqlite3.connect(tmp_path / "queue.sqlite")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_processes_that_start_together_make_one_store(tmp_path: Path) -> None:
    store = tmp_path / "new" / "queue.sqlite"
    with ThreadPoolExecutor(4) as together:
        clients = list(together.map(lambda _: DbosQueueClient(store), range(4)))
    for client, job in zip(clients, jobs(4), strict=True):
        client.place(job)
    assert [client.waiting()["ROUTINE"] for client in clients] == [4, 4, 4, 4]
    for client in clients:
        client.close(0.0)


def test_an_unfinished_job_is_done_when_it_is_revived(tmp_path: Path) -> None:
    (job,) = jobs(1, Urgency.STAT)
    tries = Record()

    def handler(job_id: str, step: Step) -> None:
        tries.note(job_id)
        if len(tries.handled) == 1:
            raise OSError("disk full")

    queue = DbosQueue(tmp_path / "queue.sqlite", "work-0", tmp_path, ignored)
    queue.serve(handler)
    try:
        queue.place(job)
        tries.wait(1)
        until(lambda: queue.revive() or None)
        tries.wait(2)
        assert queue.revive() == 0
    finally:
        queue.close(5.0)


def test_a_job_that_is_interrupted_while_the_queue_lives_is_revived(tmp_path: Path) -> None:
    (job,) = jobs(1, Urgency.STAT)
    tries = Record()

    def handler(job_id: str, step: Step) -> None:
        tries.note(job_id)
        if len(tries.handled) == 1:
            raise StoppingError

    queue = DbosQueue(tmp_path / "queue.sqlite", "work-0", tmp_path, ignored)
    queue.serve(handler)
    try:
        queue.place(job)
        tries.wait(1)
        until(lambda: queue.revive() or None)
        tries.wait(2)
    finally:
        queue.close(5.0)


@pytest.mark.parametrize("restart", [False, True])
def test_a_held_job_gives_its_slot_away_and_runs_when_it_is_released(
    tmp_path: Path, *, restart: bool
) -> None:
    held_back, other = (a_job(an_instance(n), urgency=Urgency.AUDIT) for n in ("held", "other"))
    stopped = {held_back.job_id}
    tried, done = Record(), Record()

    def handler(job_id: str, _step: Step) -> None:
        tried.note(job_id)
        if job_id in stopped:
            raise HeldError("a_model")
        done.note(job_id)

    queue = DbosQueue(tmp_path / "queue.sqlite", "work-0", tmp_path, ignored)
    queue.serve(handler)
    queue.place(held_back)
    tried.wait(1)
    queue.place(other)
    assert done.wait(1) == [other.job_id]
    assert queue.release(lambda model: model == "a_model") == 0
    stopped.clear()
    if restart:
        queue.close(PATIENCE)
        queue = DbosQueue(tmp_path / "queue.sqlite", "work-0", tmp_path, ignored)
        queue.serve(handler)
    else:
        until(lambda: queue.release(lambda _: False) or None)
    assert done.wait(2) == [other.job_id, held_back.job_id]
    assert queue.release(lambda _: False) == 0
    queue.close(PATIENCE)


def test_a_job_may_be_held_more_often_than_it_may_end_the_process(tmp_path: Path) -> None:
    given_up: list[str] = []
    (job,) = jobs(1)
    tried, done = Record(), Record()

    def handler(job_id: str, _step: Step) -> None:
        tried.note(job_id)
        if len(tried.handled) < 6:
            raise HeldError("a_model")
        done.note(job_id)

    queue = DbosQueue(
        tmp_path / "queue.sqlite", "work-0", tmp_path, lambda name, _: given_up.append(name)
    )
    queue.serve(handler)
    queue.place(job)
    for times in range(1, 6):
        tried.wait(times)
        until(lambda: queue.release(lambda _: False) or None)
    assert done.wait(1) == [job.job_id]
    assert given_up == []
    queue.close(PATIENCE)


def test_what_the_last_run_left_unfinished_is_done_at_the_next_start(tmp_path: Path) -> None:
    (job,) = jobs(1)
    tries = Record()

    def handler(job_id: str, step: Step) -> None:
        tries.note(job_id)
        if len(tries.handled) == 1:
            raise OSError("disk full")

    for run in (1, 2):
        queue = DbosQueue(tmp_path / "queue.sqlite", "work-0", tmp_path, ignored)
        queue.serve(handler)
        queue.place(job)
        tries.wait(run)
        queue.close(5.0)


def test_a_handler_that_is_interrupted_by_closing_leaves_its_job_waiting(tmp_path: Path) -> None:
    (job,) = jobs(1)
    started, go_on = threading.Event(), threading.Event()
    seen: list[BaseException] = []

    def handler(job_id: str, step: Step) -> None:
        started.set()
        assert go_on.wait(PATIENCE)
        try:
            step("late", lambda: "must not run")
        except StoppingError as stopping:
            seen.append(stopping)
            raise

    queue = DbosQueue(tmp_path / "queue.sqlite", "work-0", tmp_path, ignored)
    queue.serve(handler)
    queue.place(job)
    assert started.wait(PATIENCE)
    closing_thread = threading.Thread(target=queue.close, args=(PATIENCE,))
    closing_thread.start()
    # It refuses new jobs before it waits, so what follows is decided.
    assert queue._closing.wait(PATIENCE)
    go_on.set()
    closing_thread.join(PATIENCE)
    assert len(seen) == 1
    with closing(DbosQueueClientAsContext(tmp_path)) as after:
        assert after.client.waiting()["ROUTINE"] == 1


class DbosQueueClientAsContext:
    """A client whose ``close`` takes nothing, as ``contextlib.closing`` wants it."""

    def __init__(self, folder: Path) -> None:
        self.client = DbosQueueClient(folder / "queue.sqlite")

    def close(self) -> None:
        self.client.close(0.0)


def test_no_table_of_the_engine_holds_more_than_identifiers_and_our_own_words(
    tmp_path: Path,
) -> None:
    done = Record()
    secret = "DOE^JANE"

    def fails() -> str:
        raise ValueError(f"cannot read {secret}")

    def handler(job_id: str, step: Step) -> None:
        done.note(job_id)
        step("first", lambda: "finding=pneumonia")
        step("second", fails)

    job = a_job(an_instance("1", path=f"instances/{secret}.dcm"))
    queue = DbosQueue(tmp_path / "queue.sqlite", "work-0", tmp_path, ignored)
    queue.serve(handler)
    queue.place(job)
    done.wait(1)
    queue.close(5.0)
    with closing(sqlite3.connect(tmp_path / "queue.sqlite")) as database:
        tables = [
            name
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        dump = "\n".join(
            repr(row) for table in tables for row in database.execute(f'SELECT * FROM "{table}"')
        )
    assert job.job_id in dump
    assert "finding=pneumonia" in dump
    for absent in (secret, "JANE", job.study_instance_uid, job.instances[0].sop_instance_uid):
        assert absent not in dump
    assert all(b"DOE" not in path.read_bytes() for path in tmp_path.iterdir() if path.is_file())


def test_rows_of_jobs_that_ended_can_be_forgotten_and_no_others(tmp_path: Path) -> None:
    done = Record()
    unfinished = a_job(an_instance("unfinished"))

    def handler(job_id: str, step: Step) -> None:
        done.note(job_id)
        if job_id == unfinished.job_id:
            raise OSError("disk full")

    queue = DbosQueue(tmp_path / "queue.sqlite", "work-0", tmp_path, ignored)
    queue.serve(handler)
    for job in (*jobs(3), unfinished):
        queue.place(job)
    done.wait(4)
    queue.close(5.0)
    client = DbosQueueClient(tmp_path / "queue.sqlite")
    client.place(jobs(1, label="waits")[0])
    assert client.forget("2020-01-01T00:00:00Z") == 0
    assert client.forget("2999-01-01T00:00:00Z") == 3
    assert client.forget("2999-01-01T00:00:00Z") == 0
    assert client.waiting()["ROUTINE"] == 1
    assert client.revive() == 1
    client.close(0.0)


def inodes_of_our_sockets() -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    return found


def inodes_on_the_network() -> set[str]:
    tables = [Path("/proc/self/net") / name for name in ("tcp", "tcp6", "udp", "udp6")]
    lines = [line for t in tables if t.exists() for line in t.read_text().splitlines()[1:]]
    return {line.split()[9] for line in lines}


def test_the_engine_opens_no_port_and_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = Record()
    queue = DbosQueue(tmp_path / "queue.sqlite", "work-0", tmp_path, ignored)
    queue.serve(done)
    queue.place(jobs(1)[0])
    done.wait(1)
    ours = inodes_of_our_sockets()
    queue.close(5.0)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert not ours & inodes_on_the_network()
