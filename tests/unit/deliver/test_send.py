from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from builders import a_digest, a_job, a_uid, a_written
from fakes.clock import FakeClock
from fakes.destination import FakeDestination
from fakes.ledger import FakeLedger
from lightbox.deliver.breaker import LONGEST_SILENCE
from lightbox.deliver.outbox import Parcel, still_to_send
from lightbox.deliver.retry import wait
from lightbox.deliver.send import Send
from lightbox.deliver.status import Action, DestinationError
from lightbox.domain.errors import DeliveryError
from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    Event,
    JobPlaced,
    NotTaken,
    Recorded,
)
from lightbox.domain.result import Result, ResultKind
from lightbox.domain.urgency import Urgency
from lightbox.settings import DestinationSettings

PACS = DestinationSettings(name="pacs", retries=10, retry_first=30.0)
NOT_KNOWN = DeliveryError("pacs", "something odd", "look")


def refusal(action: Action, reason: str = "said no") -> DestinationError:
    return DestinationError(action, "pacs (PACS@host:104)", reason, "mend it")


def a_result(name: str, kind: ResultKind = ResultKind.SECONDARY_CAPTURE) -> Result:
    uid = a_uid("result", name)
    return Result(kind, "1.2.840.10008.5.1.4.1.1.7", uid, f"{uid}.dcm", a_digest(uid), 1)


class Bench:
    """A door with fakes on all sides, driven without its thread."""

    def __init__(self, settings: DestinationSettings = PACS) -> None:
        self.clock = FakeClock()
        self.ledger = FakeLedger(self.clock)
        self.pacs = FakeDestination()
        self.told: list[Recorded] = []
        self.settings = settings
        self.send = self.restarted()

    def restarted(self) -> Send:
        return Send(self.pacs, self.ledger, self.settings, self.clock, self.told.append)

    def take(self, *names: str, study: str = "s1", urgency: Urgency = Urgency.ROUTINE) -> None:
        for name in names:
            self.send.take("job", study, a_result(name), urgency)

    def run_for(self, seconds: float) -> None:
        """Let time pass, delivering whenever something is due."""
        end = self.clock.monotonic() + seconds
        while (at := self.send.deliver_due()) is not None and at <= end:
            self.clock.advance(max(at - self.clock.monotonic(), 0.0))
        self.clock.advance(max(end - self.clock.monotonic(), 0.0))

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.ledger.events if isinstance(event, kind)]

    def stored(self) -> list[str]:
        return self.pacs.stored


@pytest.fixture
def bench() -> Bench:
    return Bench()


def uids(*names: str) -> list[str]:
    return [a_uid("result", name) for name in names]


def test_a_result_is_stored_and_the_ledger_says_so(bench: Bench) -> None:
    bench.take("1")
    bench.send.deliver_due()
    assert bench.stored() == uids("1")
    (event,) = bench.ledger.events
    assert event == Delivered("s1", "job", uids("1")[0], "pacs", attempt=1)
    assert [row.event for row in bench.told] == [event]
    assert bench.send.waiting() == 0


def test_what_the_pacs_noted_is_in_the_ledger(bench: Bench) -> None:
    bench.pacs.script("0xB006 Elements discarded")
    bench.take("1")
    bench.send.deliver_due()
    (event,) = bench.of(Delivered)
    assert isinstance(event, Delivered)
    assert event.note == "0xB006 Elements discarded"


def test_kinds_that_the_destination_does_not_get_are_not_queued() -> None:
    bench = Bench(DestinationSettings(name="pacs", kinds=("seg",)))
    assert not bench.send.take("job", "s1", a_result("1"), Urgency.ROUTINE)
    assert bench.send.waiting() == 0


def test_queueing_a_result_twice_sends_it_once(bench: Bench) -> None:
    bench.take("1", "1")
    bench.send.deliver_due()
    assert bench.pacs.asked == uids("1")


@pytest.mark.parametrize("error", [refusal(Action.RETRY), NOT_KNOWN, ValueError("a bug")])
def test_a_failed_attempt_is_recorded_with_the_time_of_the_next(
    bench: Bench, error: Exception
) -> None:
    bench.pacs.script(error)
    bench.take("1")
    at = bench.send.deliver_due()
    (event,) = bench.of(DeliveryDelayed)
    assert isinstance(event, DeliveryDelayed)
    pause = wait(1, 30.0, uids("1")[0])
    assert event.attempt == 1
    assert event.retry_at == bench.clock.now() + pause
    assert str(error) in event.reason or "ValueError" in event.reason
    assert at == bench.clock.monotonic() + pause or at == bench.clock.monotonic() + PACS.idle
    bench.run_for(34.0)
    assert bench.stored() == uids("1")
    assert bench.of(Delivered) == [Delivered("s1", "job", uids("1")[0], "pacs", attempt=2)]


def test_a_refused_result_holds_back_its_own_study_only(bench: Bench) -> None:
    bench.pacs.script(refusal(Action.RETRY))
    bench.take("1", "2")
    bench.take("3", study="s2")
    bench.send.deliver_due()
    assert bench.stored() == uids("3")
    bench.run_for(60.0)
    assert bench.stored() == uids("3", "1", "2")


def test_after_ten_tries_a_result_is_a_dead_letter_with_the_peers_words(bench: Bench) -> None:
    bench.pacs.script(*[refusal(Action.RETRY, "0xA700 Refused: out of resources")] * 11)
    bench.take("1", "2")
    bench.run_for(10 * 3600.0)
    (dead,) = bench.of(DeadLettered)
    assert isinstance(dead, DeadLettered)
    assert dead.attempt == 11
    assert dead.reason == ("pacs (PACS@host:104): 0xA700 Refused: out of resources (mend it)")
    assert [e.attempt for e in bench.of(DeliveryDelayed)] == list(range(1, 11))  # type: ignore[union-attr]  # they are
    assert bench.stored() == uids("2")


def test_a_status_that_will_not_change_is_a_dead_letter_at_once(bench: Bench) -> None:
    bench.pacs.script(refusal(Action.DEAD_LETTER))
    bench.take("1")
    bench.send.deliver_due()
    (dead,) = bench.of(DeadLettered)
    assert isinstance(dead, DeadLettered)
    assert dead.attempt == 1
    bench.run_for(3600.0)
    assert bench.pacs.asked == uids("1")


def test_a_class_that_the_pacs_does_not_take_is_no_error(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.pacs.script(*[refusal(Action.NOT_TAKEN, "does not take Segmentation")] * 2)
    for name in ("1", "2"):
        bench.send.take("job", name, a_result(name, ResultKind.SEGMENTATION), Urgency.ROUTINE)
    bench.send.deliver_due()
    assert len(bench.of(NotTaken)) == 2
    assert not bench.of(DeadLettered)
    assert caplog.text.count("does not take Segmentation") == 1


def test_a_picture_that_the_pacs_does_not_take_is_a_dead_letter(bench: Bench) -> None:
    bench.pacs.script(refusal(Action.NOT_TAKEN))
    bench.take("1")
    bench.send.deliver_due()
    assert len(bench.of(DeadLettered)) == 1


def test_while_the_pacs_is_down_only_the_first_result_is_tried(bench: Bench) -> None:
    bench.pacs.down = True
    for n in range(5):
        bench.take(str(n), study=f"s{n}")
    bench.run_for(20.0)
    assert bench.pacs.asked == uids("0")
    assert len(bench.ledger.events) == 1


def test_after_three_minutes_of_outage_every_result_arrives_once_and_in_order(
    bench: Bench,
) -> None:
    bench.pacs.down = True
    bench.take("1", "2")
    bench.run_for(100.0)
    bench.take("3")
    bench.run_for(80.0)
    bench.pacs.down = False
    bench.run_for(LONGEST_SILENCE + 1.0)
    assert bench.stored() == uids("1", "2", "3")
    assert len(bench.of(Delivered)) == 3


def test_a_pacs_that_is_back_is_found_within_a_minute_after_hours(bench: Bench) -> None:
    bench.pacs.down = True
    bench.take("1")
    bench.take("2", study="s2")
    bench.run_for(6 * 3600.0)
    bench.pacs.down = False
    bench.run_for(LONGEST_SILENCE)
    assert set(bench.stored()) == set(uids("1", "2"))


def test_when_the_pacs_is_back_the_most_urgent_goes_first(bench: Bench) -> None:
    bench.pacs.down = True
    bench.take("1", study="s1")
    bench.take("2", study="s2")
    bench.run_for(5.0)
    bench.take("3", study="s3", urgency=Urgency.STAT)
    bench.pacs.down = False
    bench.run_for(LONGEST_SILENCE)
    assert bench.stored() == uids("3", "1", "2")


def test_two_days_of_outage_lose_nothing_and_need_no_hand(bench: Bench) -> None:
    bench.pacs.down = True
    for n in range(20):
        bench.take(str(n), study=f"s{n % 3}")
    bench.run_for(48 * 3600.0)
    assert 1 <= len(bench.of(DeadLettered)) < 20
    assert len(bench.pacs.asked) < 20
    bench.pacs.down = False
    bench.run_for(LONGEST_SILENCE)
    for first in range(3):
        of_study = uids(*map(str, range(first, 20, 3)))
        assert [uid for uid in bench.stored() if uid in of_study] == of_study
    assert len(bench.of(Delivered)) == 20


def test_an_outage_needs_no_hand_though_the_service_is_started_again_in_it() -> None:
    """What was given up for want of an answer goes out by itself, whoever gave it up."""
    job = a_job()
    bench, written = Bench(), a_written(job, *ResultKind)
    wanted = [r.sop_instance_uid for r in written.results if r.kind.value in PACS.kinds]
    bench.ledger.record(JobPlaced(job), written)
    bench.pacs.down = True
    for parcel in still_to_send(bench.ledger.rows, PACS):
        bench.send.resume(parcel)
    bench.run_for(48 * 3600.0)
    assert bench.of(DeadLettered)
    bench.send = bench.restarted()
    for parcel in still_to_send(bench.ledger.rows, PACS):
        bench.send.resume(parcel)
    bench.pacs.down = False
    bench.run_for(LONGEST_SILENCE)
    assert bench.stored() == wanted


def test_an_outage_is_two_lines_in_the_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    bench.pacs.down = True
    bench.take("1", "2")
    bench.run_for(3600.0)
    bench.pacs.down = False
    bench.run_for(LONGEST_SILENCE)
    assert [record.getMessage() for record in caplog.records] == [
        "results wait for pacs: connection refused (start it)",
        "pacs answers again",
    ]


def test_without_retries_a_pacs_that_is_down_makes_dead_letters_at_once() -> None:
    bench = Bench(DestinationSettings(name="pacs", retries=0))
    bench.pacs.down = True
    bench.take("1")
    bench.take("2", study="s2")
    bench.send.deliver_due()
    assert len(bench.of(DeadLettered)) == 2


def test_a_restart_goes_on_where_the_former_process_stopped(bench: Bench) -> None:
    bench.pacs.script(refusal(Action.RETRY))
    bench.take("1")
    bench.send.deliver_due()
    (delayed,) = bench.of(DeliveryDelayed)
    assert isinstance(delayed, DeliveryDelayed)
    bench.send = bench.restarted()
    parcel = Parcel("job", "s1", a_result("1"), attempt=1, retry_at=delayed.retry_at)
    bench.send.resume(parcel)
    bench.run_for(26.0)
    assert bench.stored() == []
    bench.run_for(8.0)
    assert bench.of(Delivered) == [Delivered("s1", "job", uids("1")[0], "pacs", attempt=2)]


def test_a_revived_dead_letter_has_all_its_tries_again(bench: Bench) -> None:
    bench.pacs.script(*[refusal(Action.RETRY)] * 10)
    revived = Parcel("job", "s1", a_result("1"), attempt=11, given_up_at=11)
    bench.send.resume(revived)
    bench.run_for(10 * 3600.0)
    assert bench.of(Delivered) == [Delivered("s1", "job", uids("1")[0], "pacs", attempt=22)]


def test_a_jump_of_the_wall_clock_delays_nothing(bench: Bench) -> None:
    bench.pacs.script(refusal(Action.RETRY))
    bench.take("1")
    bench.send.deliver_due()
    bench.clock.jump(-7200.0)
    bench.run_for(34.0)
    assert bench.stored() == uids("1")


def test_an_event_that_the_ledger_did_not_take_is_an_attempt_that_comes_again() -> None:
    bench = Bench()
    bench.ledger.fail()
    bench.take("1")
    bench.send.deliver_due()
    assert bench.ledger.events == ()
    assert bench.send.waiting() == 1


def test_the_association_is_released_after_half_a_minute_of_silence(bench: Bench) -> None:
    bench.take("1")
    bench.run_for(PACS.idle - 1.0)
    assert bench.pacs.closed == 0
    bench.run_for(2.0)
    assert bench.pacs.closed == 1
    bench.run_for(600.0)
    assert bench.pacs.closed == 1


@pytest.fixture
def started(bench: Bench) -> Iterator[Bench]:
    bench.send.start()
    yield bench
    bench.send.close(5.0)


def test_the_thread_delivers_what_arrives(started: Bench) -> None:
    arrived = threading.Event()
    started.send._told = lambda _: arrived.set()
    started.take("1")
    assert arrived.wait(5.0)
    assert started.stored() == uids("1")


class ClosedWhileSending(FakeDestination):
    """Its owner is told to stop while a result is in hand."""

    close_owner: Callable[[], None]

    def send(self, result: Result) -> str:
        self.close_owner()
        raise refusal(Action.UNREACHABLE, f"connection lost with {result.sop_instance_uid}")


def test_what_is_cut_because_we_stop_is_no_attempt() -> None:
    bench = Bench()
    bench.pacs = ClosedWhileSending()
    bench.send = bench.restarted()
    bench.pacs.close_owner = lambda: bench.send.close(0.0)
    bench.take("1")
    bench.send.deliver_due()
    assert bench.ledger.events == ()
    assert bench.send.waiting() == 1


def test_closing_leaves_what_waits_to_the_ledger(bench: Bench) -> None:
    bench.pacs.down = True
    bench.take("1")
    bench.send.start()
    bench.send.close(5.0)
    assert bench.pacs.closed == 1
    assert bench.send.waiting() == 1


def test_what_a_person_stopped_is_held_in_order_and_goes_out_when_released() -> None:
    bench = Bench()
    stopped = {"s1"}
    bench.send = Send(
        bench.pacs, bench.ledger, PACS, bench.clock, is_held=lambda parcel: parcel.study in stopped
    )
    bench.take("1", "2")
    bench.take("3", study="s2")
    bench.run_for(60.0)
    assert bench.stored() == uids("3")
    assert bench.of(DeliveryDelayed) == []
    bench.send.release()
    bench.run_for(1.0)
    assert bench.stored() == uids("3")
    stopped.clear()
    bench.send.release()
    bench.run_for(1.0)
    assert bench.stored() == uids("3", "1", "2")


def test_what_the_ledger_settled_meanwhile_is_not_sent_and_the_next_of_its_study_is(
    bench: Bench,
) -> None:
    bench.take("1", "2")
    why = "a rejection note names its image"
    bench.ledger.record(NotTaken("s1", "job", uids("1")[0], "pacs", why))
    bench.send.deliver_due()
    assert bench.stored() == uids("2")
    assert bench.send.waiting() == 0


def test_what_waits_for_its_next_try_is_withdrawn_too(bench: Bench) -> None:
    bench.pacs.script(NOT_KNOWN)
    bench.take("1")
    bench.send.deliver_due()
    bench.ledger.record(NotTaken("s1", "job", uids("1")[0], "pacs", "rejected"))
    bench.run_for(3600.0)
    assert bench.stored() == []
    assert len(bench.of(DeliveryDelayed)) == 1
