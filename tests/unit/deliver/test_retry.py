from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from builders import a_uid
from lightbox.deliver.retry import LONGEST, wait

UID = a_uid("result")


@given(attempt=some.integers(1, 11), first=some.floats(0.01, 60.0))
def test_the_wait_doubles_within_ten_per_cent(attempt: int, first: float) -> None:
    even = min(first * 2 ** (attempt - 1), LONGEST)
    assert 0.9 * even <= wait(attempt, first, UID) <= 1.1 * even


def test_the_same_result_always_waits_the_same_time() -> None:
    assert wait(3, 30.0, UID) == wait(3, 30.0, UID)


def test_results_that_failed_together_do_not_come_back_together() -> None:
    assert len({wait(1, 30.0, a_uid(str(n))) for n in range(100)}) == 100


def test_ten_tries_from_thirty_seconds_span_more_than_eight_hours() -> None:
    assert sum(wait(n, 30.0, UID) for n in range(1, 11)) > 8 * 3600.0


@given(attempt=some.integers(1, 10**9))
def test_no_wait_is_much_longer_than_a_day(attempt: int) -> None:
    assert wait(attempt, 30.0, UID) <= 1.1 * LONGEST
