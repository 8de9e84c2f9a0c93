"""Numbers become words that are true."""

from __future__ import annotations

import pytest

from lightbox.console.render import flat, moment, paced, percent, span, words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.4321, "1.43 s"),
        (0.25, "0.25 s"),
        (125, "2 min 5 s"),
        (11400, "3 h 10 min"),
        (None, "\N{EN DASH}"),
    ],
)
def test_a_length_of_time(seconds: object, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.934, "93 %"), (0.9999, "> 99 %"), (0.001, "< 1 %"), (0.0, "0 %"), (1.0, "100 %")],
)
def test_a_share_is_never_rounded_to_certainty(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_moment_is_utc() -> None:
    assert moment(1_790_000_000.0) == "2026-09-21 14:13:20"
    assert moment(0) == "\N{EN DASH}"


def test_names_of_ours_are_read_as_words() -> None:
    assert words("pituitary_tumour") == "pituitary tumour"


def test_nested_values_become_lines_and_empty_ones_none() -> None:
    values = {"a_b": {"c": 1, "d": ""}, "e": [1, 2], "f": [{"g": 1}, {"g": 2}], "h": None, "i": 0}
    assert dict(flat(values)) == {"a b c": "1", "e": "1, 2", "f": "2", "i": "0"}


def test_a_long_value_is_cut() -> None:
    assert len(dict(flat({"a": "x" * 500}))["a"]) < 150


def test_the_longest_step_before_the_turnaround_is_marked() -> None:
    events = [{"at": 10.0}, {"at": 10.1}, {"at": 11.6}, {"at": 12.0}, {"at": 30.0}]
    rows = paced(events, 2.0)
    assert [row.is_longest for row in rows] == [False, False, True, False, False]
    assert [round(row.offset, 3) for row in rows] == [0.0, 0.1, 1.6, 2.0, 20.0]
    assert paced([], None) == []
