"""The gate, one decision at a time: waiters are real threads, time is a clock that tests move."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from fakes.clock import FakeClock
from lightbox.domain.urgency import Urgency
from lightbox.schedule.gate import Gate, Waited

PATIENCE = 10.0
STAT, HIGH, ROUTINE, AUDIT = Urgency


class Bench:
    """A gate, and threads that want it; ``entered`` tells who got it, in order."""

    def __init__(self, min_share: float = 0.1) -> None:
        self.clock = FakeClock()
        self.observed: list[Waited] = []
        self.used: list[tuple[Urgency, float]] = []
        self.gate = Gate(
            min_share,
            self.clock,
            self.observed.append,
            lambda urgency, seconds: self.used.append((urgency, seconds)),
        )
        self.entered: list[str] = []
        self._changed = threading.Condition()
        self._waiters: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def wants(self, name: str, urgency: Urgency, deadline: float = 0.0) -> None:
        """Start a thread that wants the gate, and wait until it does."""
        leave = self._waiters[name] = threading.Event()
        before = len(self.gate.waiting())

        def run() -> None:
            with self.gate.turn(urgency, deadline):
                with self._changed:
                    self.entered.append(name)
                    self._changed.notify_all()
                assert leave.wait(PATIENCE)

        thread = threading.Thread(target=run)
        self._threads.append(thread)
        thread.start()
        _until(lambda: len(self.gate.waiting()) > before or name in self.entered)

    def leaves(self, name: str) -> None:
        self._waiters[name].set()

    def order(self, count: int) -> list[str]:
        """Let each leave as soon as it entered; return who came in which order."""
        for done in range(count):
            with self._changed:
                assert self._changed.wait_for(partial(self._came, done), PATIENCE)
            self.leaves(self.entered[done])
        for thread in self._threads:
            thread.join(PATIENCE)
        return list(self.entered)

    def _came(self, number: int) -> bool:
        return len(self.entered) > number

    @contextmanager
    def held(self, urgency: Urgency) -> Iterator[None]:
        with self.gate.turn(urgency):
            yield


def _until(holds: object) -> None:
    assert callable(holds)
    pause = threading.Event()
    for _ in range(1000):
        if holds():
            return
        pause.wait(0.005)
    raise AssertionError("it did not happen")


def test_an_idle_device_is_given_at_once() -> None:
    bench = Bench()
    with bench.gate.turn(ROUTINE) as turn:
        assert turn.waited == 0.0
    assert bench.observed == [Waited(ROUTINE, 0.0)]


def test_the_most_urgent_goes_first_then_the_earliest_deadline_then_who_came_first() -> None:
    bench = Bench()
    with bench.held(ROUTINE):
        bench.wants("audit", AUDIT)
        bench.wants("late", ROUTINE, deadline=30.0)
        bench.wants("early", ROUTINE, deadline=20.0)
        bench.wants("early too", ROUTINE, deadline=20.0)
        bench.wants("high", HIGH, deadline=90.0)
        bench.wants("stat", STAT, deadline=99.0)
    assert bench.order(6) == ["stat", "high", "early", "early too", "late", "audit"]


def test_one_holder_at_a_time() -> None:
    bench = Bench()
    with bench.held(AUDIT):
        bench.wants("stat", STAT)
        assert bench.entered == []
    assert bench.order(1) == ["stat"]


def test_the_device_is_given_back_when_a_holder_fails() -> None:
    bench = Bench()
    with pytest.raises(ZeroDivisionError), bench.gate.turn(STAT):
        raise ZeroDivisionError
    with bench.held(AUDIT):
        pass


@pytest.mark.parametrize(
    ("holder", "waiter", "urgent"),
    [
        (AUDIT, STAT, True),
        (AUDIT, HIGH, True),
        (AUDIT, ROUTINE, True),
        (AUDIT, AUDIT, False),
        (ROUTINE, HIGH, True),
        (ROUTINE, STAT, True),
        (ROUTINE, ROUTINE, False),
        (HIGH, ROUTINE, False),
        (HIGH, AUDIT, False),
        (STAT, STAT, False),
    ],
)
def test_a_holder_is_told_whether_somebody_more_urgent_waits(
    holder: Urgency, waiter: Urgency, urgent: bool
) -> None:
    bench = Bench()
    with bench.held(holder):
        assert not bench.gate.urgent_waiting(holder)
        bench.wants("waiter", waiter)
        assert bench.gate.urgent_waiting(holder) is urgent
    bench.order(1)


def test_an_audit_that_gives_way_goes_on_after_the_urgent_one() -> None:
    bench = Bench()
    with bench.gate.turn(AUDIT) as turn:
        assert not turn.give_way()
        bench.wants("stat", STAT)
        bench.leaves("stat")
        assert turn.give_way()
        assert bench.entered == ["stat"]
        assert not turn.give_way()


def test_waits_are_measured_and_observed() -> None:
    bench = Bench()
    with bench.held(AUDIT):
        bench.wants("stat", STAT)
        bench.clock.advance(0.25)
    bench.order(1)
    assert bench.observed == [Waited(AUDIT, 0.0), Waited(STAT, 0.25, behind_audit=0.25)]


def test_only_the_time_behind_an_audit_counts_as_preemption() -> None:
    bench = Bench()
    with bench.held(STAT):
        bench.wants("stat", STAT)
        bench.clock.advance(0.5)
    bench.order(1)
    assert bench.observed[-1] == Waited(STAT, 0.5, behind_audit=None)


def test_it_is_counted_how_long_each_had_the_device() -> None:
    bench = Bench()
    with bench.held(AUDIT):
        bench.clock.advance(0.25)
    with bench.held(STAT):
        bench.clock.advance(0.5)
    assert bench.used == [(AUDIT, 0.25), (STAT, 0.5)]


def test_of_several_audits_in_the_way_the_longest_stretch_counts() -> None:
    bench = Bench(min_share=1.0)
    with bench.held(AUDIT):
        bench.wants("high", HIGH)
        bench.wants("audit", AUDIT)
        bench.clock.advance(0.2)
        bench.gate._credit = 1.0  # audits are owed a turn: the next one goes first
    _until(lambda: bench.entered == ["audit"])
    bench.clock.advance(0.1)
    bench.order(2)
    (high,) = (each for each in bench.observed if each.urgency is HIGH)
    assert high.seconds == pytest.approx(0.3)
    assert high.behind_audit == pytest.approx(0.2)


def test_audits_get_their_share_while_routine_jobs_wait() -> None:
    bench = Bench(min_share=0.1)
    with bench.held(ROUTINE):
        bench.wants("audit", AUDIT)
        bench.wants("routine", ROUTINE)
        bench.clock.advance(1.0)
    # One second of a fast job while an audit waited: a tenth of it is owed.
    assert bench.order(2) == ["audit", "routine"]


def test_an_audit_may_use_up_what_it_is_owed_and_then_gives_way() -> None:
    bench = Bench(min_share=0.1)
    with bench.held(ROUTINE):
        bench.wants("audit", AUDIT)
        bench.wants("routine", ROUTINE)
        bench.clock.advance(0.9)
    _until(lambda: bench.entered == ["audit"])
    bench.clock.advance(0.09)
    assert not bench.gate.urgent_waiting(AUDIT)
    bench.clock.advance(0.02)
    assert bench.gate.urgent_waiting(AUDIT)
    bench.order(2)


def test_the_share_never_holds_up_an_emergency() -> None:
    bench = Bench(min_share=1.0)
    with bench.held(ROUTINE):
        bench.wants("audit", AUDIT)
        bench.wants("stat", STAT)
        bench.clock.advance(10.0)
    assert bench.order(2) == ["stat", "audit"]


def test_without_a_share_audits_wait_for_all_others() -> None:
    bench = Bench(min_share=0.0)
    with bench.held(ROUTINE):
        bench.wants("audit", AUDIT)
        bench.wants("routine", ROUTINE)
        bench.clock.advance(100.0)
    assert bench.order(2) == ["routine", "audit"]


def test_an_idle_device_owes_audits_nothing() -> None:
    bench = Bench(min_share=0.5)
    with bench.held(ROUTINE):
        bench.clock.advance(100.0)  # no audit wanted it
        bench.wants("audit", AUDIT)
        bench.wants("routine", ROUTINE)
        bench.clock.advance(0.0)
    assert bench.order(2) == ["routine", "audit"]


def test_over_many_turns_audits_get_about_their_share() -> None:
    clock = FakeClock()
    gate = Gate(0.2, clock)
    used = {AUDIT: 0.0, ROUTINE: 0.0}
    stop = threading.Event()
    lengths = {AUDIT: 0.05, ROUTINE: 0.02}

    def worker(urgency: Urgency) -> None:
        while not stop.is_set():
            with gate.turn(urgency):
                # The other side must want the device, or the time does not count.
                _until(lambda: len(gate.waiting()) >= 2 or stop.is_set())
                clock.advance(lengths[urgency])
                used[urgency] += lengths[urgency]
                if sum(used.values()) > 20.0:
                    stop.set()

    threads = [threading.Thread(target=worker, args=(u,)) for u in (AUDIT, ROUTINE, ROUTINE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    share = used[AUDIT] / sum(used.values())
    assert 0.15 <= share <= 0.25
