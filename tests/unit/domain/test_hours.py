from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightbox.domain.hours import Hours

MINUTES = st.integers(0, 24 * 60 - 1)
TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31))  # noqa: DTZ001  # a clock on a wall


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-21T{text}")


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        ("12:00:00", 36000.0),
        ("21:59:59", 1.0),
        ("22:00:00", 0.0),
        ("23:59:59", 0.0),
        ("05:59:59", 0.0),
        ("06:00:00", 57600.0),
    ],
)
def test_hours_across_midnight(now: str, seconds: float) -> None:
    assert Hours.read("22:00-06:00").wait(at(now)) == seconds


@pytest.mark.parametrize(
    ("now", "seconds"), [("08:00:00", 3600.0), ("09:00:00", 0.0), ("17:00:00", 57600.0)]
)
def test_hours_within_a_day(now: str, seconds: float) -> None:
    assert Hours.read("09:00-17:00").wait(at(now)) == seconds


@given(MINUTES, TIMES)
def test_hours_that_end_when_they_begin_are_the_whole_day(minute: int, now: datetime) -> None:
    assert Hours(minute, minute).wait(now) == 0.0


@given(MINUTES, MINUTES, TIMES)
def test_after_the_wait_it_is_inside_and_no_wait_is_longer_than_a_day(
    opens: int, closes: int, now: datetime
) -> None:
    hours = Hours(opens, closes)
    seconds = hours.wait(now)
    assert 0.0 <= seconds <= 86400.0
    assert hours.wait(now + timedelta(seconds=seconds)) == 0.0


@pytest.mark.parametrize("text", ["", "22:00", "22-06", "24:00-06:00", "22:60-06:00", "at night"])
def test_what_are_no_hours_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="22:00-06:00"):
        Hours.read(text)
