"""What the read model keeps of a study: a function of the study's account, and of nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lightbox.domain.keeping import Keeping, keeping_of, needs_person
from lightbox.domain.result import Disposition, Result
from lightbox.domain.standing import DeliveryState, StudyStanding
from lightbox.domain.study_account import StudyAccount
from lightbox.ledger.report import Json, instance_json, study_json

HERE = Path()
"""Paths are kept relative to the data directory and made absolute when they are read."""

Values = Mapping[str, object]
"""One row of a table, by column."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """What counts as live although nothing of it is open; both in seconds since 1970.

    Attributes
    ----------
    arrived_since : float
        A study with an instance since then may get more of them.
    asked_since : float
        What a destination stored since then may still be asked for its promise.
    """

    arrived_since: float = 0.0
    asked_since: float = 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """The rows of one study, table by table.

    Attributes
    ----------
    is_live : bool
        Whether something of it is open, it came lately, or a person has a dead letter to see to.
    """

    study: str
    is_live: bool = False
    studies: tuple[Values, ...] = ()
    lines: tuple[Values, ...] = ()
    results: tuple[Values, ...] = ()
    dead_letters: tuple[Values, ...] = ()
    jobs: tuple[Values, ...] = ()


def entry_of(account: StudyAccount, horizon: Horizon) -> Entry:
    """Return what is kept of a study; nothing where none of it was accepted and nothing is open.

    Parameters
    ----------
    account : StudyAccount
        All rows of the study, folded.
    horizon : Horizon
        What counts as live.
    """
    standing = account.standing()
    dead = tuple(_dead_letters(standing)) if standing.instances else ()  # as in all other counts
    is_live = (
        bool(dead)
        or account.newest_arrival >= horizon.arrived_since
        or account.is_open(horizon.asked_since)
    )
    if not standing.instances and not is_live:
        return Entry(account.study)
    return Entry(
        study=account.study,
        is_live=is_live,
        studies=(
            _study(
                standing,
                keeping_of(account, standing),
                dead_letters=len(dead),
                is_live=is_live,
            ),
        ),
        lines=(_line(standing),) if standing.instances else (),
        results=tuple(_result(account.study, each.result) for each in standing.results),
        dead_letters=dead,
        jobs=tuple(_open_jobs(standing)),
    )


def counts_of(row: Values) -> dict[str, int]:
    """Return what a row of the table of studies adds to the totals."""
    delivered, listed, open_ones = (int(str(row[name])) for name in _DISPOSITIONS)
    if not delivered + listed + open_ones:
        return {}
    return {
        "studies": 1,
        **{name: int(str(row[name])) for name in _DISPOSITIONS},
        f"state {row['state']}": 1,
        "missed": int(row["met"] is not None and not row["met"]),
        "dead_letters": int(str(row["dead_letters"])),
    }


_DISPOSITIONS = tuple(sorted(Disposition))


def _study(
    standing: StudyStanding, keeping: Keeping | None, *, dead_letters: int, is_live: bool
) -> Values:
    verdicts = [instance.verdict for instance in standing.instances]
    return {
        "study": standing.study_instance_uid,
        "received_at": standing.received_at,
        "deadline": standing.deadline,
        "urgency": standing.urgency,
        "state": standing.state,
        "audit": standing.audit.state,
        "met": standing.is_met,
        **{name: sum(v.disposition == name for v in verdicts) for name in _DISPOSITIONS},
        "dead_letters": dead_letters,
        "needs_person": needs_person(standing),
        "is_live": is_live,
        "settled_at": keeping.settled_at if keeping else None,
        "is_failure": keeping is not None and keeping.is_failure,
        "words": _words(standing),
    }


def _words(standing: StudyStanding) -> str:
    """Return what a search looks at, in small letters."""
    callers = {instance.arrival.calling_ae for instance in standing.instances}
    reasons = {instance.verdict.reason for instance in standing.instances} - {""}
    words = (standing.finding, standing.model, standing.urgency, standing.modality)
    found = (standing.study_instance_uid, *words, *sorted(callers), *sorted(reasons))
    return " ".join(filter(None, found)).lower()


def _line(standing: StudyStanding) -> Values:
    instances = [instance_json(instance, HERE) for instance in standing.instances]
    return {
        "study": standing.study_instance_uid,
        "line": _text(study_json(standing, HERE)),
        "instances": _text(instances),
    }


def _result(study: str, result: Result) -> Values:
    uid = result.sop_instance_uid
    return {"sop_instance_uid": uid, "study": study, "preview": result.shown_in}


def _dead_letters(standing: StudyStanding) -> Iterator[Values]:
    for job in standing.jobs:
        for each in job.deliveries:
            if each.state is DeliveryState.DEAD_LETTER or each.given_up:
                body: dict[str, Json] = {
                    "kind": each.result.kind,
                    "model": job.job.model,
                    "reason": each.given_up or each.reason,
                    "attempt": each.attempt,
                    "stored": each.state is DeliveryState.DELIVERED,  # but never promised
                }
                yield {
                    "sop_instance_uid": each.result.sop_instance_uid,
                    "destination": each.destination,
                    "study": standing.study_instance_uid,
                    "at": each.given_up_at or each.at,
                    "body": _text(body),
                }


def _open_jobs(standing: StudyStanding) -> Iterator[Values]:
    for each in standing.jobs:
        if each.state.is_end:
            continue
        job = each.job
        body: dict[str, Json] = {
            "path": job.path,
            "model": job.model,
            "urgency": job.urgency,
            "rule": job.rule,
            "state": each.state,
            "owner": each.state.owner,
            "received_at": job.received_at,
            "placed_at": job.placed_at,
            "attempt": job.attempt,
        }
        yield {
            "job_id": job.job_id,
            "study": standing.study_instance_uid,
            "rank": job.urgency.rank,
            "deadline": job.deadline,
            "body": _text(body),
        }


def _text(value: Json | list[dict[str, Json]]) -> str:
    return json.dumps(value, separators=(",", ":"))
