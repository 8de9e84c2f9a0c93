"""Stored, but never promised to be kept: an alarm that Delivered does not hide."""

from __future__ import annotations

from itertools import permutations

import pytest

from builders import a_job, a_stored, a_written, an_instance
from lightbox.domain.account import Account
from lightbox.domain.commitment import Committed
from lightbox.domain.events import DeadLettered, Delivered, Event, JobPlaced, Recorded
from lightbox.domain.standing import DeliveryStanding, DeliveryState

JOB = a_job(an_instance())
WRITTEN = a_written(JOB)
UID = WRITTEN.results[0].sop_instance_uid
OF = (JOB.study_instance_uid, JOB.job_id, UID, "pacs")
STORED = Delivered(*OF, attempt=3, again=2)
GIVEN_UP = DeadLettered(*OF, attempt=3, reason="stored but not committed: lost", again=3)


def standing(*events: Event) -> DeliveryStanding:
    account = Account(("pacs",))
    before = (a_stored(an_instance()), JobPlaced(JOB), WRITTEN)
    for number, event in enumerate((*before, *events), 1):
        account.apply(Recorded("control", number, float(number), "", event))
    (job,) = account.jobs_of()
    (only,) = job.deliveries
    return only


def test_a_result_that_was_given_up_as_not_committed_is_stored_and_an_alarm() -> None:
    found = standing(STORED, GIVEN_UP)
    assert found.state is DeliveryState.DELIVERED
    assert found.given_up == "stored but not committed: lost"
    assert found.given_up_at > 0


@pytest.mark.parametrize(
    "end",
    [
        Delivered(*OF, attempt=4, again=3),  # a person sent it again, and it was stored
        Committed(*OF, "1.2.3"),  # the promise came after all
    ],
)
def test_storing_it_again_or_a_late_promise_ends_the_alarm(end: Event) -> None:
    for order in permutations((STORED, GIVEN_UP, end)):
        assert standing(*order).given_up == ""


def test_the_order_of_the_rows_does_not_matter() -> None:
    assert standing(GIVEN_UP, STORED).given_up == standing(STORED, GIVEN_UP).given_up
