"""A destination's hours are the site's own choice: while a result waits for them, no deadline runs."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from prometheus_client import CollectorRegistry

from builders import NOON, a_job, a_stored, a_written, an_instance
from lightbox.domain.account import Account
from lightbox.domain.events import (
    Delivered,
    DeliveryDelayed,
    Event,
    JobMoved,
    JobPlaced,
    MissExpected,
    Recorded,
)
from lightbox.domain.forecast import Forecast
from lightbox.domain.jobs import Wait, while_it_waits
from lightbox.domain.levels import Levels
from lightbox.domain.standing import JobState, StudyStanding
from lightbox.domain.urgency import Urgency
from lightbox.domain.webhooks import Happening, of_job
from lightbox.metrics import Metrics

JOB = a_job(an_instance())
WRITTEN = replace(a_written(JOB), destinations=("night",))
OF = (JOB.study_instance_uid, JOB.job_id, WRITTEN.results[0].sop_instance_uid, "night")
EVENING = NOON + 10 * 3600.0
HOURS = DeliveryDelayed(*OF, 0, "waits for the hours of this destination", EVENING, is_tried=False)
BUSY = DeliveryDelayed(*OF, 1, "out of resources", EVENING)
STORED = Delivered(*OF, attempt=1)
WRITTEN_AT = NOON + 20.0
RAISED = JobMoved(JOB.study_instance_uid, JOB.job_id, Urgency.STAT, NOON + 3602.0, "ann", 1)

Rows = tuple[tuple[float, Event], ...]
BEGIN: Rows = ((NOON, a_stored(an_instance())), (NOON + 0.1, JobPlaced(JOB)), (WRITTEN_AT, WRITTEN))


def account_of(*rows: tuple[float, Event]) -> Account:
    account = Account(("night",))
    for number, (at, event) in enumerate((*BEGIN, *rows), 1):
        account.apply(Recorded("control", number, at, "", event))
    return account


def study_of(*rows: tuple[float, Event]) -> StudyStanding:
    (study,) = account_of(*rows).studies()
    return study


def judged(*rows: tuple[float, Event]) -> dict[str, float | None]:
    """Return what the metrics have counted in the end, looked at before each row."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, "test", ("night",))
    account = Account(("night",))
    for number, (at, event) in enumerate((*BEGIN, *rows), 1):
        recorded = Recorded("control", number, at, "", event)
        account.apply(recorded)
        metrics.set_levels(Levels(0, 0, {}, {}, 0), at)
        metrics.observe_event(recorded, account.placed_job(JOB.job_id))
    return {
        outcome: registry.get_sample_value(
            "lightbox_deadlines_total", {"urgency": "ROUTINE", "outcome": outcome}
        )
        for outcome in ("met", "missed")
    }


def test_a_result_stored_when_the_hours_begin_is_in_time() -> None:
    rows: Rows = ((WRITTEN_AT + 1, HOURS), (EVENING + 2, STORED))
    assert study_of(*rows).is_met is True
    assert judged(*rows) == {"met": 1.0, "missed": 0.0}


def test_what_it_took_outside_of_the_hours_still_counts() -> None:
    rows: Rows = ((WRITTEN_AT + 1, HOURS), (EVENING + 300.0, STORED))
    assert study_of(*rows).is_met is False
    assert judged(*rows) == {"met": 0.0, "missed": 1.0}


def test_a_destination_that_is_busy_or_away_is_no_excuse() -> None:
    assert study_of((WRITTEN_AT + 1, BUSY), (EVENING + 2, STORED)).is_met is False


def test_a_deadline_that_had_passed_before_the_wait_stays_missed() -> None:
    late = while_it_waits(JOB, frozenset({Wait(JOB.deadline + 1.0, EVENING)}))
    assert late.deadline == JOB.deadline


def test_while_it_waits_it_is_neither_late_nor_expected_to_be() -> None:
    account = account_of((WRITTEN_AT + 1, HOURS))
    standing = account.job(JOB.job_id)
    assert standing is not None
    assert standing.state is JobState.WRITTEN
    assert standing.job.deadline == pytest.approx(JOB.deadline + EVENING - WRITTEN_AT - 1)
    told = {each.about for each in of_job(standing, NOON + 3600.0)}
    assert Happening.MISSED_DEADLINE not in told
    later = {each.about for each in of_job(standing, EVENING + 300.0)}
    assert Happening.MISSED_DEADLINE in later


def forecast_of(*rows: tuple[float, Event]) -> Forecast:
    forecast = Forecast(dict.fromkeys(Urgency, 1))
    for number, (at, event) in enumerate((*BEGIN, *rows), 1):
        forecast.observe(Recorded("control", number, at, "", event))
    return forecast


def test_no_miss_is_foretold_of_what_waits_for_hours() -> None:
    forecast = forecast_of((WRITTEN_AT + 1, HOURS))
    assert forecast.misses(NOON + 60.0) == ()
    assert forecast.expected(NOON + 60.0)[JOB.job_id] == pytest.approx(EVENING)
    (missed,) = forecast.misses(EVENING + 300.0)
    assert isinstance(missed, MissExpected)


def test_hours_that_a_delivery_waited_for_are_not_expected_of_the_next_one() -> None:
    forecast = forecast_of((WRITTEN_AT + 1, HOURS), (EVENING + 2, STORED))
    job = a_job(an_instance("next"), received_at=EVENING + 3)
    forecast.observe(Recorded("control", 9, EVENING + 3, "", JobPlaced(job)))
    assert forecast.misses(EVENING + 4) == ()


def test_a_study_that_is_made_urgent_waits_for_no_hours_and_its_deadline_runs() -> None:
    rows: Rows = ((WRITTEN_AT + 1, HOURS), (NOON + 3600.0, RAISED))
    forecast = forecast_of(*rows)
    assert forecast.misses(NOON + 3600.5) == ()
    assert len(forecast.misses(NOON + 3603.0)) == 1
    assert study_of(*rows, (NOON + 3601.0, STORED)).is_met is True
    assert study_of(*rows, (NOON + 3700.0, STORED)).is_met is False


def test_times_in_which_it_waits_for_two_destinations_count_once() -> None:
    first, second = Wait(NOON + 10, NOON + 110), Wait(NOON + 60, NOON + 160)
    for order in permutations((first, second, first)):
        assert while_it_waits(JOB, frozenset(order)).deadline == JOB.deadline + 150.0


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows: Rows = ((WRITTEN_AT + 1, HOURS), (WRITTEN_AT + 2, BUSY), (EVENING + 2, STORED))
    for order in permutations(rows):
        assert study_of(*order) == study_of(*rows)
