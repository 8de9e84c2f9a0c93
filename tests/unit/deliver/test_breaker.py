from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from lightbox.deliver.breaker import LONGEST_SILENCE, Breaker


def test_a_new_breaker_is_closed() -> None:
    assert not Breaker("pacs", 30.0).is_open


def test_one_failure_opens_it_and_one_answer_closes_it() -> None:
    breaker = Breaker("pacs", 30.0)
    breaker.failed(100.0)
    assert breaker.is_open
    assert 127.0 <= breaker.probe_at <= 133.0
    breaker.answered()
    assert not breaker.is_open


@given(failures=some.integers(1, 200), first=some.floats(0.0, 3600.0))
def test_it_never_stays_silent_for_longer_than_a_minute(failures: int, first: float) -> None:
    breaker = Breaker("pacs", first)
    for _ in range(failures):
        breaker.failed(1000.0)
    assert 1000.0 <= breaker.probe_at <= 1000.0 + LONGEST_SILENCE
