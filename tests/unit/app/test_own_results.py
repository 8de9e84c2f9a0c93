"""A result that comes back is known by its UID, whatever was taken out of it on the way."""

from __future__ import annotations

from typing import Any, cast

import pytest

from builders import a_job, a_stored, a_written, an_instance
from fakes.ledger import FakeLedger
from lightbox.app.questions.own_results import is_ours
from lightbox.app.road import Road
from lightbox.domain.audit import AuditPolicy
from lightbox.domain.events import Delivered, InstanceListed, Recorded
from lightbox.domain.result import ListedReason
from lightbox.domain.study import Instance

JOB = a_job(an_instance())
(RESULT,) = a_written(JOB).results


def come_back(study: str = "") -> Instance:
    return an_instance(
        sop=RESULT.sop_instance_uid,
        sop_class=RESULT.sop_class_uid,
        study=study or JOB.study_instance_uid,
    )


def test_a_result_that_was_written_is_ours_before_its_sending_is_recorded() -> None:
    ledger = FakeLedger()
    assert not is_ours(ledger, come_back(), ("pacs",))
    ledger.record(a_written(JOB))
    assert is_ours(ledger, come_back(), ("pacs",))


def test_a_result_that_was_delivered_is_ours_also_in_a_study_of_another_uid() -> None:
    ledger = FakeLedger()
    uid = RESULT.sop_instance_uid
    ledger.record(Delivered(JOB.study_instance_uid, JOB.job_id, uid, "pacs", attempt=1))
    assert is_ours(ledger, come_back("1.2.3"), ("pacs",))
    assert not is_ours(ledger, come_back("1.2.3"), ("other",))


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2"])
def test_images_of_modalities_are_not_even_looked_up(sop_class: str) -> None:
    assert not is_ours(cast("Any", None), an_instance(sop_class=sop_class), ("pacs",))


class Silent:
    def __getattr__(self, _: str) -> Any:
        return lambda *_: ()


def test_it_is_listed_and_its_header_is_not_even_read() -> None:
    ledger, silent = FakeLedger(), cast("Any", Silent())
    ledger.record(a_written(JOB))

    def describe(_: str) -> dict[str, str]:
        raise AssertionError("read")

    road = Road(
        ledger=ledger, describe=describe, assemble=silent, place=silent, sends={},
        wants=lambda *_: True, packages={}, audits=AuditPolicy(), commitments=silent,
        unfinished=lambda _: (), changes=silent,
    )  # fmt: skip
    road.follow(Recorded("receive", 1, 0.0, "", a_stored(come_back())), None)
    (listed,) = [event for event in ledger.events if isinstance(event, InstanceListed)]
    assert listed.reason is ListedReason.OWN_RESULT
    assert listed.detail == "made by this service: the ledger knows its UID"
