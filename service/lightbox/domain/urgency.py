"""How urgent a study is, and which rule says so. First match decides; the ledger records which."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lightbox.domain.errors import ConfigurationError
from lightbox.domain.study import Arrival, Attributes


class Urgency(StrEnum):
    """Four classes, most urgent first. Deadlines count from the last byte received."""

    STAT = "STAT"
    HIGH = "HIGH"
    ROUTINE = "ROUTINE"
    AUDIT = "AUDIT"

    @property
    def rank(self) -> int:
        """0 is the most urgent."""
        return tuple(Urgency).index(self)


AT_ONCE = frozenset({Urgency.STAT, Urgency.HIGH})
"""Urgencies that wait for no hours."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds from the last byte received to stored in the PACS."""

    stat: float = 2.0
    high: float = 10.0
    routine: float = 300.0
    audit: float = 86400.0

    def of(self, urgency: Urgency) -> float:
        """Return the seconds that ``urgency`` allows."""
        return {
            Urgency.STAT: self.stat,
            Urgency.HIGH: self.high,
            Urgency.ROUTINE: self.routine,
            Urgency.AUDIT: self.audit,
        }[urgency]


@dataclass(frozen=True, slots=True)
class Rule:
    """A site's rule: where every condition of ``when`` holds, the urgency is this.

    ``when`` maps a DICOM keyword, ``called_ae`` or ``calling_ae`` to regular expressions, any of
    which must be found; one with a leading ``~`` must not be found. Of an attribute with several
    values each is looked at.

    Raises
    ------
    ConfigurationError
        If one of them is not a regular expression.
    """

    name: str
    when: Mapping[str, tuple[str, ...]]
    urgency: Urgency | None = None
    models: tuple[str, ...] = ()
    audit: bool = False

    def __post_init__(self) -> None:
        for key, patterns in self.when.items():
            for pattern in patterns:
                try:
                    re.compile(pattern.removeprefix("~"))
                except re.error as error:
                    raise ConfigurationError(
                        f"rules.{self.name}.when.{key}",
                        f"{pattern!r} is not a regular expression: {error}",
                        "escape special characters with a backslash",
                    ) from None


@dataclass(frozen=True, slots=True)
class Decision:
    """An urgency, the rule that gave it, and what else that rule asks for."""

    urgency: Urgency
    rule: str
    models: tuple[str, ...] = ()
    audit: bool = False
    fast: bool = field(default=True)


@dataclass(frozen=True, slots=True)
class Urged:
    """An urgency that a whole study was given after it arrived, by a person or by a finding.

    Attributes
    ----------
    at : float
        When, seconds since 1970: the new deadline counts from here, which is a promise that can
        still be kept.
    is_floor : bool
        True: nothing is made less urgent than its own rule says.
    """

    urgency: Urgency
    rule: str
    at: float
    is_floor: bool

    def changes(self, urgency: Urgency) -> bool:
        """Say whether something of this urgency gets another one."""
        return self.urgency.rank < urgency.rank if self.is_floor else self.urgency is not urgency

    def deadline(
        self, before: float, received_at: float, urgency: Urgency, given: Deadlines
    ) -> float:
        """Return the deadline in place of ``before``: a raise never puts it off.

        Parameters
        ----------
        before : float
            Deadline so far, seconds since 1970.
        received_at : float
            When the last byte was read.
        urgency : Urgency
            The one so far.
        given : Deadlines
            Seconds that each urgency allows.
        """
        allowed = given.of(self.urgency)
        if self.urgency.rank < urgency.rank:
            return min(before, self.at + allowed)
        return max(before, received_at + allowed)


def matches(rule: Rule, arrival: Arrival, attributes: Attributes) -> bool:
    """Say whether every condition of the rule holds. A missing attribute counts as empty text."""
    for key, patterns in rule.when.items():
        if key == "called_ae":
            text = arrival.called_ae
        elif key == "calling_ae":
            text = arrival.calling_ae
        else:
            text = attributes.get(key, "")
        texts = [text, *text.split("\\")] if "\\" in text else [text]
        refused = [p[1:] for p in patterns if p.startswith("~")]
        wanted = [p for p in patterns if not p.startswith("~")]
        if _found(refused, texts) or (wanted and not _found(wanted, texts)):
            return False
    return True


def _found(patterns: Sequence[str], texts: Sequence[str]) -> bool:
    return any(re.search(pattern, text) for pattern in patterns for text in texts)


_PROCEDURE_PRIORITY = {"STAT": Urgency.STAT, "HIGH": Urgency.HIGH}
_DIMSE_HIGH = 1


def decide(rules: Sequence[Rule], arrival: Arrival, attributes: Attributes) -> Decision:
    """Decide the urgency of an arrival: site rules, AE titles, DIMSE, procedure, default.

    DIMSE priorities MEDIUM and LOW decide nothing: senders set them blindly. A rule without an
    urgency adds its models and audit and lets the next source decide the urgency.
    """
    models: tuple[str, ...] = ()
    # An AE title for audits asks for one, whatever rule decides the urgency.
    audit = arrival.called_ae.endswith("_AUDIT")
    helpers: list[str] = []
    for rule in rules:
        if not matches(rule, arrival, attributes):
            continue
        models, audit = models or rule.models, audit or rule.audit
        if rule.urgency is not None:
            told = _told(f"rule {rule.name}", helpers)
            if arrival.called_ae.endswith("_AUDIT"):  # who asked for the audit is its reason
                told = f"{told}, with called AE {arrival.called_ae}"
            return Decision(rule.urgency, told, models, audit)
        helpers.append(rule.name)
    urgency, source = _without_rule(arrival, attributes)
    return Decision(urgency, _told(source, helpers), models, audit)


def _told(source: str, helpers: Sequence[str]) -> str:
    """Name what decided, and the rules that added models or an audit to it."""
    return ", ".join([source, *(f"with rule {name}" for name in helpers)])


def _without_rule(arrival: Arrival, attributes: Attributes) -> tuple[Urgency, str]:
    called = arrival.called_ae
    if called.endswith("_STAT"):
        return Urgency.STAT, f"called AE {called}"
    if called.endswith("_AUDIT"):
        return Urgency.ROUTINE, f"called AE {called}"
    if arrival.priority == _DIMSE_HIGH:
        return Urgency.HIGH, "DIMSE priority HIGH"
    procedure = attributes.get("RequestedProcedurePriority", "").strip().upper()
    if procedure in _PROCEDURE_PRIORITY:
        return _PROCEDURE_PRIORITY[procedure], f"Requested Procedure Priority {procedure}"
    return Urgency.ROUTINE, "default"
