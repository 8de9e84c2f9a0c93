"""The JSON that commands write: every key of the contract, with real values."""

from __future__ import annotations

import json
from pathlib import Path

from builders import (
    NOON,
    a_job,
    a_predicted,
    a_result,
    a_stored,
    a_written,
    an_attribution_record,
    an_instance,
)
from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.domain.account import Account
from lightbox.domain.events import Attributed, Delivered, InstanceListed, JobPlaced
from lightbox.domain.result import ListedReason
from lightbox.domain.urgency import Urgency
from lightbox.ledger.report import instances_json, study_json, timeline_json

ROOT = Path("/data")
INSTANCE = an_instance()
REFUSED = an_instance("2")
JOB = a_job(INSTANCE, urgency=Urgency.STAT, rule="called AE LIGHTBOX_STAT")
RESULT = a_result(JOB)


def told() -> tuple[FakeLedger, Account]:
    ledger, account = FakeLedger(FakeClock(NOON + 1)), Account(("pacs",))
    study, name = JOB.study_instance_uid, JOB.job_id
    rows = ledger.record(
        a_stored(INSTANCE),
        a_stored(REFUSED),
        InstanceListed(
            study,
            REFUSED.sop_instance_uid,
            REFUSED.sha256,
            ListedReason.NO_MODEL,
            "no model takes it",
        ),
        JobPlaced(JOB),
        a_predicted(JOB),
        Attributed(study, name, an_attribution_record()),
        a_written(JOB),
        Delivered(study, name, RESULT.sop_instance_uid, "pacs", 1),
    )
    for row in rows:
        account.apply(row)
    return ledger, account


def test_the_list_of_instances() -> None:
    _, account = told()
    found = instances_json(account.instances(), ROOT)
    assert found == {
        "instances": [
            {
                "sop_instance_uid": INSTANCE.sop_instance_uid,
                "study_instance_uid": INSTANCE.study_instance_uid,
                "sha256": INSTANCE.sha256,
                "received_at": NOON,
                "calling_ae": "MODALITY",
                "disposition": "delivered",
                "reason": None,
                "detail": None,
                "owner": None,
                "deadline": None,
                "path": f"/data/{INSTANCE.path}",
                "results": [RESULT.sop_instance_uid],
            },
            {
                "sop_instance_uid": REFUSED.sop_instance_uid,
                "study_instance_uid": REFUSED.study_instance_uid,
                "sha256": REFUSED.sha256,
                "received_at": NOON,
                "calling_ae": "MODALITY",
                "disposition": "listed",
                "reason": "no_model",
                "detail": "no model takes it",
                "owner": None,
                "deadline": None,
                "path": f"/data/{REFUSED.path}",
                "results": [],
            },
        ]
    }


def test_a_study_in_one_line() -> None:
    _, account = told()
    found = study_json(account.study(JOB.study_instance_uid), ROOT)
    assert found["urgency"] == "STAT"
    assert found["rule"] == "called AE LIGHTBOX_STAT"
    assert (found["finding"], found["confidence"]) == ("pneumonia", 0.93)
    assert (found["deadline_s"], found["turnaround_s"], found["met"]) == (2.0, 1.0, True)
    assert found["audit"] == {
        "state": "none",
        "reason": "",
        "evaluations": 0,
        "exact": False,
        "turnaround_s": None,
        "agreement": None,
    }
    assert found["results"] == [
        {
            "kind": "sc",
            "path": "fast",
            "sop_class_uid": RESULT.sop_class_uid,
            "sop_instance_uid": RESULT.sop_instance_uid,
            "file": f"/data/{RESULT.path}",
            "preview": f"/api/results/{RESULT.sop_instance_uid}/preview.png",
            "stored": True,
            "committed": None,
            "destinations": {"pacs": "delivered"},
        }
    ]


def test_a_timeline_tells_time_step_and_values_of_each_event() -> None:
    ledger, account = told()
    study = JOB.study_instance_uid
    found = timeline_json(account.study(study), ledger.timeline(study), ROOT)
    events = json.loads(json.dumps(found))["events"]
    assert [event["step"] for event in events] == [
        "receive",
        "receive",
        "studies",
        "schedule",
        "infer",
        "explain",
        "results",
        "deliver",
    ]
    assert events[4]["at"] == NOON + 1
    assert events[4]["values"]["prediction"]["finding"] == "pneumonia"
    assert "kind" not in events[4]["values"]
