"""What every queue must do, whatever carries it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from builders import NOON, a_job, an_instance
from lightbox.domain.errors import CancelledError
from lightbox.domain.jobs import Job, moved
from lightbox.domain.urgency import Urgency
from lightbox.ports import Queue, Step

PATIENCE = 20.0


def jobs(count: int, urgency: Urgency = Urgency.ROUTINE, label: str = "") -> list[Job]:
    return [
        a_job(an_instance(f"{label or urgency}-{number}"), urgency=urgency)
        for number in range(count)
    ]


class Record:
    """Notes which jobs were handled, in order."""

    def __init__(self) -> None:
        self.handled: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, job_id: str, step: Step) -> None:
        self.note(job_id)

    def note(self, job_id: str) -> None:
        with self._changed:
            self.handled.append(job_id)
            self._changed.notify_all()

    def wait(self, count: int) -> list[str]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.handled) >= count, PATIENCE)
            return list(self.handled)


class QueueContract(ABC):
    """Subclass it and say how a queue is made."""

    @abstractmethod
    @contextmanager
    def opened(self) -> Iterator[Queue]:
        """Give a queue that serves nothing yet, and close it."""

    def test_every_placed_job_is_handled_once(self) -> None:
        done = Record()
        with self.opened() as queue:
            queue.serve(done)
            placed = jobs(5)
            for job in placed:
                queue.place(job)
            assert sorted(done.wait(5)) == sorted(job.job_id for job in placed)

    def test_placing_a_job_twice_is_placing_it_once(self) -> None:
        done = Record()
        with self.opened() as queue:
            first, last = jobs(2)
            queue.place(first)
            queue.place(first)
            queue.serve(done)
            done.wait(1)
            queue.place(first)
            queue.place(last)
            done.wait(2)
            assert done.handled == [first.job_id, last.job_id]

    def test_jobs_placed_before_serving_are_handled(self) -> None:
        done = Record()
        with self.opened() as queue:
            (job,) = jobs(1)
            queue.place(job)
            queue.serve(done)
            assert done.wait(1) == [job.job_id]

    def test_a_high_job_goes_before_routine_ones_even_overdue_ones(self) -> None:
        done = Record()
        with self.opened() as queue:
            overdue = a_job(an_instance("old"), received_at=1_780_000_000.0)
            (high,) = jobs(1, Urgency.HIGH)
            for job in (overdue, *jobs(4), high):
                queue.place(job)
            queue.serve(done)
            # Two may be handed out at once; which of the two is noted first is chance.
            first = done.wait(6)[:2]
            assert high.job_id in first

    def test_waiting_jobs_are_counted_by_urgency(self) -> None:
        with self.opened() as queue:
            for urgency, count in ((Urgency.STAT, 1), (Urgency.HIGH, 2), (Urgency.AUDIT, 3)):
                for job in jobs(count, urgency):
                    queue.place(job)
            assert queue.waiting() == {"STAT": 1, "HIGH": 2, "ROUTINE": 0, "AUDIT": 3}

    def test_a_cancelled_job_does_not_start(self) -> None:
        done = Record()
        with self.opened() as queue:
            unwanted, wanted = jobs(2)
            queue.place(unwanted)
            queue.place(wanted)
            queue.cancel(unwanted.job_id)
            queue.serve(done)
            done.wait(1)
            assert done.handled == [wanted.job_id]
            assert sum(queue.waiting().values()) == 0

    def test_a_job_that_is_made_urgent_overtakes_those_that_wait(self) -> None:
        done = Record()
        with self.opened() as queue:
            waiting = jobs(6)
            for job in waiting:
                queue.place(job)
            urgent = moved(waiting[5], Urgency.STAT, NOON, "STAT by anna", 1)
            queue.move(urgent)
            assert queue.waiting() == {"STAT": 1, "HIGH": 0, "ROUTINE": 5, "AUDIT": 0}
            queue.serve(done)
            handled = done.wait(6)
            # A few may be handed out at once; which of them is noted first is chance.
            assert urgent.job_id in handled[:4]
            assert sorted(handled) == sorted(job.job_id for job in waiting)

    def test_a_job_that_is_made_less_urgent_goes_back(self) -> None:
        done = Record()
        with self.opened() as queue:
            (high,) = jobs(1, Urgency.HIGH)
            queue.place(high)
            for job in jobs(6):
                queue.place(job)
            later = NOON + 10 * 86400.0
            queue.move(moved(high, Urgency.ROUTINE, later, "ROUTINE by anna", 1))
            queue.serve(done)
            assert high.job_id not in done.wait(7)[:4]

    def test_moving_a_job_that_does_not_wait_places_nothing(self) -> None:
        done = Record()
        with self.opened() as queue:
            queue.serve(done)
            ended, other = jobs(2)
            queue.place(ended)
            done.wait(1)
            queue.move(moved(ended, Urgency.STAT, NOON, "STAT by anna", 1))
            queue.place(other)
            assert done.wait(2) == [ended.job_id, other.job_id]

    def test_cancelling_a_job_that_is_not_known_changes_nothing(self) -> None:
        with self.opened() as queue:
            queue.cancel("00000000-0000-5000-8000-000000000000")

    def test_a_running_job_that_is_cancelled_stops_at_its_next_step(self) -> None:
        started, cancelled = threading.Event(), threading.Event()
        seen: list[BaseException] = []
        ended = threading.Event()

        def handler(job_id: str, step: Step) -> None:
            step("first", lambda: "done")
            started.set()
            assert cancelled.wait(PATIENCE)
            try:
                step("second", lambda: "must not run")
            except CancelledError as error:
                seen.append(error)
            finally:
                ended.set()

        with self.opened() as queue:
            queue.serve(handler)
            (job,) = jobs(1)
            queue.place(job)
            assert started.wait(PATIENCE)
            queue.cancel(job.job_id)
            cancelled.set()
            assert ended.wait(PATIENCE)
        assert len(seen) == 1

    def test_a_new_attempt_is_handled_although_the_first_one_ended(self) -> None:
        done = Record()
        with self.opened() as queue:
            queue.serve(done)
            (job,) = jobs(1)
            queue.place(job)
            done.wait(1)
            for _ in range(2):
                queue.place(replace(job, attempt=2))
            assert done.wait(2) == [job.job_id, job.job_id]

    def test_cancelling_a_job_cancels_its_later_attempts_too(self) -> None:
        done = Record()
        with self.opened() as queue:
            unwanted, wanted = jobs(2)
            queue.place(replace(unwanted, attempt=2))
            queue.place(wanted)
            queue.cancel(unwanted.job_id)
            queue.serve(done)
            assert done.wait(1) == [wanted.job_id]

    def test_an_emergency_does_not_wait_for_running_audits(self) -> None:
        started, go_on = threading.Event(), threading.Event()
        done = Record()
        audits = jobs(5, Urgency.AUDIT)
        (stat,) = jobs(1, Urgency.STAT)

        def handler(job_id: str, step: Step) -> None:
            if job_id != stat.job_id:
                started.set()
                assert go_on.wait(PATIENCE)
            done.note(job_id)

        with self.opened() as queue:
            queue.serve(handler)
            for audit in audits:
                queue.place(audit)
            assert started.wait(PATIENCE)
            queue.place(stat)
            assert done.wait(1) == [stat.job_id]
            go_on.set()
            done.wait(6)

    def test_audits_run_one_at_a_time(self) -> None:
        lock = threading.Lock()
        done = Record()

        def handler(job_id: str, step: Step) -> None:
            assert lock.acquire(blocking=False)
            done.note(job_id)
            lock.release()

        with self.opened() as queue:
            queue.serve(handler)
            for audit in jobs(4, Urgency.AUDIT):
                queue.place(audit)
            done.wait(4)

    def test_a_step_returns_what_its_function_returned(self) -> None:
        seen: list[str] = []
        done = Record()

        def handler(job_id: str, step: Step) -> None:
            seen.append(step("predict", lambda: "pneumonia 0.93 ü"))
            done.note(job_id)

        self._handle_one(handler, done)
        assert seen == ["pneumonia 0.93 ü"]

    def test_a_step_raises_what_its_function_raised(self) -> None:
        done = Record()
        seen: list[Exception] = []
        wrong = ValueError("as it was")

        def fail() -> str:
            raise wrong

        def handler(job_id: str, step: Step) -> None:
            try:
                step("predict", fail)
            except ValueError as error:
                seen.append(error)
            done.note(job_id)

        self._handle_one(handler, done)
        assert seen == [wrong]

    def test_a_handler_that_throws_does_not_end_the_queue(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        done = Record()
        bad, good = jobs(2)

        def handler(job_id: str, step: Step) -> None:
            done.note(job_id)
            if job_id == bad.job_id:
                raise RuntimeError("DOE^JANE")

        with self.opened() as queue:
            queue.serve(handler)
            queue.place(bad)
            done.wait(1)
            queue.place(good)
            assert done.wait(2) == [bad.job_id, good.job_id]
        assert "DOE" not in caplog.text

    def test_closing_waits_for_the_running_job(self) -> None:
        started, go_on = threading.Event(), threading.Event()
        done = Record()

        def handler(job_id: str, step: Step) -> None:
            started.set()
            assert go_on.wait(PATIENCE)
            done.note(job_id)

        with self.opened() as queue:
            queue.serve(handler)
            queue.place(jobs(1)[0])
            assert started.wait(PATIENCE)
            closing = threading.Thread(target=queue.close, args=(PATIENCE,))
            closing.start()
            go_on.set()
            closing.join(PATIENCE)
            assert not closing.is_alive()
            assert len(done.handled) == 1

    def _handle_one(self, handler: Callable[[str, Step], None], done: Record) -> None:
        with self.opened() as queue:
            queue.serve(handler)
            queue.place(jobs(1)[0])
            done.wait(1)
