"""What the demo shows: a table for a person, JSON for a program, a PNG of every result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lightbox.domain.quantities import as_percent
from lightbox.domain.standing import AuditState, StudyStanding
from lightbox.ledger.report import study_json
from lightbox.tools.demo.run import Demo, Shown
from lightbox.tools.previews import source_picture, write_previews
from lightbox.version import __version__

_PENDING = frozenset({AuditState.WAITING, AuditState.RUNNING})


def previews(demo: Demo, root: Path, out: Path) -> Mapping[str, Path]:
    """Write a PNG of every result of the demo; return SOP Instance UID → file."""
    out.mkdir(parents=True, exist_ok=True)
    made: dict[str, Path] = {}
    for shown in demo.studies:
        jobs = shown.standing.jobs
        keys = {
            j.job.instances: (j.prediction.key_frame.sop_instance_uid, j.prediction.key_frame.frame)
            for j in jobs
            if j.prediction
        }
        series = sorted({j.job.series_instance_uid for j in jobs})
        for standing in jobs:
            job = standing.job
            key = keys.get(job.instances)
            source = next((i for i in job.instances if key and i.sop_instance_uid == key[0]), None)
            picture = None
            if key is not None and source is not None:
                picture = source_picture((root / source.path).read_bytes(), key[1])
            number = series.index(job.series_instance_uid) + 1
            stem = f"{shown.name}_{job.path}" + (f"_series{number}" if len(series) > 1 else "")
            made |= write_previews(root, standing.results, picture, out, stem)
    return made


def as_json(demo: Demo, root: Path, made: Mapping[str, Path]) -> str:
    """Return the demo as ``demo --json`` writes it."""
    proof = demo.proof
    content = {
        "ok": demo.ok,
        "version": __version__,
        "problems": list(demo.problems),
        "archive": demo.archive,
        "start_seconds": round(demo.start_seconds, 3),
        "stat_p95_s": demo.stat_p95(),
        "studies": [_study(shown, root, made) for shown in demo.studies],
        "ledger": {
            "accepted": proof.accepted,
            "delivered": proof.delivered,
            "listed": proof.listed,
            "in_progress": proof.in_progress,
            "unaccounted": proof.unaccounted,
        },
    }
    return json.dumps(content, indent=2) + "\n"


def _study(shown: Shown, root: Path, made: Mapping[str, Path]) -> dict[str, Any]:
    """Return a study as everywhere else, with its name and what the archive really holds."""
    study: dict[str, Any] = {"name": shown.name, **study_json(shown.standing, root)}
    for result in study["results"]:
        uid = result["sop_instance_uid"]
        result["preview"] = str(made[uid]) if uid in made else None
        result["stored"] = uid in shown.stored
    return study


def show(demo: Demo, console: Console) -> None:
    """Print the table and the sentence below it."""
    table = Table(title="What came back", title_justify="left")
    for name in ("study", "urgency", "finding", "sure", "stored after", "audit"):
        right = name in {"sure", "stored after"}
        table.add_column(name, justify="right" if right else "left", no_wrap=name != "audit")
    for shown in demo.studies:
        at = shown.standing
        table.add_row(
            shown.name,
            at.urgency,
            at.finding.replace("_", " ") or "-",
            "-" if at.confidence is None else as_percent(at.confidence),
            "-" if at.turnaround is None else f"{at.turnaround:.2f} of {at.allowed:.0f} s",
            _audit(at),
        )
    console.print(table)
    if (p95 := demo.stat_p95()) is not None:
        console.print(
            f"emergencies: p95 {p95:.2f} s from the last byte received to stored in the archive, "
            f"audits running ({len(demo.stat_turnarounds())} studies)"
        )
    proof = demo.proof
    console.print(
        f"ledger: {proof.accepted} accepted = {proof.delivered} delivered + {proof.listed} listed "
        f"+ {proof.in_progress} in progress; {'proven' if proof.ok else 'NOT PROVEN'}"
    )
    waiting = sum(at.audit.state in _PENDING for at in (shown.standing for shown in demo.studies))
    if waiting:
        console.print(
            f"{waiting} audits were still waiting or running; they would follow by themselves"
        )
    for problem in demo.problems:
        console.print(f"problem: {problem}", style="bold red")


def _audit(at: StudyStanding) -> str:
    audit = at.audit
    if audit.state is not AuditState.DONE:
        return f"{audit.state} ({audit.reason})" if audit.reason else str(audit.state)
    agreement = "" if audit.agreement is None else f", agreement {audit.agreement:.2f}"
    how = "exact" if audit.exact else "estimated"
    return f"done: {audit.evaluations} evaluations, {how}{agreement}"
