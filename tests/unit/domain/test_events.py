"""Every event survives the disk unchanged, and its key says what makes it one."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from builders import (
    NOON,
    a_job,
    a_predicted,
    a_ready_study,
    a_result,
    a_stored,
    a_written,
    an_arrival,
    an_attribution_record,
    an_instance,
)
from lightbox.domain.commitment import (
    CommitmentAnswered,
    CommitmentAsked,
    CommitmentFailed,
    CommitmentReported,
    CommitmentRequested,
    Committed,
    Failure,
    Reference,
    ResultReference,
)
from lightbox.domain.events import (
    AssociationReleased,
    Attributed,
    ChainRebuilt,
    ConfigurationTaken,
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    DeliveryRevived,
    Event,
    FilesRemoved,
    InstanceListed,
    InstanceTorn,
    JobFailed,
    JobMoved,
    JobPlaced,
    JobRetried,
    JobStarted,
    MissExpected,
    NotTaken,
    OperatorActed,
    RemovedFile,
    ServiceMarked,
    StudyUrged,
    from_json,
    to_json,
)
from lightbox.domain.patient import PatientChanged
from lightbox.domain.rejection import ImagesRejected
from lightbox.domain.result import ListedReason
from lightbox.domain.urgency import Urged, Urgency
from lightbox.domain.webhooks import (
    Happening,
    NotificationDelayed,
    NotificationDropped,
    NotificationSent,
    WebhookKnown,
)

JOB = a_job()
STUDY, NAME = JOB.study_instance_uid, JOB.job_id
UID = a_result(JOB).sop_instance_uid

EVENTS: list[Event] = [
    a_stored(),
    InstanceTorn.of(a_stored()),
    FilesRemoved(STUDY, 0, "erased", NOON, (RemovedFile("a.dcm", "ab"),), "anna", "wish"),
    AssociationReleased("a1", 3, "lost"),
    InstanceListed("1.2", "1.2.3", "ab", ListedReason.NO_MODEL, "nobody"),
    ImagesRejected("1.2", ("1.2.3",), "1.2.9", "ab", "113001", "PACS", NOON),
    PatientChanged(0, an_instance("2"), "1.2.3", ("PatientName",)),
    a_ready_study(),
    JobPlaced(JOB),
    JobStarted(STUDY, NAME),
    a_predicted(JOB),
    Attributed(STUDY, NAME, an_attribution_record(agreement=0.5)),
    a_written(JOB),
    JobFailed(STUDY, NAME, ListedReason.FAILED, "no memory"),
    Delivered(STUDY, NAME, UID, "pacs", 2, "coerced"),
    DeliveryDelayed(STUDY, NAME, UID, "pacs", 1, "refused", NOON + 30),
    DeadLettered(STUDY, NAME, UID, "pacs", 11, "refused"),
    NotTaken(STUDY, NAME, UID, "pacs", "no SEG there"),
    JobRetried(STUDY, NAME, 2, "anna"),
    MissExpected(STUDY, NAME, NOON + 400.0, NOON + 300.0),
    JobMoved(STUDY, NAME, Urgency.STAT, NOON + 2.0, "STAT by anna", 1),
    StudyUrged(STUDY, Urged(Urgency.STAT, "STAT by anna", NOON, is_floor=False)),
    DeliveryRevived(STUDY, NAME, UID, "pacs", 11, "anna"),
    OperatorActed("stop", "all", "anna", NOON),
    ConfigurationTaken("work", "ab", "anna", NOON, "/etc/lightbox.toml", ("rules",), ("web.port",)),
    CommitmentAsked(STUDY, "pacs", "2.25.7", (ResultReference(NAME, "1.2", UID),)),
    CommitmentReported("2.25.7", "PACS", (), (Failure("1.2", UID, 0x0112),)),
    CommitmentFailed(STUDY, NAME, UID, "pacs", "2.25.7", 0x0112, "it does not hold this object"),
    Committed(STUDY, NAME, UID, "pacs", "2.25.8"),
    CommitmentRequested("1.2.3", "CT1", "127.0.0.1", (Reference("1.2", "1.2.3.4"),)),
    CommitmentAnswered("1.2.3", "a-request", "CT1", 0, (Failure("1.2", "1.2.3.4", 0x0112),)),
    ServiceMarked("work", "started", "0.1.0", NOON, {"receive": "ab" * 32}),
    ChainRebuilt(
        "receive", "is no database", 3, 7, 2, ("ab" * 32,), "set_aside/1", "cd" * 32, "anna", NOON
    ),
    WebhookKnown("ris", NOON),
    NotificationDelayed(STUDY, "a-name", Happening.FAILURE, "ris", 1, "refused", NOON + 30),
    NotificationSent(STUDY, "a-name", Happening.RESULT, "ris", 1),
    NotificationDropped(STUDY, "a-name", Happening.RESULT, "ris", 11, "refused"),
]


def test_every_kind_of_event_is_in_this_list() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(Event))


@pytest.mark.parametrize("event", EVENTS, ids=[event.kind for event in EVENTS])
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    text = to_json(event)
    assert from_json(text) == event
    assert to_json(from_json(text)) == text


def test_no_two_events_share_a_key() -> None:
    assert len({event.key for event in EVENTS}) == len(EVENTS)


def test_the_key_starts_with_the_kind() -> None:
    assert all(event.key.startswith(f"{event.kind}:") for event in EVENTS)


def test_the_way_an_instance_came_does_not_make_it_another() -> None:
    one = a_stored(an_instance(), an_arrival(association="a1"))
    assert one.key == replace(one, arrival=an_arrival(association="a2")).key


def test_other_bytes_under_the_same_uid_are_another_event() -> None:
    one, other = an_instance(content="x"), an_instance(content="y")
    assert one.sop_instance_uid == other.sop_instance_uid
    assert a_stored(one).key != a_stored(other).key


def test_text_that_is_no_event_is_refused() -> None:
    with pytest.raises(ValueError, match="kind"):
        from_json('{"kind": "of_the_future"}')


def test_a_result_that_is_stored_again_for_want_of_a_commitment_is_another_event() -> None:
    first = Delivered(STUDY, NAME, UID, "pacs", 1)
    assert first.key != replace(first, again=1).key


def test_a_request_is_told_from_another_by_peer_transaction_and_content() -> None:
    one, other = Reference("1.2", "1.2.3"), Reference("1.2", "1.2.4")
    request = CommitmentRequested("2.25.1", "CT1", "10.0.0.1", (one, other))
    assert request.key == replace(request, references=(other, one)).key
    assert request.key != replace(request, references=(one,)).key
    assert request.key != replace(request, calling_ae="CT2").key
