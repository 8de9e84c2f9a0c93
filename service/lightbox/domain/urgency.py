"""How urgent a study is, and which rule says so. First match decides; the ledger records which."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

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
    which must be found; one with a leading ``~`` must not be found.
    """

    name: str
    when: Mapping[str, tuple[str, ...]]
    urgency: Urgency | None = None
    models: tuple[str, ...] = ()
    audit: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """An urgency, the rule that gave it, and what else that rule asks for."""

    urgency: Urgency
    rule: str
    models: tuple[str, ...] = ()
    audit: bool = False
    fast: bool = field(default=True)


def matches(rule: Rule, arrival: Arrival, attributes: Attributes) -> bool:
    """Say whether every condition of the rule holds. A missing attribute counts as empty text."""
    for key, patterns in rule.when.items():
        if key == "called_ae":
            text = arrival.called_ae
        elif key == "calling_ae":
            text = arrival.calling_ae
        else:
            text = attributes.get(key, "")
        refused = [p[1:] for p in patterns if p.startswith("~")]
        wanted = [p for p in patterns if not p.startswith("~")]
        if any(re.search(p, text) for p in refused):
            return False
        if wanted and not any(re.search(p, text) for p in wanted):
            return False
    return True


_PROCEDURE_PRIORITY = {"STAT": Urgency.STAT, "HIGH": Urgency.HIGH}
_DIMSE_HIGH = 1


def decide(rules: Sequence[Rule], arrival: Arrival, attributes: Attributes) -> Decision:
    """Decide the urgency of an arrival: site rules, AE titles, DIMSE, procedure, default.

    DIMSE priorities MEDIUM and LOW decide nothing: senders set them blindly. A rule without an
    urgency adds its models and audit and lets the next source decide the urgency.
    """
    models: tuple[str, ...] = ()
    audit = False
    for rule in rules:
        if not matches(rule, arrival, attributes):
            continue
        models, audit = models or rule.models, audit or rule.audit
        if rule.urgency is not None:
            return Decision(rule.urgency, f"rule {rule.name}", models, audit)
    called = arrival.called_ae
    if called.endswith("_STAT"):
        return Decision(Urgency.STAT, f"called AE {called}", models, audit)
    if called.endswith("_AUDIT"):
        return Decision(Urgency.ROUTINE, f"called AE {called}", models, audit=True)
    if arrival.priority == _DIMSE_HIGH:
        return Decision(Urgency.HIGH, "DIMSE priority HIGH", models, audit)
    procedure = attributes.get("RequestedProcedurePriority", "").strip().upper()
    if procedure in _PROCEDURE_PRIORITY:
        urgency = _PROCEDURE_PRIORITY[procedure]
        return Decision(urgency, f"Requested Procedure Priority {procedure}", models, audit)
    return Decision(Urgency.ROUTINE, "default", models, audit)
