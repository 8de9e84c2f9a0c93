from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS, code_to_category

from lightbox.deliver.status import (
    DIMSE,
    HTTP,
    NETWORK,
    REJECTED,
    Action,
    Answer,
    Network,
    of_http,
    of_rejection,
    of_status,
)

FIRST_AND_LAST = [(s, answer) for first, last, answer in DIMSE for s in {first, last}]


@pytest.mark.parametrize(
    ("status", "action"),
    [
        (0x0000, Action.SUCCESS),
        (0x0107, Action.NOTE),
        (0x0110, Action.RETRY),
        (0x0111, Action.NOTE),
        (0x0117, Action.DEAD_LETTER),
        (0x0122, Action.NOT_TAKEN),
        (0x0124, Action.RETRY),
        (0x0213, Action.RETRY),
        (0xA700, Action.RETRY),
        (0xA7FF, Action.RETRY),
        (0xA900, Action.DEAD_LETTER),
        (0xA9FF, Action.DEAD_LETTER),
        (0xB000, Action.NOTE),
        (0xB006, Action.NOTE),
        (0xB007, Action.NOTE),
        (0xC000, Action.DEAD_LETTER),
        (0xC211, Action.DEAD_LETTER),
        (0xCFFF, Action.DEAD_LETTER),
        (0xFE00, Action.RETRY),
        (0xEEEE, Action.RETRY),
    ],
)
def test_each_storage_status_has_its_action(status: int, action: Action) -> None:
    assert of_status(status).action is action


def test_every_status_of_the_storage_service_class_has_a_row() -> None:
    for status in STORAGE_SERVICE_CLASS_STATUS:
        assert any(first <= status <= last for first, last, _ in DIMSE), hex(status)


@given(status=some.integers(0, 0xFFFF))
def test_success_and_warnings_count_as_stored_and_nothing_else_does(status: int) -> None:
    stored = of_status(status).action in (Action.SUCCESS, Action.NOTE)
    already_there = status == 0x0111
    assert stored == (code_to_category(status) in ("Success", "Warning") or already_there) or (
        0xB000 <= status <= 0xBFFF
    )


def test_no_row_hides_behind_an_earlier_one() -> None:
    for first, _, answer in DIMSE:
        assert of_status(first) is answer


@pytest.mark.parametrize("row", [*REJECTED.values(), *NETWORK.values()])
def test_what_happens_below_the_storage_service_says_what_to_do(row: Answer) -> None:
    assert row.action in (Action.UNREACHABLE, Action.NOT_TAKEN)
    assert row.meaning
    assert row.mend


def test_every_network_condition_has_a_row() -> None:
    assert set(NETWORK) == set(Network)


def test_an_unknown_rejection_is_still_a_rejection() -> None:
    assert of_rejection(9, 9).action is Action.UNREACHABLE


def test_wrong_called_and_unknown_calling_ae_titles_are_told_apart() -> None:
    assert of_rejection(1, 7).meaning == "wrong called AE title"
    assert of_rejection(1, 3).meaning == "calling AE title not known"


@pytest.mark.parametrize("code", sorted(HTTP))
def test_each_http_code_of_the_table_is_found(code: int) -> None:
    assert of_http(code) is HTTP[code]


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (299, Action.NOTE),
        (301, Action.UNREACHABLE),
        (418, Action.DEAD_LETTER),
        (599, Action.RETRY),
    ],
)
def test_an_unknown_http_code_counts_by_its_class(code: int, action: Action) -> None:
    assert of_http(code).action is action


@pytest.mark.parametrize("action", [Action.RETRY, Action.DEAD_LETTER, Action.NOT_TAKEN])
def test_refusals_that_a_person_can_end_say_how(action: Action) -> None:
    rows = [answer for _, _, answer in DIMSE if answer.action is action]
    assert [row.meaning for row in rows if not row.mend] in ([], ["Duplicate invocation"])
