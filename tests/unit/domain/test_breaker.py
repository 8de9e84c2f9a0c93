from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightbox.domain.breaker import FAILURES, FIRST_WAIT, LONGEST_WAIT, Breaker, BreakerState


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker = breaker.unsound(now, "NaN")
    return breaker


def test_it_opens_after_so_many_unsound_outputs_in_a_row_and_not_before() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker = breaker.unsound(0.0, "NaN")
    assert breaker.allows(0.0)
    assert not breaker.unsound(0.0, "NaN").allows(0.0)


def test_a_sound_output_in_between_starts_the_count_again() -> None:
    breaker = Breaker().unsound(0.0, "NaN").unsound(0.0, "NaN").sound().unsound(0.0, "NaN")
    assert breaker.state is BreakerState.CLOSED
    assert breaker.failures == 1


def test_after_its_time_one_job_may_probe_and_no_second_one() -> None:
    breaker = opened()
    assert not breaker.allows(FIRST_WAIT - 1)
    assert breaker.allows(FIRST_WAIT)
    assert not breaker.asked().allows(FIRST_WAIT)


def test_a_sound_probe_closes_it() -> None:
    assert opened().asked().sound() == Breaker()


def test_an_unsound_probe_opens_it_for_longer() -> None:
    breaker = opened().asked().unsound(FIRST_WAIT, "NaN")
    assert breaker.until == FIRST_WAIT + 2 * FIRST_WAIT
    assert breaker.failures == FAILURES + 1


def test_a_probe_that_told_nothing_lets_another_one_try() -> None:
    assert opened().asked().neither(100.0).allows(100.0)
    assert Breaker().neither(100.0) == Breaker()


@given(st.lists(st.sampled_from(["asked", "sound", "unsound", "neither"]), max_size=60))
def test_it_never_stays_shut_longer_than_stated(steps: list[str]) -> None:
    breaker, now = Breaker(), 0.0
    for step in steps:
        now += 1.0
        match step:
            case "asked":
                breaker = breaker.asked() if breaker.allows(now) else breaker
            case "sound":
                breaker = breaker.sound()
            case "unsound":
                breaker = breaker.unsound(now, "NaN")
            case _:
                breaker = breaker.neither(now)
        assert breaker.until - now <= LONGEST_WAIT
        if breaker.state is BreakerState.PROBING:
            assert breaker.neither(now).allows(now)
        else:
            assert breaker.allows(now + LONGEST_WAIT)


@pytest.mark.parametrize("state", BreakerState)
def test_a_sound_output_closes_it_from_every_state(state: BreakerState) -> None:
    assert Breaker(state=state, failures=9).sound() == Breaker()
