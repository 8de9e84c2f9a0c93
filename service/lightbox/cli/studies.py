"""``lightbox studies``: what became of each study, or one study's whole timeline."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import click

from lightbox.cli.display import NOTHING, moment, show_json, show_table
from lightbox.cli.invocation import Invocation
from lightbox.domain.identity import is_uid
from lightbox.domain.quantities import as_percent
from lightbox.domain.study_account import Expectations, StudyAccount
from lightbox.ledger.read_model.answers import Search
from lightbox.ledger.read_model.read import ReadModel
from lightbox.ledger.report import study_json, timeline_json
from lightbox.ledger.timeline import LedgerReader

Line: TypeAlias = Mapping[str, Any]
"""A study, or a part of one, as ``--json`` prints it."""

_ALL = 10**9


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
    root, folder = Path(settings.data_dir), invocation.ledger_folder()
    expected = Expectations(tuple(given.name for given in settings.destinations))
    if uid is not None:
        with closing(LedgerReader(folder)) as reader:
            return _one(uid, reader, expected, root, as_json=as_json)
    with closing(ReadModel(folder, expected)) as model:
        found = model.search(Search(size=_ALL)).studies
    if as_json:
        show_json({"studies": list(found)})
    else:
        columns = ("Received", "Study", "Urgency", "Finding", "Confidence", "Turnaround", "Audit")
        show_table(columns, [_row(study) for study in found])
    return 0


def _one(
    uid: str, reader: LedgerReader, expected: Expectations, root: Path, *, as_json: bool
) -> int:
    rows = reader.timeline(uid) if is_uid(uid) else ()
    if not rows:
        click.echo(f"study {uid}: is not known here (see: lightbox studies)", err=True)
        return 1
    account = StudyAccount(uid, expected)
    for recorded in rows:
        account.apply(recorded)
    study = account.standing()
    if as_json:
        show_json(timeline_json(study, rows, root))
        return 0
    for name, value in _facts(study_json(study, root)):
        click.echo(f"{name:12} {value}")
    click.echo()
    began = rows[0].at
    events = [(moment(r.at), f"+{r.at - began:.3f}", r.chain, r.event.kind) for r in rows]
    show_table(("Time (UTC)", "Seconds", "Process", "Event"), events)
    return 0


def _facts(study: Line) -> list[tuple[str, str]]:
    audit = study["audit"]
    finding = study["finding"] or NOTHING
    return [
        ("study", study["study_instance_uid"]),
        ("received", moment(study["received_at"])),
        ("urgency", f"{study['urgency'] or NOTHING} ({study['rule'] or 'no job yet'})"),
        ("finding", f"{finding} {_confidence(study)} by {study['model'] or NOTHING}"),
        ("turnaround", _turnaround(study)),
        *(("because", reason) for reason in _reasons(study)),
        ("audit", f"{audit['state']} {_because(audit['reason'])}"),
        *(("result", f"{r['kind']} {r['path']} {_stored(r)}") for r in study["results"]),
    ]


def _reasons(study: Line) -> list[str]:
    """Say why instances were listed: each reason once, in words."""
    said = (f"{one['reason']}: {one['detail']}" for one in study["listed"] if one["detail"])
    return list(dict.fromkeys(said))


def _because(reason: str) -> str:
    return f"({reason})" if reason else ""


def _row(study: Line) -> tuple[object, ...]:
    return (
        moment(study["received_at"]),
        study["study_instance_uid"],
        study["urgency"],
        study["finding"],
        _confidence(study),
        _turnaround(study),
        study["audit"]["state"],
    )


def _confidence(study: Line) -> str:
    return NOTHING if study["confidence"] is None else as_percent(study["confidence"])


def _turnaround(study: Line) -> str:
    listed = study["listed"]
    if not study["model"] and len(listed) == study["instances"]:
        return f"not analysed: {', '.join(sorted({one['reason'] for one in listed}))}"
    if study["turnaround_s"] is None:
        if study["expected_s"] is not None:
            return f"open, {study['expected_s']:.0f} s expected of {study['deadline_s']:g} s"
        return "late" if study["met"] is False else "open"
    verdict = "in time" if study["met"] else "late"
    return f"{study['turnaround_s']:.2f} s of {study['deadline_s']:g} s, {verdict}"


def _stored(result: Line) -> str:
    return "stored" if result["stored"] else "not stored yet"
