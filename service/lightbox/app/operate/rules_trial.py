"""What an instance would meet: which rule, urgency, deadline, models and audits, and why.

Asked by ``lightbox rules test`` and by the console; nothing is sent, stored or analysed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightbox.app import build
from lightbox.app.instance_file import instance_of
from lightbox.domain.audit import AuditPolicy
from lightbox.domain.errors import UnreadableError
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.quantities import as_percent
from lightbox.domain.study import Arrival, Described
from lightbox.domain.urgency import Decision, decide
from lightbox.receive.header import describe
from lightbox.settings import Settings
from lightbox.studies.match import Match, match

PRIORITIES = {"medium": 0, "high": 1, "low": 2}  # PS3.7 9.3.1.1


def arrival_of(called: str, calling: str, priority: str) -> Arrival:
    """Return how an instance would come; ``priority`` is a key of :data:`PRIORITIES`."""
    return Arrival(0.0, calling, called, "127.0.0.1", "rules test", PRIORITIES[priority])


class RulesTrial:
    """The configuration's rules, ready to be asked.

    Parameters
    ----------
    packages : sequence of ModelPackage
        The models that are served.
    """

    def __init__(self, settings: Settings, packages: Sequence[ModelPackage]) -> None:
        self._rules = build.rules(settings)
        self._keywords = build.rule_keywords(settings)
        self._deadlines = build.deadlines(settings)
        self._policy = build.audit_policy(settings)
        self._nesting = settings.dicom.limits.nesting
        self._packages = tuple(packages)

    def answer(self, path: Path, arrival: Arrival) -> dict[str, object]:
        """Return what ``rules test --json`` writes of one file."""
        try:
            # first, because it refuses what is nested too deeply or grows when it is unpacked
            attributes = describe(path, self._keywords, self._nesting)
            instance = instance_of(path)
        except UnreadableError as error:
            return {"file": str(path.absolute()), "refused": str(error)}
        decision = decide(self._rules, arrival, attributes)
        wanted = [
            each for each in self._packages if not decision.models or each.name in decision.models
        ]
        matches = match(wanted, Described(instance, arrival, attributes))
        return {
            "file": str(path.absolute()),
            "refused": None,
            "sop_instance_uid": instance.sop_instance_uid,
            "urgency": decision.urgency,
            "rule": decision.rule,
            "deadline_s": self._deadlines.of(decision.urgency),
            "models": [_model(each) for each in matches],
            "audit": _audit(decision, matches, attributes.get("Modality", ""), self._policy),
        }


def _model(answer: Match) -> dict[str, object]:
    return {
        "name": answer.package.name,
        "runs": answer.refused is None,
        "reason": answer.reason or answer.caveat or None,
    }


def _audit(
    decision: Decision, matches: Sequence[Match], modality: str, policy: AuditPolicy
) -> list[str]:
    """Name what would ask for an audit; the prediction itself is not known yet."""
    running = [answer.package for answer in matches if answer.refused is None]
    if not running:
        return []
    if decision.audit:
        return [f"always: {decision.rule}"]
    if modality.strip().upper() in policy.modalities:
        return [f"always: modality {modality.strip().upper()}"]
    reasons = []
    for package in running:
        critical = [finding.name for finding in package.findings if finding.critical]
        if critical:
            reasons.append(f"{package.name} finds {' or '.join(critical)}")
        reasons.append(
            f"{package.name} is less than {as_percent(policy.threshold(package))} confident"
        )
    return [*reasons, f"random sample of {as_percent(policy.sample)}"]
