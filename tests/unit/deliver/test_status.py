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


DIMSE_MEANS = {
    Action.SUCCESS: {0x0000},
    Action.NOTE: {0x0001, 0x0107, 0x0111, 0x0116, 0xB000, 0xB001, 0xB006, 0xB007, 0xBFFF},
    Action.RETRY: {0x0110, 0x0124, 0x0210, 0x0213, 0xA700, 0xA7FF, 0xFE00},
    Action.NOT_TAKEN: {0x0118, 0x0122},
    Action.DEAD_LETTER: {
        0x0105, 0x0106, 0x0112, 0x0113, 0x0114, 0x0115, 0x0117, 0x0119, 0x0120, 0x0121, 0x0123,
        0x0211, 0x0212, 0xA900, 0xA9FF, 0xC000, 0xCFFF,
    },
}  # fmt: skip
HTTP_MEANS = {
    Action.SUCCESS: {200, 204},
    Action.NOTE: {202},
    Action.RETRY: {408, 425, 500, 507},
    Action.UNREACHABLE: {401, 403, 404, 405, 429, 501, 502, 503, 504},
    Action.NOT_TAKEN: {415},
    Action.DEAD_LETTER: {400, 409, 413},
}


def test_each_row_of_the_dimse_table_has_its_action() -> None:
    written = {status: action for action, rows in DIMSE_MEANS.items() for status in rows}
    assert {status: answer.action for status, answer in FIRST_AND_LAST} == written


@pytest.mark.parametrize(
    ("status", "action"),
    [
        (0xA710, Action.RETRY),
        (0xA950, Action.DEAD_LETTER),
        (0xB010, Action.NOTE),
        (0xC211, Action.DEAD_LETTER),
        (0xEEEE, Action.RETRY),
    ],
)
def test_a_status_within_a_row_or_in_none_has_its_action(status: int, action: Action) -> None:
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


def test_each_row_of_the_http_table_has_its_action() -> None:
    written = {code: action for action, rows in HTTP_MEANS.items() for code in rows}
    assert {code: of_http(code).action for code in HTTP} == written


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
