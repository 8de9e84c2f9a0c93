"""Destinations change while results wait for them; none of these is lost or sent twice."""

from __future__ import annotations

import threading
from collections.abc import Callable

from builders import a_job, a_result, an_instance
from fakes.clock import FakeClock
from fakes.destination import FakeDestination
from fakes.ledger import FakeLedger
from lightbox.app.reload.deliveries import Deliveries
from lightbox.deliver.send import Send
from lightbox.deliver.status import Action, DestinationError
from lightbox.domain.events import Delivered, NotTaken
from lightbox.domain.result import Result, ResultKind
from lightbox.domain.urgency import Urgency
from lightbox.settings import DestinationSettings

OLD = DestinationSettings(name="pacs", ae_title="PACS", port=104)
NEW = DestinationSettings(name="pacs", ae_title="PACS", port=11112)
NEWEST = DestinationSettings(name="pacs", ae_title="PACS", port=11113)
OTHER = DestinationSettings(name="other", ae_title="OTHER", port=104)
JOB = a_job(an_instance("1"))
RESULT = a_result(JOB)


def until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen")


class Bench:
    """Deliveries to fakes, one for each address."""

    def __init__(self, *given: DestinationSettings) -> None:
        self.ledger = FakeLedger()
        self.fakes: dict[int, FakeDestination] = {}
        self.deliveries = Deliveries(given, self._make, self.ledger)

    def _make(self, given: DestinationSettings) -> Send:
        fake = self.fakes.setdefault(given.port, FakeDestination())
        return Send(fake, self.ledger, given, FakeClock())

    def waits(self) -> None:
        """Queue a result; nothing is started, so it waits."""
        send = self.deliveries.sends["pacs"]
        send.take(JOB.job_id, JOB.study_instance_uid, RESULT, Urgency.ROUTINE)


def test_what_waits_for_an_address_that_was_wrong_goes_to_the_right_one_once() -> None:
    bench = Bench(OLD)
    bench.waits()
    bench.deliveries.renew((NEW,))()
    until(lambda: bench.fakes[11112].stored == [RESULT.sop_instance_uid])
    assert bench.fakes[104].stored == []
    bench.deliveries.close(5.0)


def test_what_waits_for_its_next_try_goes_the_new_way_at_once_and_keeps_its_tries() -> None:
    bench = Bench(OLD)
    bench.fakes[104].down = True
    bench.waits()
    bench.deliveries.sends["pacs"].deliver_due()
    bench.deliveries.renew((NEW,))()
    until(lambda: bench.fakes[11112].stored == [RESULT.sop_instance_uid])
    until(lambda: bool(delivered(bench)))
    assert [event.attempt for event in delivered(bench)] == [2]
    bench.deliveries.close(5.0)


def delivered(bench: Bench) -> list[Delivered]:
    return [event for event in bench.ledger.events if isinstance(event, Delivered)]


def test_what_waits_for_a_destination_that_is_gone_is_settled_with_the_reason() -> None:
    bench = Bench(OLD)
    bench.waits()
    bench.deliveries.renew(())()
    until(lambda: bool(bench.ledger.events))
    (event,) = bench.ledger.events
    assert isinstance(event, NotTaken)
    assert (event.destination, event.sop_instance_uid) == ("pacs", RESULT.sop_instance_uid)
    assert "no destination of this name" in event.reason
    assert bench.deliveries.sends == {}


def test_an_outbox_whose_destination_did_not_change_is_left_alone() -> None:
    bench = Bench(OLD)
    before = bench.deliveries.sends["pacs"]
    bench.deliveries.renew((OLD, OTHER))()
    assert bench.deliveries.sends["pacs"] is before
    assert set(bench.deliveries.sends) == {"pacs", "other"}
    bench.deliveries.close(5.0)


def test_nothing_changes_before_all_could_be_made() -> None:
    bench = Bench(OLD)
    before = dict(bench.deliveries.sends)
    bench.deliveries.renew((NEW, OTHER))
    assert bench.deliveries.sends == before


class Hangs(FakeDestination):
    """Lets nobody go until it is told to, and has taken nothing then."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.ends = threading.Event()

    def send(self, result: Result) -> str:
        self.reached.set()
        assert self.ends.wait(20.0)
        raise DestinationError(Action.UNREACHABLE, self.name, f"{result.kind}: timed out", "look")


def test_an_address_that_is_corrected_twice_while_a_result_hangs_loses_nothing() -> None:
    bench, hangs = Bench(), Hangs()
    bench.fakes[104] = hangs
    bench.deliveries.renew((OLD,))()
    bench.waits()
    assert hangs.reached.wait(20.0)
    bench.deliveries.renew((NEW,))()
    bench.deliveries.renew((NEWEST,))()
    hangs.ends.set()
    until(lambda: bench.fakes[11113].stored == [RESULT.sop_instance_uid])
    assert bench.fakes[11112].stored == []
    bench.deliveries.close(5.0)


def test_a_result_on_its_way_to_an_outbox_that_was_just_replaced_goes_the_new_way() -> None:
    bench = Bench(OLD)
    replaced = bench.deliveries.sends["pacs"]
    bench.deliveries.renew((NEW,))()
    bench.waits()
    until(lambda: bench.fakes[11112].stored == [RESULT.sop_instance_uid])  # all is handed over
    late = a_result(JOB, kind=ResultKind.SEGMENTATION)
    assert replaced.take(JOB.job_id, JOB.study_instance_uid, late, Urgency.ROUTINE)
    until(lambda: late.sop_instance_uid in bench.fakes[11112].stored)
    bench.deliveries.close(5.0)


class _Hangs(FakeDestination):
    """Does not answer before the other one is closed."""

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self.asked_once, self.other, self.released = threading.Event(), other, False

    def send(self, result: Result) -> str:
        self.asked_once.set()
        self.released = self.other.wait(2.0)
        return super().send(result)


class _Closes(FakeDestination):
    """Tells when it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed_now = threading.Event()

    def close(self) -> None:
        self.closed_now.set()
        super().close()


def test_a_destination_that_hangs_holds_up_the_end_of_no_other() -> None:
    last = _Closes()
    hangs = _Hangs(last.closed_now)
    ledger, fakes = FakeLedger(), {"pacs": hangs, "other": last}
    both = Deliveries(
        [OLD, OTHER],
        lambda given: Send(fakes[given.name], ledger, given, FakeClock()),
        ledger,
    )
    both.start()
    both.sends["pacs"].take(JOB.job_id, JOB.study_instance_uid, RESULT, Urgency.ROUTINE)
    assert hangs.asked_once.wait(10.0)
    both.close(10.0)
    assert hangs.released
    assert [type(event) for event in ledger.events] == [Delivered]
