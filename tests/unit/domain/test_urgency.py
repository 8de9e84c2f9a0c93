from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOON, an_arrival
from lightbox.domain.errors import ConfigurationError
from lightbox.domain.urgency import Deadlines, Decision, Rule, Urged, Urgency, decide, matches

ED = Rule("ed chest", {"Modality": ("CR", "DX"), "StationName": ("^ED",)}, Urgency.STAT)


@pytest.mark.parametrize(
    ("attributes", "holds"),
    [
        ({"Modality": "DX", "StationName": "ED2"}, True),
        ({"Modality": "DX", "StationName": "WARD-ED"}, False),
        ({"Modality": "DX"}, False),
        ({"Modality": "MR", "StationName": "ED2"}, False),
        ({}, False),
    ],
)
def test_a_rule_holds_where_all_its_conditions_hold(
    attributes: Mapping[str, str], holds: bool
) -> None:
    assert matches(ED, an_arrival(), attributes) is holds


@pytest.mark.parametrize(
    ("patterns", "text", "holds"),
    [
        (("~KNEE",), "CHEST PA", True),
        (("~KNEE",), "KNEE L", False),
        (("~KNEE",), "", True),
        (("CHEST", "~LATERAL"), "CHEST PA", True),
        (("CHEST", "~LATERAL"), "CHEST LATERAL", False),
        (("^SECONDARY$",), "DERIVED\\SECONDARY", True),
        (("~^SECONDARY$",), "DERIVED\\SECONDARY", False),
        ((r"DERIVED\\SECONDARY",), "DERIVED\\SECONDARY", True),
        ((), "anything", True),
    ],
)
def test_a_tilde_excludes_and_each_value_is_looked_at(
    patterns: tuple[str, ...], text: str, holds: bool
) -> None:
    rule = Rule("r", {"SeriesDescription": patterns})
    assert matches(rule, an_arrival(), {"SeriesDescription": text}) is holds


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({"called_ae": ("^LIGHTBOX_STAT$",)}, True),
        ({"calling_ae": ("^MOD",)}, True),
        ({"calling_ae": ("^OTHER",)}, False),
    ],
)
def test_ae_titles_are_conditions_too(when: Mapping[str, tuple[str, ...]], holds: bool) -> None:
    arrival = an_arrival(called="LIGHTBOX_STAT", calling="MODALITY")
    assert matches(Rule("r", when), arrival, {}) is holds


def test_a_wrong_regular_expression_names_its_key() -> None:
    with pytest.raises(ConfigurationError, match=r"rules\.odd\.when\.Modality: '~\(' is not"):
        Rule("odd", {"Modality": ("~(",)})


@pytest.mark.parametrize(
    ("called", "priority", "procedure", "decision"),
    [
        ("LIGHTBOX", 0, "", Decision(Urgency.ROUTINE, "default")),
        ("LIGHTBOX", 2, "", Decision(Urgency.ROUTINE, "default")),
        ("LIGHTBOX", 0, "LOW", Decision(Urgency.ROUTINE, "default")),
        ("LIGHTBOX", 1, "", Decision(Urgency.HIGH, "DIMSE priority HIGH")),
        ("LIGHTBOX", 0, " stat ", Decision(Urgency.STAT, "Requested Procedure Priority STAT")),
        ("LIGHTBOX", 0, "HIGH", Decision(Urgency.HIGH, "Requested Procedure Priority HIGH")),
        ("LIGHTBOX", 1, "STAT", Decision(Urgency.HIGH, "DIMSE priority HIGH")),
        ("LIGHTBOX_STAT", 1, "HIGH", Decision(Urgency.STAT, "called AE LIGHTBOX_STAT")),
        (
            "LIGHTBOX_AUDIT",
            1,
            "STAT",
            Decision(Urgency.ROUTINE, "called AE LIGHTBOX_AUDIT", audit=True),
        ),
    ],
)
def test_without_a_rule_the_first_source_that_knows_decides(
    called: str, priority: int, procedure: str, decision: Decision
) -> None:
    arrival = an_arrival(called=called, priority=priority)
    assert decide((), arrival, {"RequestedProcedurePriority": procedure}) == decision


def test_the_first_rule_that_matches_decides() -> None:
    rules = (
        Rule("never", {"Modality": ("US",)}, Urgency.HIGH),
        Rule("first", {"Modality": ("DX",)}, Urgency.HIGH),
        Rule("second", {}, Urgency.STAT),
    )
    decision = decide(rules, an_arrival(called="LIGHTBOX_STAT"), {"Modality": "DX"})
    assert decision == Decision(Urgency.HIGH, "rule first")


def test_a_rule_without_urgency_adds_its_models_and_audit_and_is_named() -> None:
    rules = (
        Rule("mri", {"Modality": ("MR",)}, models=("brain",), audit=True),
        Rule("other", {}, models=("chest",)),
    )
    decision = decide(rules, an_arrival(priority=1), {"Modality": "MR"})
    told = "DIMSE priority HIGH, with rule mri, with rule other"
    assert decision == Decision(Urgency.HIGH, told, ("brain",), audit=True)


def test_what_is_sent_to_the_audit_title_is_audited_whatever_rule_decides() -> None:
    rules = (Rule("all", {}, Urgency.HIGH),)
    decision = decide(rules, an_arrival(called="LIGHTBOX_AUDIT"), {})
    assert decision == Decision(Urgency.HIGH, "rule all, with called AE LIGHTBOX_AUDIT", audit=True)


@given(st.sampled_from(Urgency), st.sampled_from(Urgency))
def test_the_more_urgent_has_the_shorter_deadline(one: Urgency, other: Urgency) -> None:
    deadlines = Deadlines()
    assert (one.rank < other.rank) == (deadlines.of(one) < deadlines.of(other))


LEVELS = st.sampled_from((Urgency.STAT, Urgency.HIGH, Urgency.ROUTINE))
SECONDS = st.floats(min_value=0.0, max_value=1e6)


@given(LEVELS, LEVELS)
def test_a_person_gives_every_urgency_and_a_finding_only_higher_ones(
    given_to: Urgency, before: Urgency
) -> None:
    person = Urged(given_to, "anna", NOON, is_floor=False)
    finding = Urged(given_to, "critical", NOON, is_floor=True)
    assert person.changes(before) is (given_to is not before)
    assert finding.changes(before) is (given_to.rank < before.rank)


@given(LEVELS, LEVELS, SECONDS, SECONDS)
def test_a_raise_promises_what_can_still_be_kept_and_puts_nothing_off(
    given_to: Urgency, before: Urgency, age: float, left: float
) -> None:
    received_at, deadlines = NOON - age, Deadlines()
    old = NOON + left
    new = Urged(given_to, "anna", NOON, is_floor=False).deadline(
        old, received_at, before, deadlines
    )
    if given_to.rank < before.rank:
        assert new == min(old, NOON + deadlines.of(given_to))
    else:
        assert new >= old


def test_who_asked_for_an_audit_is_named_beside_the_rule_that_decided() -> None:
    rule = Rule("wards", {"calling_ae": ("MODALITY",)}, Urgency.HIGH)
    decision = decide((rule,), an_arrival(called="LIGHTBOX_AUDIT"), {})
    assert decision == Decision(
        Urgency.HIGH, "rule wards, with called AE LIGHTBOX_AUDIT", audit=True
    )
