"""``lightbox studies``: what became of each study, or one study's whole timeline."""

from __future__ import annotations

from pathlib import Path

import click

from lightbox.cli.display import NOTHING, moment, show_json, show_table
from lightbox.cli.invocation import Invocation
from lightbox.domain.account import Account
from lightbox.domain.identity import is_uid
from lightbox.domain.quantities import as_percent
from lightbox.domain.result import Disposition
from lightbox.domain.standing import StudyStanding
from lightbox.ledger.report import study_json, timeline_json
from lightbox.ledger.timeline import LedgerReader


@click.command(epilog="Example: lightbox studies --json | jq '.studies[] | select(.met == false)'")
@click.argument("uid", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def studies(invocation: Invocation, uid: str | None, *, as_json: bool) -> int:
    """List the studies, newest first, or show one study's timeline by its Study Instance UID.

    Reads the files of the ledger, beside a running service or without one. Exit 1 if there is no
    such study.
    """
    settings = invocation.settings()
    reader = LedgerReader(invocation.ledger_folder())
    account = Account(given.name for given in settings.destinations)
    root = Path(settings.data_dir)
    if uid is not None:
        return _one(uid, reader, account, root, as_json=as_json)
    for recorded in reader.stream():
        account.apply(recorded)
    found = sorted(account.studies(), key=_received_at, reverse=True)
    if as_json:
        show_json({"studies": [study_json(study, root) for study in found]})
    else:
        columns = ("Received", "Study", "Urgency", "Finding", "Confidence", "Turnaround", "Audit")
        show_table(columns, [_row(study) for study in found])
    return 0


def _one(uid: str, reader: LedgerReader, account: Account, root: Path, *, as_json: bool) -> int:
    rows = reader.timeline(uid) if is_uid(uid) else ()
    if not rows:
        click.echo(f"study {uid}: is not known here (see: lightbox studies)", err=True)
        return 1
    for recorded in rows:
        account.apply(recorded)
    study = account.study(uid)
    if as_json:
        show_json(timeline_json(study, rows, root))
        return 0
    for name, value in _facts(study):
        click.echo(f"{name:12} {value}")
    click.echo()
    began = rows[0].at
    events = [(moment(r.at), f"+{r.at - began:.3f}", r.chain, r.event.kind) for r in rows]
    show_table(("Time (UTC)", "Seconds", "Process", "Event"), events)
    return 0


def _facts(study: StudyStanding) -> list[tuple[str, str]]:
    audit = study.audit
    return [
        ("study", study.study_instance_uid),
        ("received", moment(study.received_at)),
        ("urgency", f"{study.urgency or NOTHING} ({study.rule or 'no job yet'})"),
        ("finding", f"{study.finding or NOTHING} {_confidence(study)} by {study.model or NOTHING}"),
        ("turnaround", _turnaround(study)),
        ("audit", f"{audit.state} {f'({audit.reason})' if audit.reason else ''}"),
        *(("result", f"{r.result.kind} {r.path} {_stored(r.is_stored)}") for r in study.results),
    ]


def _row(study: StudyStanding) -> tuple[object, ...]:
    return (
        moment(study.received_at),
        study.study_instance_uid,
        study.urgency,
        study.finding,
        _confidence(study),
        _turnaround(study),
        study.audit.state,
    )


def _confidence(study: StudyStanding) -> str:
    return NOTHING if study.confidence is None else as_percent(study.confidence)


def _turnaround(study: StudyStanding) -> str:
    verdicts = [standing.verdict for standing in study.instances]
    if not study.model and all(v.disposition is Disposition.LISTED for v in verdicts):
        return f"not analysed: {', '.join(sorted({v.reason for v in verdicts}))}"
    if study.turnaround is None:
        return "late" if study.is_met is False else "open"
    verdict = "in time" if study.is_met else "late"
    return f"{study.turnaround:.2f} s of {study.allowed:g} s, {verdict}"


def _stored(is_stored: bool) -> str:
    return "stored" if is_stored else "not stored yet"


def _received_at(study: StudyStanding) -> float:
    return study.received_at
