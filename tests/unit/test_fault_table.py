"""The table of faults tells of tests that exist, and leaves out no fault of receiving."""

from __future__ import annotations

import pytest

from fault_table import exists, rows
from lightbox.tools.bench.attacks import ATTACKS

FAULTS = [*(f"F{number}" for number in range(1, 20)), "F33"]


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_proven_by_tests_that_exist(fault: str) -> None:
    tests = rows()[fault]
    assert tests
    assert [test for test in tests if not exists(test)] == []


def test_each_attack_that_is_measured_has_its_row() -> None:
    assert {attack.name for attack in ATTACKS} | {"M7"} == {n for n in rows() if n[0] == "M"}


def test_a_test_that_does_not_exist_would_be_seen() -> None:
    assert not exists("tests/unit/test_fault_table.py::test_of_yesterday")
    assert not exists("tests/unit/test_gone.py")
