"""``lightbox rules``: which rule, urgency, models and audit an instance would meet, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from lightbox.app import build
from lightbox.cli.display import show_json, show_table
from lightbox.cli.invocation import Invocation
from lightbox.domain.audit import AuditPolicy
from lightbox.domain.errors import UnreadableError
from lightbox.domain.quantities import as_percent
from lightbox.domain.study import Arrival, Described
from lightbox.domain.urgency import Deadlines, Decision, Rule, decide
from lightbox.infer.packages import LoadedPackage, find
from lightbox.receive.header import describe
from lightbox.settings import Settings
from lightbox.studies.match import Match, match
from lightbox.tools.instance_file import instance_of

_PRIORITIES = {"medium": 0, "high": 1, "low": 2}  # PS3.7 9.3.1.1


@dataclass(frozen=True, slots=True)
class _Site:
    """What the configuration says about arrivals."""

    settings: Settings
    rules: tuple[Rule, ...]
    keywords: frozenset[str]
    deadlines: Deadlines
    policy: AuditPolicy
    packages: tuple[LoadedPackage, ...]


@click.group(epilog="Example: lightbox rules test image.dcm --called LIGHTBOX_STAT")
def rules() -> None:
    """Try the rules of the configuration on files."""


@rules.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@click.option("--called", default="LIGHTBOX", show_default=True, help="Called AE title.")
@click.option("--calling", default="MODALITY", show_default=True, help="Calling AE title.")
@click.option(
    "--priority",
    type=click.Choice(list(_PRIORITIES)),
    default="medium",
    show_default=True,
    help="DIMSE priority.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def test(
    invocation: Invocation,
    files: tuple[Path, ...],
    called: str,
    calling: str,
    priority: str,
    *,
    as_json: bool,
) -> int:
    """Say which rule, urgency, deadline, models and audit policy each FILE would meet, and why.

    Nothing is sent or stored. Exit 1 if a file cannot be read.
    """
    site = _site(invocation.settings())
    arrival = Arrival(0.0, calling, called, "127.0.0.1", "rules test", _PRIORITIES[priority])
    answers = [_answer(path, arrival, site) for path in files]
    if as_json:
        show_json(answers)
    else:
        columns = ("File", "Urgency", "Because", "Deadline", "Models", "Audit")
        show_table(columns, [_row(answer) for answer in answers])
    return 1 if any(answer["refused"] for answer in answers) else 0


def _site(settings: Settings) -> _Site:
    return _Site(
        settings,
        build.rules(settings),
        build.rule_keywords(settings),
        build.deadlines(settings),
        build.audit_policy(settings),
        find(Path(settings.models.path), settings.models.enabled).packages,
    )


def _answer(path: Path, arrival: Arrival, site: _Site) -> dict[str, object]:
    try:
        instance = instance_of(path)
        attributes = describe(path, site.keywords, site.settings.dicom.limits.nesting)
    except UnreadableError as error:
        return {"file": str(path.resolve()), "refused": str(error)}
    decision = decide(site.rules, arrival, attributes)
    wanted = [
        each.package
        for each in site.packages
        if not decision.models or each.package.name in decision.models
    ]
    matches = match(wanted, Described(instance, arrival, attributes))
    return {
        "file": str(path.resolve()),
        "refused": None,
        "sop_instance_uid": instance.sop_instance_uid,
        "urgency": decision.urgency,
        "rule": decision.rule,
        "deadline_s": site.deadlines.of(decision.urgency),
        "models": [_model(each) for each in matches],
        "audit": _audit(decision, matches, attributes.get("Modality", ""), site.policy),
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


def _row(answer: dict[str, object]) -> tuple[object, ...]:
    name = Path(str(answer["file"])).name
    if answer["refused"]:
        return (name, "", answer["refused"], "", "", "")
    models, audit = answer["models"], answer["audit"]
    assert isinstance(models, list)
    assert isinstance(audit, list)
    told = [
        each["name"] if each["runs"] else f"not {each['name']}: {each['reason']}" for each in models
    ]
    return (
        name,
        answer["urgency"],
        answer["rule"],
        f"{answer['deadline_s']:g} s",
        "; ".join(told) or "none is served",
        " or ".join(audit) or "no",
    )
