from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightbox.domain.readiness import quiet_period, ready_at
from lightbox.domain.urgency import Urgency

moments = st.floats(min_value=0.0, max_value=2e9)
spans = st.floats(min_value=0.0, max_value=1e5)


@pytest.mark.parametrize(
    ("last_received", "last_released", "ready"),
    [
        (100.0, 101.0, 111.0),  # the association ended after the last instance: silence from there
        (100.0, 90.0, 110.0),  # it was ended already (a dead process): silence from the instance
        (100.0, 100.0, 110.0),
        (100.0, None, 160.0),  # still open: forced
        (100.0, 155.0, 160.0),  # ended late: never later than forced
        (100.0, 900.0, 160.0),
    ],
)
def test_a_series_is_ready_after_silence_or_when_forced(
    last_received: float, last_released: float | None, ready: float
) -> None:
    assert ready_at(last_received, last_released, quiet=10.0, force_after=60.0) == ready


@pytest.mark.parametrize(
    ("urgency", "seconds"),
    [(Urgency.STAT, 0.3), (Urgency.HIGH, 0.3), (Urgency.ROUTINE, 10.0), (Urgency.AUDIT, 10.0)],
)
def test_urgent_series_wait_for_the_short_silence(urgency: Urgency, seconds: float) -> None:
    assert quiet_period(urgency, ordinary=10.0, urgent=0.3) == seconds


@given(moments, st.none() | moments, spans, spans)
def test_nothing_is_ready_before_its_last_instance_nor_after_the_forced_moment(
    received: float, released: float | None, quiet: float, force: float
) -> None:
    at = ready_at(received, released, quiet, force)
    assert received <= at <= received + force


@given(moments, moments, spans, spans, spans)
def test_a_later_instance_never_makes_a_series_ready_earlier(
    received: float, released: float, quiet: float, force: float, later: float
) -> None:
    before = ready_at(received, released, quiet, force)
    assert ready_at(received + later, released, quiet, force) >= before


@given(moments, moments, spans, spans)
def test_an_open_association_never_makes_a_series_ready_earlier(
    received: float, released: float, quiet: float, force: float
) -> None:
    closed = ready_at(received, released, quiet, force)
    assert ready_at(received, None, quiet, force) >= closed
