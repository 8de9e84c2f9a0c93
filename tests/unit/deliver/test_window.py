"""Off-peak hours of a destination: what waits for them, what does not, and how that is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from builders import a_digest, a_uid
from fakes.clock import FakeClock
from fakes.destination import FakeDestination
from fakes.ledger import FakeLedger
from lightbox.deliver.send import Send
from lightbox.deliver.status import Action, DestinationError
from lightbox.domain.events import Delivered, DeliveryDelayed
from lightbox.domain.result import Result, ResultKind
from lightbox.domain.urgency import Urgency
from lightbox.settings import DestinationSettings

HOUR = 3600.0


def a_result(name: str) -> Result:
    uid = a_uid("result", name)
    kind = ResultKind.SECONDARY_CAPTURE
    return Result(kind, "1.2.840.10008.5.1.4.1.1.7", uid, f"{uid}.dcm", a_digest(uid), 1)


class Bench:
    """A destination whose hours begin in two hours and last for three."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ledger = FakeLedger(self.clock)
        self.pacs = FakeDestination()
        local = datetime.fromtimestamp(self.clock.now(), UTC).astimezone()
        self.seconds = 60.0 - local.second - local.microsecond / 1e6 + 2 * HOUR - 60.0
        opens, closes = local + timedelta(hours=2), local + timedelta(hours=5)
        window = f"{opens:%H:%M}-{closes:%H:%M}"
        self.settings = DestinationSettings(name="pacs", window=window, retries=3, retry_first=30.0)
        self.send = Send(self.pacs, self.ledger, self.settings, self.clock)

    def take(
        self, *names: str, study: str = "s1", urgency: Urgency = Urgency.ROUTINE, job: str = "job"
    ) -> None:
        for name in names:
            self.send.take(job, study, a_result(name), urgency)

    def run_for(self, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        while (at := self.send.deliver_due()) is not None and at <= end:
            self.clock.advance(max(at - self.clock.monotonic(), 0.0))
        self.clock.advance(max(end - self.clock.monotonic(), 0.0))

    def delayed(self) -> list[DeliveryDelayed]:
        return [e for e in self.ledger.events if isinstance(e, DeliveryDelayed)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def uids(*names: str) -> list[str]:
    return [a_uid("result", name) for name in names]


def test_outside_of_its_hours_a_result_waits_with_the_reason_and_the_time(bench: Bench) -> None:
    bench.take("1", "2")
    bench.run_for(bench.seconds - 1.0)
    assert bench.pacs.asked == []
    (waits,) = bench.delayed()
    assert waits.reason == f"waits for the hours of this destination, {bench.settings.window}"
    assert waits.retry_at == pytest.approx(bench.clock.now() + 1.0)
    assert (waits.attempt, waits.is_tried) == (0, False)
    bench.run_for(2.0)
    assert bench.pacs.stored == uids("1", "2")
    assert [e.attempt for e in bench.ledger.events if isinstance(e, Delivered)] == [1, 1]


@pytest.mark.parametrize("urgency", [Urgency.STAT, Urgency.HIGH])
def test_an_emergency_waits_for_no_hours(bench: Bench, urgency: Urgency) -> None:
    bench.take("routine", study="s1")
    bench.take("urgent", study="s2", urgency=urgency)
    bench.run_for(1.0)
    assert bench.pacs.stored == uids("urgent")


def test_an_urgent_result_takes_along_what_was_written_before_it_in_its_study(
    bench: Bench,
) -> None:
    bench.take("1", "2")
    bench.run_for(1.0)
    bench.take("3", urgency=Urgency.STAT)
    bench.run_for(1.0)
    assert bench.pacs.stored == uids("1", "2", "3")


def test_inside_of_its_hours_nothing_waits(bench: Bench) -> None:
    bench.clock.advance(bench.seconds + HOUR)
    bench.take("1")
    bench.run_for(1.0)
    assert bench.pacs.stored == uids("1")
    assert not bench.delayed()


def test_a_result_that_failed_in_the_last_minute_of_the_hours_waits_for_the_next_ones(
    bench: Bench,
) -> None:
    bench.clock.advance(bench.seconds + 3 * HOUR - 10.0)
    bench.pacs.script(DestinationError(Action.RETRY, "pacs", "full", "free space"))
    bench.take("1")
    bench.run_for(60.0)
    assert [each.is_tried for each in bench.delayed()] == [True, False]
    bench.run_for(22 * HOUR)
    assert bench.pacs.stored == uids("1")


def test_a_restart_within_other_hours_sends_at_once(bench: Bench) -> None:
    bench.take("1")
    bench.run_for(1.0)
    always = bench.settings.model_copy(update={"window": ""})
    restarted = Send(bench.pacs, bench.ledger, always, bench.clock)
    bench.send.hand_over(restarted.resume)
    restarted.deliver_due()
    assert bench.pacs.stored == uids("1")


def test_each_job_of_a_study_is_said_to_wait_also_one_that_comes_later(bench: Bench) -> None:
    bench.take("1", "2", job="first")
    bench.take("3", job="second")
    bench.run_for(60.0)
    bench.take("4", job="second")
    bench.take("5", job="third")
    bench.run_for(60.0)
    said = sorted((each.job_id, each.sop_instance_uid) for each in bench.delayed())
    assert said == list(zip(("first", "second", "third"), uids("1", "3", "5"), strict=True))
    bench.run_for(bench.seconds)
    assert bench.pacs.stored == uids("1", "2", "3", "4", "5")
