"""The account and the timeline as plain values for ``--json``; keys are the public contract."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from lightbox.domain.events import Recorded, to_json
from lightbox.domain.result import Disposition
from lightbox.domain.standing import InstanceStanding, ResultStanding, StudyStanding
from lightbox.ledger.prove import Proof

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | int | bool | None"

_STEPS = {
    "instance_stored": "receive",
    "instance_torn": "receive",
    "files_removed": "retention",
    "association_released": "receive",
    "instance_listed": "studies",
    "study_ready": "studies",
    "job_placed": "schedule",
    "job_started": "schedule",
    "job_failed": "schedule",
    "job_retried": "operator",
    "job_moved": "schedule",
    "study_urged": "schedule",
    "miss_expected": "schedule",
    "predicted": "infer",
    "attributed": "explain",
    "results_written": "results",
    "delivered": "deliver",
    "delivery_delayed": "deliver",
    "dead_lettered": "deliver",
    "delivery_revived": "operator",
    "not_taken": "deliver",
    "commitment_asked": "deliver",
    "commitment_reported": "deliver",
    "committed": "deliver",
    "commitment_failed": "deliver",
    "commitment_requested": "receive",
    "commitment_answered": "deliver",
    "service_marked": "app",
    "chain_rebuilt": "operator",
    "operator_acted": "operator",
    "configuration_taken": "operator",
}


def instances_json(instances: Iterable[InstanceStanding], root: Path) -> dict[str, Json]:
    """Return what ``ledger list --json`` writes; paths are absolute, under ``root``."""
    return {"instances": [instance_json(standing, root) for standing in instances]}


def proof_json(proof: Proof) -> dict[str, Json]:
    """Return what ``ledger prove --json`` writes."""
    values = asdict(proof)
    lists = {"problems": list(proof.problems), "breaks": list(proof.breaks)}
    return {**values, "chains": dict(proof.chains), **lists}


def study_json(study: StudyStanding, root: Path) -> dict[str, Json]:
    """Return a study in one line, as in ``studies --json`` and ``demo --json``."""
    audit = study.audit
    return {
        "study_instance_uid": study.study_instance_uid,
        "received_at": study.received_at,
        "instances": len(study.instances),
        "modality": study.modality,
        "urgency": study.urgency,
        "rule": study.rule,
        "model": study.model,
        "finding": study.finding,
        "confidence": study.confidence,
        "deadline_s": study.allowed,
        "turnaround_s": study.turnaround,
        "met": study.is_met,
        "expected_s": study.expected,  # null unless it is open and a missed deadline is foreseen
        "audit": {
            "state": audit.state,
            "reason": audit.reason,
            "evaluations": audit.evaluations,
            "exact": audit.exact,
            "turnaround_s": audit.turnaround,
            "agreement": audit.agreement,
        },
        "results": [_result(result, root) for result in study.results],
        "listed": [
            {"reason": one.verdict.reason, "detail": one.verdict.detail}
            for one in study.instances
            if one.verdict.disposition is Disposition.LISTED
        ],
    }


def timeline_json(study: StudyStanding, rows: Iterable[Recorded], root: Path) -> dict[str, Json]:
    """Return what ``studies UID --json`` writes: the study and each event, by time."""
    return {**study_json(study, root), "events": [_event(row) for row in rows]}


def instance_json(standing: InstanceStanding, root: Path) -> dict[str, Json]:
    """Return one instance and what became of it; ``root`` begins its path."""
    verdict = standing.verdict
    return {
        "sop_instance_uid": standing.instance.sop_instance_uid,
        "study_instance_uid": standing.instance.study_instance_uid,
        "sha256": standing.instance.sha256,
        "received_at": standing.arrival.received_at,
        "calling_ae": standing.arrival.calling_ae,
        "disposition": verdict.disposition,
        "reason": verdict.reason or None,
        "detail": verdict.detail or None,
        "owner": verdict.owner or None,
        "deadline": verdict.deadline or None,
        "path": str(root / standing.instance.path),
        "results": [result.sop_instance_uid for result in standing.results],
    }


_PREVIEW = "/api/results/{}/preview.png"
"""Where the console shows a picture."""


def _result(standing: ResultStanding, root: Path) -> Json:
    result = standing.result
    return {
        "kind": result.kind,
        "path": standing.path,
        "sop_class_uid": result.sop_class_uid,
        "sop_instance_uid": result.sop_instance_uid,
        "file": str(root / result.path),
        "preview": _PREVIEW.format(result.sop_instance_uid) if result.shown_in else None,
        "stored": standing.is_stored,
        "committed": standing.is_committed,  # null: nobody was asked to commit, so unknown
        "destinations": {delivery.destination: delivery.state for delivery in standing.deliveries},
    }


def _event(row: Recorded) -> Json:
    values = json.loads(to_json(row.event))
    kind = values.pop("kind")
    return {
        "at": row.at,
        "step": _STEPS[kind],
        "kind": kind,
        "chain": row.chain,
        "sequence": row.sequence,
        "values": values,
    }
