"""Which few slices of a series show what was found."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from lightbox.domain.key_slices import Judged, key_slices, least_distance
from lightbox.domain.prediction import FrameRef


def a_stack(*suspicions: float, targets: tuple[int, ...] = ()) -> list[Judged]:
    return [
        Judged(FrameRef(str(place)), targets[place] if targets else 0, suspicion)
        for place, suspicion in enumerate(suspicions)
    ]


def places(refs: tuple[FrameRef, ...]) -> list[int]:
    return [int(ref.sop_instance_uid) for ref in refs]


SLICES = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2)), min_size=1, max_size=60)
"""Suspicion in twentieths, and the output that wins."""


def a_look(slices: list[tuple[int, int]]) -> tuple[list[Judged], FrameRef]:
    """Return a stack and its key frame: the first of the most suspicious."""
    suspicions = [suspicion / 20 for suspicion, _ in slices]
    stack = a_stack(*suspicions, targets=tuple(target for _, target in slices))
    return stack, stack[suspicions.index(max(suspicions))].ref


def test_the_most_suspicious_that_are_no_neighbours_are_chosen_in_the_order_of_the_stack() -> None:
    stack = a_stack(0.1, 0.7, 0.8, 0.95, 0.9, 0.2, 0.6, 0.1)
    assert places(key_slices(stack, FrameRef("3"), least=0.5)) == [1, 3, 6]


def test_a_slice_on_which_another_finding_wins_is_none() -> None:
    stack = a_stack(0.9, 0.1, 0.8, 0.1, 0.7, targets=(0, 0, 1, 0, 0))
    assert places(key_slices(stack, FrameRef("0"), least=0.5)) == [0, 4]


def test_of_equals_the_first_is_chosen() -> None:
    assert places(key_slices(a_stack(0.5, 0.5, 0.5, 0.5), FrameRef("0"), most=2)) == [0, 2]


def test_slices_of_a_long_stack_are_further_apart() -> None:
    assert [least_distance(n) for n in (1, 22, 48, 176, 1000)] == [2, 2, 2, 7, 42]


@settings(deadline=None)
@given(SLICES, st.floats(0.0, 1.0), st.integers(1, 9))
def test_the_choice_keeps_its_promises(
    slices: list[tuple[int, int]], least: float, most: int
) -> None:
    stack, key = a_look(slices)
    chosen = places(key_slices(stack, key, least, most))
    at = int(key.sop_instance_uid)
    assert at in chosen
    assert len(chosen) <= most
    distance = least_distance(len(stack))
    assert all(b - a >= distance for a, b in pairwise(chosen))
    for place in set(chosen) - {at}:
        assert stack[place].target == stack[at].target
        assert stack[place].suspicion >= least
    if len(chosen) < most:  # nothing that would fit was left out
        left = (
            place
            for place, judged in enumerate(stack)
            if judged.target == stack[at].target and judged.suspicion >= least
        )
        assert all(any(abs(place - one) < distance for one in chosen) for place in left)


@settings(deadline=None)
@given(SLICES)
def test_more_slices_only_add_to_fewer(slices: list[tuple[int, int]]) -> None:
    stack, key = a_look(slices)
    assert set(key_slices(stack, key, most=3)) <= set(key_slices(stack, key, most=6))
