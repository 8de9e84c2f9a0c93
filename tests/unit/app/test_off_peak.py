"""Audits that nobody asked for wait for the site's hours, by the clock on its wall."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from builders import a_job, an_instance
from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.app.operate.switch import Switch, SwitchedQueue
from lightbox.app.questions.off_peak import OFF_PEAK, OffPeak
from lightbox.app.turns import Brake
from lightbox.domain.errors import HeldError
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.urgency import Urgency
from lightbox.schedule.queues.memory import MemoryQueue
from lightbox.storage.files import Files

AUDIT = a_job(an_instance("1"), path=JobPath.AUDIT, urgency=Urgency.AUDIT)
WAITS = replace(AUDIT, off_peak=True)


@pytest.fixture(autouse=True)
def berlin() -> Iterator[None]:
    """Put this machine to Berlin, where summer time ended on 2026-10-25 at 01:00 UTC."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def at(utc: str) -> FakeClock:
    return FakeClock(datetime.fromisoformat(utc).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("utc", "is_open"),
    [
        ("2026-10-24T19:59", False),  # 21:59 in summer
        ("2026-10-24T20:00", True),
        ("2026-10-25T04:59", True),  # 05:59 in winter: the night was an hour longer
        ("2026-10-25T05:00", False),
        ("2026-10-25T20:59", False),  # 21:59 in winter
        ("2026-10-25T21:00", True),
        ("2026-03-28T21:00", True),  # 22:00 in winter
        ("2026-03-29T03:59", True),  # 05:59 in summer: an hour shorter
        ("2026-03-29T04:00", False),
    ],
)
def test_the_hours_are_those_of_the_clock_on_the_wall(utc: str, is_open: bool) -> None:
    assert OffPeak("22:00-06:00", at(utc)).is_open() is is_open


def test_without_hours_audits_run_always() -> None:
    assert OffPeak("", at("2026-06-01T10:00")).is_open()


def test_only_what_nobody_asked_for_waits_and_goes_on_by_itself(tmp_path: Path) -> None:
    clock = at("2026-06-01T19:59:59")
    brake = Brake(FakeLedger(), tmp_path, clock, off_peak=OffPeak("22:00-06:00", clock))
    brake.hold(AUDIT)
    brake.hold(a_job())
    with pytest.raises(HeldError) as held:
        brake.hold(WAITS)
    assert held.value.model == OFF_PEAK
    brake.hold(replace(WAITS, attempt=2))  # a person asked for it since
    assert brake.stops(OFF_PEAK)
    clock.advance(1.0)
    assert not brake.stops(OFF_PEAK)
    brake.hold(WAITS)


@pytest.mark.parametrize("is_looked_at", [True, False])
def test_audits_that_wait_for_their_hours_are_counted_once(
    tmp_path: Path, is_looked_at: bool
) -> None:
    unfinished: list[Job] = [WAITS, a_job(an_instance("2"))]
    clock = at("2026-06-01T12:00")
    line = MemoryQueue(1)
    off_peak = OffPeak("22:00-06:00", clock)
    queue = SwitchedQueue(line, Switch(tmp_path, Files()), lambda: unfinished, off_peak)
    queue.place(unfinished[1])
    if not is_looked_at:
        queue.place(WAITS)
    assert queue.waiting() == {"STAT": 0, "HIGH": 0, "ROUTINE": 1, "AUDIT": 1}
