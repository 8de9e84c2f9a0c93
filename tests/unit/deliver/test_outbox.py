from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as some

from builders import a_digest, a_job, a_placed_job, a_result, a_uid, a_written, an_instance
from fakes.ledger import FakeLedger
from lightbox.deliver.outbox import Outbox, Parcel, dead_letters, still_to_send
from lightbox.domain.commitment import CommitmentFailed, Committed
from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    DeliveryRevived,
    NotTaken,
)
from lightbox.domain.jobs import Job
from lightbox.domain.result import Result, ResultKind
from lightbox.domain.urgency import Urgency
from lightbox.settings import DestinationSettings

PACS = DestinationSettings(name="pacs")


def a_parcel(name: str, study: str = "s1", urgency: Urgency = Urgency.ROUTINE) -> Parcel:
    uid = a_uid(name)
    kind = ResultKind.SECONDARY_CAPTURE
    result = Result(kind, "1.2.840.10008.5.1.4.1.1.7", uid, f"{uid}.dcm", a_digest(uid), 1)
    return Parcel("job", study, result, urgency)


def emptied(outbox: Outbox, now: float = 0.0) -> list[Parcel]:
    """Take and finish all that is due."""
    order = []
    while (due := outbox.take(now)) is not None:
        order.append(due)
        outbox.done(due)
    return order


def test_results_leave_in_the_order_of_their_arrival() -> None:
    outbox, parcels = Outbox(), [a_parcel(str(n), f"s{n % 2}") for n in range(6)]
    for parcel in parcels:
        outbox.put(parcel)
    assert emptied(outbox) == parcels
    assert len(outbox) == 0


def test_the_most_urgent_study_goes_first() -> None:
    outbox = Outbox()
    routine, stat = a_parcel("1", "a"), a_parcel("2", "b", Urgency.STAT)
    outbox.put(routine)
    outbox.put(stat)
    assert emptied(outbox) == [stat, routine]


def test_a_result_that_waits_holds_its_study_back_and_no_other() -> None:
    outbox = Outbox()
    first, second, other = a_parcel("1"), a_parcel("2"), a_parcel("3", "s2")
    for parcel in (first, second, other):
        outbox.put(parcel)
    taken = outbox.take(0.0)
    assert taken == first
    outbox.put_back(replace(first, attempt=1, retry_at=30.0))
    assert emptied(outbox, 29.0) == [other]
    assert outbox.next_at() == 30.0
    assert [p.result for p in emptied(outbox, 30.0)] == [first.result, second.result]


def test_while_a_study_is_in_hand_its_next_result_is_not() -> None:
    outbox = Outbox()
    outbox.put(a_parcel("1"))
    outbox.put(a_parcel("2"))
    assert outbox.take(0.0) is not None
    assert outbox.take(0.0) is None
    assert outbox.next_at() is None


def test_what_comes_back_goes_before_the_rest_of_its_study() -> None:
    outbox = Outbox()
    outbox.put(a_parcel("2"))
    outbox.put(a_parcel("3"))
    assert outbox.put_first(a_parcel("1"))
    assert not outbox.put_first(a_parcel("1"))
    assert emptied(outbox) == [a_parcel("1"), a_parcel("2"), a_parcel("3")]


def test_a_result_is_queued_once() -> None:
    outbox = Outbox()
    assert outbox.put(a_parcel("1"))
    assert not outbox.put(a_parcel("1"))
    assert len(emptied(outbox)) == 1
    assert outbox.put(a_parcel("1"))


@given(
    arrivals=some.lists(
        some.tuples(
            some.sampled_from("abc"), some.sampled_from(list(Urgency)), some.integers(0, 3)
        ),
        max_size=30,
    )
)
def test_whatever_fails_how_often_each_study_keeps_its_order(
    arrivals: list[tuple[str, Urgency, int]],
) -> None:
    outbox, failures, now = Outbox(), {}, 0.0
    for n, (study, urgency, fails) in enumerate(arrivals):
        parcel = a_parcel(str(n), study, urgency)
        failures[parcel.result.sop_instance_uid] = fails
        outbox.put(parcel)
    done: list[Parcel] = []
    while (at := outbox.next_at()) is not None:
        now = max(now, at)
        taken = outbox.take(now)
        assert taken is not None
        if failures[taken.result.sop_instance_uid] > 0:
            failures[taken.result.sop_instance_uid] -= 1
            outbox.put_back(replace(taken, retry_at=now + 5.0))
        else:
            done.append(taken)
            outbox.done(taken)
    for study in "abc":
        wanted = [a_uid(str(n)) for n, (of, _, _) in enumerate(arrivals) if of == study]
        assert [p.result.sop_instance_uid for p in done if p.study == study] == wanted


def written(job: Job, *kinds: ResultKind) -> tuple[FakeLedger, list[Result]]:
    ledger = FakeLedger()
    event = a_written(job, *kinds)
    ledger.record(event)
    return ledger, list(event.results)


def about(job: Job, result: Result, destination: str = "pacs") -> tuple[str, str, str, str]:
    return job.study_instance_uid, job.job_id, result.sop_instance_uid, destination


def test_after_a_restart_all_that_has_not_arrived_is_sent_in_order() -> None:
    job = a_job(an_instance(), urgency=Urgency.STAT)
    ledger, results = written(job, *ResultKind)
    ledger.record(a_placed_job(an_instance(), urgency=Urgency.STAT))
    ledger.record(Delivered(*about(job, results[0]), attempt=1))
    ledger.record(DeliveryDelayed(*about(job, results[1]), 2, "down", 123.0))
    ledger.record(NotTaken(*about(job, results[2]), "no SR"))
    parcels = still_to_send(ledger.rows, PACS)
    lesion = next(result for result in results if result.kind is ResultKind.LESION)
    assert [p.result for p in parcels] == [results[1], results[3], lesion]
    assert [(p.attempt, p.retry_at, p.urgency) for p in parcels] == [
        (2, 123.0, Urgency.STAT),
        (0, 0.0, Urgency.STAT),
        (0, 0.0, Urgency.STAT),
    ]


def test_after_a_restart_dead_letters_stay_dead() -> None:
    job = a_job()
    ledger, (result,) = written(job)
    ledger.record(DeadLettered(*about(job, result), 11, "refused"))
    assert still_to_send(ledger.rows, PACS) == ()
    (dead,) = dead_letters(ledger.rows, PACS)
    assert (dead.result, dead.attempt, dead.given_up_at) == (result, 11, 11)


def test_a_revived_dead_letter_that_failed_again_waits_for_its_next_try() -> None:
    job = a_job()
    ledger, (result,) = written(job)
    ledger.record(DeadLettered(*about(job, result), 11, "refused"))
    ledger.record(DeliveryDelayed(*about(job, result), 12, "refused", 99.0))
    (parcel,) = still_to_send(ledger.rows, PACS)
    assert (parcel.attempt, parcel.given_up_at, parcel.retry_at) == (12, 11, 99.0)
    assert dead_letters(ledger.rows, PACS) == ()


def test_what_arrived_after_all_is_no_dead_letter() -> None:
    job = a_job()
    ledger, (result,) = written(job)
    ledger.record(DeadLettered(*about(job, result), 11, "refused"))
    ledger.record(Delivered(*about(job, result), attempt=12))
    assert dead_letters(ledger.rows, PACS) == still_to_send(ledger.rows, PACS) == ()


def test_what_another_destination_got_this_one_still_gets() -> None:
    job = a_job()
    ledger, (result,) = written(job)
    ledger.record(Delivered(*about(job, result, "archive"), attempt=1))
    assert [p.result for p in still_to_send(ledger.rows, PACS)] == [result]


def test_kinds_that_a_destination_does_not_get_are_not_sent_again() -> None:
    job = a_job()
    ledger, _ = written(job, ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION)
    only_pictures = DestinationSettings(name="pacs", kinds=("sc",))
    (parcel,) = still_to_send(ledger.rows, only_pictures)
    assert parcel.result == a_result(job, ResultKind.SECONDARY_CAPTURE)


def test_a_dead_letter_that_a_person_revived_is_still_to_send_after_a_restart() -> None:
    job = a_job()
    ledger, (result,) = written(job)
    ledger.record(DeadLettered(*about(job, result), 11, "refused"))
    ledger.record(DeliveryRevived(*about(job, result), 11, "anna"))
    (parcel,) = still_to_send(ledger.rows, PACS)
    assert (parcel.attempt, parcel.given_up_at) == (11, 11)
    assert dead_letters(ledger.rows, PACS) == ()
    ledger.record(DeadLettered(*about(job, result), 12, "refused"))
    assert dead_letters(ledger.rows, PACS) != ()


def stored_and_lost(job: Job, *kinds: ResultKind) -> tuple[FakeLedger, Result]:
    ledger, (result,) = written(job, *kinds)
    ledger.record(Delivered(*about(job, result), attempt=2))
    ledger.record(CommitmentFailed(*about(job, result), "2.25.1", 0x0112, "not held"))
    return ledger, result


def test_what_was_stored_and_not_committed_is_sent_again_with_all_its_tries() -> None:
    ledger, result = stored_and_lost(a_job())
    (parcel,) = still_to_send(ledger.rows, PACS)
    assert (parcel.result, parcel.attempt, parcel.given_up_at, parcel.again) == (result, 2, 2, 1)
    assert dead_letters(ledger.rows, PACS) == ()


def test_what_was_sent_again_is_not_sent_a_third_time() -> None:
    job = a_job()
    ledger, result = stored_and_lost(job)
    ledger.record(Delivered(*about(job, result), attempt=3, again=1))
    assert still_to_send(ledger.rows, PACS) == ()


def test_a_promise_that_came_after_all_ends_the_sending() -> None:
    job = a_job()
    ledger, result = stored_and_lost(job)
    ledger.record(Committed(*about(job, result), "2.25.1"))
    assert still_to_send(ledger.rows, PACS) == dead_letters(ledger.rows, PACS) == ()


def test_what_is_stored_but_not_committed_for_good_is_a_dead_letter_that_can_be_revived() -> None:
    job = a_job()
    ledger, result = stored_and_lost(job)
    ledger.record(DeadLettered(*about(job, result), 2, "stored but not committed", again=1))
    assert still_to_send(ledger.rows, PACS) == ()
    (dead,) = dead_letters(ledger.rows, PACS)
    assert (dead.result, dead.attempt, dead.given_up_at, dead.again) == (result, 2, 2, 1)
