"""How old a patient was, by what the header says."""

from __future__ import annotations

import pytest

from lightbox.domain.age import completed_years


@pytest.mark.parametrize(
    ("stated", "years"),
    [
        ("004Y", 4),
        ("4Y", 4),
        (" 045y ", 45),
        ("101Y", 101),
        ("000Y", 0),
        ("011M", 0),
        ("012M", 1),
        ("071M", 5),
        ("072M", 6),
        ("052W", 0),
        ("053W", 1),
        ("365D", 0),
        ("366D", 1),
        ("730D", 1),
        ("731D", 2),
        ("999D", 2),
    ],
)
def test_a_stated_age_is_in_completed_years(stated: str, years: int) -> None:
    assert completed_years(stated, "", "") == years


@pytest.mark.parametrize(
    ("born", "studied", "years"),
    [
        ("20200301", "20240229", 3),
        ("20200301", "20240301", 4),
        ("20200229", "20210228", 0),
        ("20200229", "20210301", 1),
        ("20240501", "20240501", 0),
        ("1980.12.31", "2024.01.01", 43),
    ],
)
def test_without_one_the_dates_tell(born: str, studied: str, years: int) -> None:
    assert completed_years("", born, studied) == years


def test_the_stated_age_goes_before_the_dates() -> None:
    assert completed_years("003Y", "19000101", "20240101") == 3


@pytest.mark.parametrize("stated", ["", "4", "Y", "four", "-04Y", "4.5Y", "0004Y", "004Y\\005Y"])
@pytest.mark.parametrize(
    ("born", "studied"),
    [
        ("", "20240101"),
        ("20200101", ""),
        ("20240102", "20240101"),
        ("20200230", "20240101"),
        ("00000000", "20240101"),
        ("2020", "20240101"),
        ("not a date", "20240101"),
    ],
)
def test_what_cannot_be_understood_is_no_age(stated: str, born: str, studied: str) -> None:
    assert completed_years(stated, born, studied) is None


def test_an_age_that_is_not_understood_leaves_it_to_the_dates() -> None:
    assert completed_years("45", "19790101", "20240601") == 45
