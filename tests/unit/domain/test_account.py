"""The account: each accepted instance has exactly one disposition, whatever happens."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import (
    NOON,
    a_job,
    a_predicted,
    a_prediction,
    a_ready_study,
    a_result,
    a_stored,
    a_written,
    an_arrival,
    an_attribution_record,
    an_instance,
)
from lightbox.domain.account import Account
from lightbox.domain.commitment import (
    NO_SUCH_INSTANCE,
    CommitmentAnswered,
    CommitmentAsked,
    CommitmentFailed,
    CommitmentRequested,
    Committed,
    Reference,
    ResultReference,
)
from lightbox.domain.events import (
    AssociationReleased,
    Attributed,
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    DeliveryRevived,
    Event,
    InstanceListed,
    InstanceTorn,
    JobFailed,
    JobPlaced,
    JobRetried,
    JobStarted,
    NotTaken,
    Recorded,
    ServiceMarked,
)
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.result import Disposition, ListedReason, ResultKind
from lightbox.domain.standing import AuditState, DeliveryState, JobState, Verdict
from lightbox.domain.study import Instance
from lightbox.domain.urgency import Urgency

SC, SEG = ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION


def rows(*events: Event, at: float = NOON) -> list[Recorded]:
    """Number events as one chain would, a second apart."""
    return [
        Recorded("test", n, at + n, f"{n:064x}", event) for n, event in enumerate(events, start=1)
    ]


def account(*events: Event, destinations: tuple[str, ...] = ("pacs",)) -> Account:
    made = Account(destinations)
    for row in rows(*events):
        made.apply(row)
    return made


def verdict(*events: Event, destinations: tuple[str, ...] = ("pacs",)) -> Verdict:
    (standing,) = account(*events, destinations=destinations).instances()
    return standing.verdict


def sent(job: Job, kind: ResultKind = SC, destination: str = "pacs", attempt: int = 1) -> Delivered:
    uid = a_result(job, kind).sop_instance_uid
    return Delivered(job.study_instance_uid, job.job_id, uid, destination, attempt)


def delayed(job: Job, attempt: int = 1, destination: str = "pacs") -> DeliveryDelayed:
    uid = a_result(job).sop_instance_uid
    study, name = job.study_instance_uid, job.job_id
    return DeliveryDelayed(study, name, uid, destination, attempt, "refused", NOON + 30 * attempt)


def dead(job: Job, attempt: int = 11, destination: str = "pacs") -> DeadLettered:
    uid = a_result(job).sop_instance_uid
    return DeadLettered(
        job.study_instance_uid, job.job_id, uid, destination, attempt, "SOP class refused"
    )


def revived(job: Job, attempt: int = 11) -> DeliveryRevived:
    uid = a_result(job).sop_instance_uid
    return DeliveryRevived(job.study_instance_uid, job.job_id, uid, "pacs", attempt, "anna")


def not_taken(job: Job, kind: ResultKind = SC) -> NotTaken:
    uid = a_result(job, kind).sop_instance_uid
    return NotTaken(job.study_instance_uid, job.job_id, uid, "pacs", "no such kind there")


def failed(job: Job, reason: ListedReason = ListedReason.FAILED) -> JobFailed:
    return JobFailed(job.study_instance_uid, job.job_id, reason, "no memory")


def listed(instance: Instance, reason: ListedReason = ListedReason.NO_MODEL) -> InstanceListed:
    return InstanceListed(
        instance.study_instance_uid,
        instance.sop_instance_uid,
        instance.sha256,
        reason,
        "no model takes it",
    )


ONE = an_instance("1")
JOB = a_job(ONE)
STORED = a_stored(ONE)
STARTED = JobStarted(JOB.study_instance_uid, JOB.job_id)
ATTRIBUTED = Attributed(JOB.study_instance_uid, JOB.job_id, an_attribution_record())


@pytest.mark.parametrize(
    ("events", "owner", "deadline"),
    [
        ([], "studies", NOON + 60),
        ([a_ready_study(ONE)], "schedule", NOON + 300),
        ([JobPlaced(JOB)], "schedule", JOB.deadline),
        ([JobPlaced(JOB), STARTED], "infer", JOB.deadline),
        ([JobPlaced(JOB), STARTED, a_predicted(JOB)], "explain", JOB.deadline),
        ([JobPlaced(JOB), a_predicted(JOB), ATTRIBUTED], "results", JOB.deadline),
        ([JobPlaced(JOB), a_written(JOB)], "deliver", JOB.deadline),
        ([JobPlaced(JOB), a_written(JOB), delayed(JOB)], "deliver", JOB.deadline),
    ],
)
def test_what_is_in_progress_has_an_owner_and_a_deadline(
    events: list[Event], owner: str, deadline: float
) -> None:
    expected = Verdict(Disposition.IN_PROGRESS, owner=owner, deadline=deadline)
    assert verdict(STORED, *events) == expected


def test_an_instance_is_delivered_when_every_result_arrived_everywhere() -> None:
    so_far: list[Event] = [STORED, JobPlaced(JOB), a_written(JOB, SC, SEG)]
    both = ("pacs", "archive")
    for event in [
        sent(JOB, SC, "pacs"),
        sent(JOB, SC, "archive"),
        sent(JOB, SEG, "pacs"),
    ]:
        so_far.append(event)
        assert verdict(*so_far, destinations=both).disposition is Disposition.IN_PROGRESS
    so_far.append(sent(JOB, SEG, "archive"))
    assert verdict(*so_far, destinations=both) == Verdict(Disposition.DELIVERED)


def test_without_destinations_what_is_written_is_delivered() -> None:
    found = verdict(STORED, JobPlaced(JOB), a_written(JOB), destinations=())
    assert found.disposition is Disposition.DELIVERED


def test_a_result_that_a_destination_does_not_take_is_not_waited_for() -> None:
    events = (STORED, JobPlaced(JOB), a_written(JOB, SC, SEG), sent(JOB, SC), not_taken(JOB, SEG))
    assert verdict(*events).disposition is Disposition.DELIVERED


def test_results_that_nobody_takes_are_listed() -> None:
    found = verdict(STORED, JobPlaced(JOB), a_written(JOB), not_taken(JOB))
    assert (found.disposition, found.reason) == (Disposition.LISTED, "withheld")


@pytest.mark.parametrize(
    ("end", "reason", "detail"),
    [
        (failed(JOB), "failed", "no memory"),
        (failed(JOB, ListedReason.CANCELLED), "cancelled", "no memory"),
        (a_written(JOB, withheld="two patients"), "withheld", "two patients"),
    ],
)
def test_a_job_that_ends_without_results_lists_its_instances(
    end: Event, reason: str, detail: str
) -> None:
    found = verdict(STORED, JobPlaced(JOB), end)
    assert found == Verdict(Disposition.LISTED, reason, detail)


def test_a_dead_letter_lists_its_instances_with_destination_and_reason() -> None:
    found = verdict(STORED, JobPlaced(JOB), a_written(JOB), delayed(JOB), dead(JOB))
    assert found == Verdict(Disposition.LISTED, "dead_letter", "pacs: SOP class refused")


def test_a_dead_letter_that_was_revived_and_arrived_is_delivered() -> None:
    events = (STORED, JobPlaced(JOB), a_written(JOB), dead(JOB), delayed(JOB, 12), sent(JOB))
    assert verdict(*events[:-1]).disposition is Disposition.IN_PROGRESS
    assert verdict(*events).disposition is Disposition.DELIVERED


def test_a_listed_instance_is_listed_with_its_newest_reason() -> None:
    found = verdict(STORED, listed(ONE), listed(ONE, ListedReason.UNREADABLE))
    assert (found.disposition, found.reason) == (Disposition.LISTED, "unreadable")


def test_an_instance_that_one_model_refused_and_another_took_is_judged_by_its_job() -> None:
    found = verdict(STORED, listed(ONE, ListedReason.NOT_APPLICABLE), JobPlaced(JOB))
    assert found.owner == "schedule"


def test_a_delivered_instance_is_in_progress_again_when_another_unit_of_it_is_ready() -> None:
    events = (STORED, JobPlaced(JOB), a_written(JOB), sent(JOB))
    assert verdict(*events, a_ready_study(ONE)).disposition is Disposition.DELIVERED
    assert verdict(*events, a_ready_study(ONE, model="bone_age")).owner == "schedule"


def test_every_model_must_have_answered() -> None:
    other = a_job(ONE, model="bone_age")
    events = (STORED, JobPlaced(JOB), JobPlaced(other), a_written(JOB), sent(JOB))
    assert verdict(*events).owner == "schedule"
    assert verdict(*events, failed(other)).reason == "failed"
    assert verdict(*events, a_written(other), sent(other)).disposition is Disposition.DELIVERED


def test_an_audit_does_not_hold_the_disposition_up() -> None:
    audit = a_job(ONE, path=JobPath.AUDIT)
    events = (STORED, JobPlaced(JOB), a_written(JOB), sent(JOB), JobPlaced(audit))
    assert verdict(*events).disposition is Disposition.DELIVERED


def test_an_instance_that_only_has_an_audit_is_judged_by_that() -> None:
    audit = a_job(ONE, path=JobPath.AUDIT)
    assert verdict(STORED, JobPlaced(audit)).owner == "schedule"


LATE = an_instance("2")
REVISED = a_job(ONE, LATE, revision=2, placed_at=NOON + 9, supersedes=JOB.job_id)


def test_instances_follow_the_newest_revision() -> None:
    made = account(
        STORED,
        JobPlaced(JOB),
        a_written(JOB),
        sent(JOB),
        a_stored(LATE),
        JobPlaced(REVISED),
    )
    assert {s.verdict.owner for s in made.instances()} == {"schedule"}
    assert made.studies()[0].results == ()


def test_an_instance_that_the_newest_revision_left_out_is_superseded() -> None:
    without = a_job(LATE, revision=2, placed_at=NOON + 9, supersedes=JOB.job_id)
    made = account(STORED, JobPlaced(JOB), a_stored(LATE), JobPlaced(without))
    one, late = made.instances()
    assert (one.verdict.disposition, one.verdict.reason) == (Disposition.LISTED, "superseded")
    assert late.verdict.owner == "schedule"


def test_same_uid_with_other_bytes_is_another_accepted_instance() -> None:
    other = replace(ONE, sha256="f" * 64)
    made = account(STORED, a_stored(other), listed(other, ListedReason.CONFLICT), JobPlaced(JOB))
    assert [s.verdict.disposition for s in made.instances()] == ["in_progress", "listed"]


# ------------------------------------------------------------------------------ at the next start
def test_what_no_unit_holds_is_assembled_again() -> None:
    assert account(STORED).waiting_instances() == (STORED,)
    for event in (a_ready_study(ONE), JobPlaced(JOB), listed(ONE)):
        assert account(STORED, event).waiting_instances() == ()


def test_recent_instances_are_assembled_again_for_models_that_still_wait() -> None:
    made = account(STORED, a_ready_study(ONE), a_stored(LATE), listed(LATE))
    assert made.waiting_instances(arrived_since=NOON) == (STORED,)
    assert made.waiting_instances(arrived_since=NOON + 1) == ()


def test_a_unit_without_its_job_is_placed_again() -> None:
    ready = a_ready_study(ONE)
    assert account(STORED, ready).unplaced_units() == (ready,)
    assert account(STORED, ready, JobPlaced(JOB)).unplaced_units() == ()
    assert account(STORED, ready, listed(ONE)).unplaced_units() == ()
    other_model = JobPlaced(a_job(ONE, model="bone_age"))
    assert account(STORED, ready, other_model).unplaced_units() == (ready,)


def test_a_job_without_an_end_is_given_to_the_queue_again() -> None:
    assert account(STORED, JobPlaced(JOB), STARTED).unplaced_jobs() == (JOB,)
    for end in (a_written(JOB), failed(JOB), a_written(JOB, withheld="x"), JobPlaced(REVISED)):
        assert JOB not in account(STORED, JobPlaced(JOB), end).unplaced_jobs()


def test_what_a_destination_has_yet_to_get_comes_in_the_order_of_writing() -> None:
    second = a_job(LATE)
    made = account(
        JobPlaced(second), JobPlaced(JOB), a_written(JOB, SC, SEG), a_written(second), delayed(JOB)
    )
    found = [(d.job.job_id, d.result.kind, d.attempt) for d in made.undelivered("pacs")]
    assert found == [(JOB.job_id, SC, 1), (JOB.job_id, SEG, 0), (second.job_id, SC, 0)]
    assert made.undelivered("pacs")[0].retry_at == NOON + 30


@pytest.mark.parametrize("end", [sent(JOB), dead(JOB), not_taken(JOB)])
def test_what_is_settled_at_a_destination_is_not_sent_again(end: Event) -> None:
    made = account(STORED, JobPlaced(JOB), a_written(JOB), end)
    assert made.undelivered("pacs") == ()
    assert len(made.undelivered("archive")) == 1


def test_a_result_whose_successor_is_written_is_not_sent_any_more() -> None:
    events = (JobPlaced(JOB), a_written(JOB), JobPlaced(REVISED))
    assert account(*events).undelivered("pacs")[0].job == JOB
    assert [d.job for d in account(*events, a_written(REVISED)).undelivered("pacs")] == [REVISED]


def test_what_was_written_for_one_destination_is_not_reopened_by_another_configuration() -> None:
    written = replace(a_written(JOB), destinations=("pacs",))
    events = (STORED, JobPlaced(JOB), written, sent(JOB))
    made = account(*events, destinations=("archive",))
    assert made.instances()[0].verdict.disposition is Disposition.DELIVERED
    assert made.undelivered("archive") == ()
    waiting = account(*events[:-1], destinations=("archive",))
    assert waiting.instances()[0].verdict.owner == "deliver"
    assert [d.destination for d in waiting.undelivered("pacs")] == ["pacs"]


# ----------------------------------------------------------------------------------------- studies
def test_a_study_in_one_line() -> None:
    job = a_job(ONE, urgency=Urgency.STAT, rule="called AE LIGHTBOX_STAT", received_at=NOON + 1)
    made = account(STORED, JobPlaced(job), a_predicted(job), a_written(job), sent(job))
    study = made.study(ONE.study_instance_uid)
    assert made.studies() == (study,)
    assert (study.urgency, study.rule, study.model) == (
        "STAT",
        "called AE LIGHTBOX_STAT",
        "chest_xray",
    )
    assert (study.finding, study.confidence) == ("pneumonia", 0.93)
    assert (study.deadline, study.allowed) == (NOON + 3, 2.0)
    assert (study.turnaround, study.is_met) == (4.0, False)
    assert [r.is_stored for r in study.results] == [True]
    assert study.audit.state is AuditState.NONE


def test_the_slowest_of_several_fast_jobs_counts_and_the_most_urgent_one_is_named() -> None:
    quick = a_job(ONE, urgency=Urgency.STAT, received_at=NOON + 3)
    slow = a_job(LATE, model="bone_age")
    events = (STORED, a_stored(LATE), JobPlaced(slow), JobPlaced(quick), a_written(quick))
    study = account(*events, sent(quick), a_written(slow)).study(ONE.study_instance_uid)
    assert (study.model, study.turnaround, study.is_met) == ("chest_xray", None, None)
    study = account(*events, sent(quick), a_written(slow), sent(slow)).study(ONE.study_instance_uid)
    assert (study.turnaround, study.is_met) == (8.0, False)


def test_a_failed_study_has_not_met_its_deadline() -> None:
    study = account(STORED, JobPlaced(JOB), failed(JOB)).study(ONE.study_instance_uid)
    assert (study.turnaround, study.is_met) == (None, False)


def test_an_unknown_study_is_empty() -> None:
    assert account().study("1.2.3").instances == ()


AUDIT = a_job(ONE, path=JobPath.AUDIT, rule="confidence 0.71 below 0.85", placed_at=NOON + 5)
AUDITED = Attributed(
    AUDIT.study_instance_uid, AUDIT.job_id, an_attribution_record("shapley_exact", 512, 0.8)
)


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], AuditState.WAITING),
        ([JobStarted(AUDIT.study_instance_uid, AUDIT.job_id)], AuditState.RUNNING),
        ([AUDITED, a_written(AUDIT)], AuditState.RUNNING),
        ([AUDITED, a_written(AUDIT), sent(AUDIT)], AuditState.DONE),
        ([AUDITED, a_written(AUDIT), dead(AUDIT)], AuditState.FAILED),
        ([failed(AUDIT)], AuditState.FAILED),
    ],
)
def test_the_audit_of_a_study(events: list[Event], state: AuditState) -> None:
    made = account(STORED, JobPlaced(JOB), a_written(JOB), JobPlaced(AUDIT), *events)
    assert made.study(ONE.study_instance_uid).audit.state is state


def test_a_finished_audit_says_what_it_took_and_whether_it_agrees() -> None:
    made = account(STORED, JobPlaced(AUDIT), AUDITED, a_written(AUDIT), sent(AUDIT))
    audit = made.study(ONE.study_instance_uid).audit
    assert (audit.reason, audit.evaluations) == ("confidence 0.71 below 0.85", 512)
    assert (audit.exact, audit.agreement, audit.turnaround) == (True, 0.8, 5.0)


def test_a_failed_audit_says_why() -> None:
    made = account(STORED, JobPlaced(AUDIT), failed(AUDIT))
    assert made.study(ONE.study_instance_uid).audit.reason == "failed: no memory"


def test_a_job_by_its_name() -> None:
    made = account(STORED, JobPlaced(JOB), a_predicted(JOB, a_prediction("normal", 0.99)))
    standing = made.job(JOB.job_id)
    assert standing is not None
    assert (standing.state, standing.turnaround) == (JobState.PREDICTED, None)
    assert standing.prediction == a_prediction("normal", 0.99)
    assert made.placed_job(JOB.job_id) == JOB
    assert made.placed_job("none") is None
    assert made.job("none") is None


# --------------------------------------------------------------------------------------- invariants
def test_what_was_never_accepted_or_placed_is_named() -> None:
    assert account(STORED, JobPlaced(JOB), a_written(JOB), sent(JOB)).strangers() == ()
    (no_job,) = account(STORED, sent(JOB)).strangers()
    assert JOB.job_id in no_job
    (no_instance,) = account(JobPlaced(JOB)).strangers()
    assert ONE.sop_instance_uid in no_instance


INSTANCES = [an_instance(str(n), study=f"1.2.{n % 2}", series=f"1.2.{n % 2}.1") for n in range(4)]
FIRST = a_job(INSTANCES[0], INSTANCES[2])
JOBS = [
    FIRST,
    a_job(INSTANCES[1]),
    a_job(INSTANCES[1], model="bone_age"),
    a_job(INSTANCES[0], path=JobPath.AUDIT),
    a_job(INSTANCES[0], INSTANCES[3], revision=2, placed_at=NOON + 50, supersedes=FIRST.job_id),
]
ANY_EVENT: list[Event] = [
    *(a_stored(i, an_arrival(association=f"a{n}")) for n, i in enumerate(INSTANCES)),
    *(listed(i, r) for i in INSTANCES for r in (ListedReason.NO_MODEL, ListedReason.CONFLICT)),
    a_ready_study(INSTANCES[0], INSTANCES[2]),
    a_ready_study(INSTANCES[1]),
    AssociationReleased("a1", 4, "aborted"),
    ServiceMarked("work", "stopped", "0.1.0", NOON),
    *(
        event
        for job in JOBS
        for event in (
            JobPlaced(job),
            JobStarted(job.study_instance_uid, job.job_id),
            a_predicted(job),
            Attributed(job.study_instance_uid, job.job_id, an_attribution_record()),
            a_written(job, SC, SEG),
            failed(job),
            delayed(job, 1),
            delayed(job, 12),
            dead(job),
            sent(job, SC),
            sent(job, SEG),
            not_taken(job, SEG),
            JobRetried(job.study_instance_uid, job.job_id, 2, "anna"),
            revived(job),
        )
    ),
]


@settings(max_examples=150, deadline=None)
@given(
    events=st.lists(st.sampled_from(ANY_EVENT), max_size=40, unique_by=lambda e: e.key),
    destinations=st.sampled_from([(), ("pacs",), ("pacs", "archive")]),
    seed=st.integers(0, 2**32),
)
def test_whatever_happens_in_whatever_order_each_instance_has_one_right_disposition(
    events: list[Event], destinations: tuple[str, ...], seed: int
) -> None:
    in_order, shuffled = Account(destinations), Account(destinations)
    recorded = rows(*events)
    for row in recorded:
        in_order.apply(row)
    random.Random(seed).shuffle(recorded)
    for row in recorded + recorded[::2]:
        shuffled.apply(row)
    assert in_order.positions == shuffled.positions

    def judged(made: Account) -> dict[tuple[str, str], object]:
        return {
            (s.instance.sop_instance_uid, s.instance.sha256): (s.verdict, s.results)
            for s in made.instances()
        }

    assert judged(in_order) == judged(shuffled)
    accepted = {e.instance.sop_instance_uid for e in events if e.kind == "instance_stored"}
    assert {uid for uid, _ in judged(in_order)} == accepted
    totals = in_order.totals()
    assert totals.accepted == len(accepted)
    assert totals.accepted == totals.delivered + totals.listed + totals.in_progress
    for found in (standing.verdict for standing in in_order.instances()):
        match found.disposition:
            case Disposition.IN_PROGRESS:
                assert found.owner
                assert found.deadline > NOON
            case Disposition.LISTED:
                assert found.reason in set(ListedReason)
                assert not found.owner
            case Disposition.DELIVERED:
                assert found == Verdict(Disposition.DELIVERED)
    in_order.studies()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(ANY_EVENT), max_size=40, unique_by=lambda e: e.key))
def test_what_is_in_progress_is_picked_up_at_the_next_start(events: list[Event]) -> None:
    made = account(*events)
    waiting = {e.instance for e in made.waiting_instances()}
    unplaced = {i for unit in made.unplaced_units() for i in unit.instances}
    queued = {i for job in made.unplaced_jobs() for i in job.instances}
    sending = {i for d in made.undelivered("pacs") for i in d.job.instances}
    resumed = waiting | unplaced | queued | sending
    for standing in made.instances():
        if standing.verdict.disposition is Disposition.IN_PROGRESS:
            assert standing.instance in resumed


def test_delivery_states_end_or_wait() -> None:
    waiting = {state for state in DeliveryState if not state.is_end}
    assert waiting == {DeliveryState.PENDING, DeliveryState.DELAYED}


# ---------------------------------------------------------------------------------- what is settled
def is_open(*events: Event) -> bool:
    return account(*events).of(ONE.study_instance_uid).is_open()


DONE = (STORED, JobPlaced(JOB), a_written(JOB), sent(JOB))


@pytest.mark.parametrize(
    "events",
    [
        DONE,
        [STORED, listed(ONE)],
        [STORED, JobPlaced(JOB), a_written(JOB, withheld="two patients")],
        [STORED, JobPlaced(JOB), failed(JOB)],
        [STORED, JobPlaced(JOB), a_written(JOB), dead(JOB)],
    ],
)
def test_a_study_is_settled_when_nothing_more_happens_by_itself(events: list[Event]) -> None:
    assert not is_open(*events)


@pytest.mark.parametrize(
    "events",
    [
        [STORED],
        [STORED, JobPlaced(JOB)],
        [*DONE, JobPlaced(AUDIT)],
        [*DONE, a_ready_study(ONE, model="bone_age")],
        [*DONE, a_stored(LATE)],
    ],
)
def test_a_study_that_waits_for_us_is_open(events: list[Event]) -> None:
    assert is_open(*events)


def test_a_torn_instance_is_listed_until_it_comes_again_in_whatever_order_that_is_read() -> None:
    torn, again = InstanceTorn.of(STORED), replace(STORED, again=1)
    (listed_now,) = account(STORED, torn).instances()
    assert listed_now.verdict.disposition is Disposition.LISTED
    assert listed_now.verdict.reason == ListedReason.TORN
    assert account(STORED, torn).waiting_instances() == ()
    assert not is_open(STORED, torn)
    rows: tuple[Event, ...] = (STORED, torn, again)
    for order in permutations(rows):
        (standing,) = account(*order).instances()
        assert standing.verdict.disposition is Disposition.IN_PROGRESS
        assert account(*order).waiting_instances() == (again,)
    (twice,) = account(STORED, torn, again, InstanceTorn.of(again)).instances()
    assert twice.verdict.reason == ListedReason.TORN


def test_what_is_forgotten_comes_back_with_its_rows_as_if_it_had_never_left() -> None:
    made = account(*DONE)
    made.forget(ONE.study_instance_uid)
    assert (made.instances(), made.placed_job(JOB.job_id)) == ((), None)
    assert not made.holds(ONE.study_instance_uid)
    for row in rows(*DONE, a_stored(LATE)):
        made.apply(row)
    assert made.instances() == account(*DONE, a_stored(LATE)).instances()
    assert made.placed_job(JOB.job_id) == JOB


def test_an_older_revision_that_is_read_last_changes_nothing() -> None:
    made = account(STORED, a_stored(LATE), JobPlaced(REVISED), JobPlaced(JOB))
    assert {s.verdict.deadline for s in made.instances()} == {REVISED.deadline}
    assert made.unplaced_jobs() == (REVISED,)


# ------------------------------------------------------------------------- storage commitment
def stored_once() -> tuple[Job, str, list[Event]]:
    stored = a_stored()
    job = a_job(stored.instance)
    uid = a_result(job).sop_instance_uid
    delivered = Delivered(stored.study, job.job_id, uid, "pacs", 1)
    return job, uid, [stored, JobPlaced(job), a_written(job), delivered]


def asked(job: Job, uid: str) -> CommitmentAsked:
    references = (ResultReference(job.job_id, "1.2", uid),)
    return CommitmentAsked(job.study_instance_uid, "pacs", "2.25.7", references)


def test_whether_a_result_is_committed_is_unknown_until_asked_then_no_then_yes() -> None:
    job, uid, events = stored_once()
    said = []
    for more in ((), (asked(job, uid),), (Committed(job.study_instance_uid, job.job_id, uid, "pacs", "2.25.7"),)):  # fmt: skip
        events = [*events, *more]
        found = account(*events)
        said.append(found.study(job.study_instance_uid).results[0].is_committed)
        assert found.totals().delivered == 1
    assert said == [None, False, True]


def test_an_object_that_the_archive_lost_stays_delivered_and_is_not_committed() -> None:
    job, uid, events = stored_once()
    study = job.study_instance_uid
    lost = CommitmentFailed(study, job.job_id, uid, "pacs", "2.25.7", NO_SUCH_INSTANCE, "lost")
    given_up = DeadLettered(study, job.job_id, uid, "pacs", 1, "stored but not committed", again=1)
    found = account(*events, asked(job, uid), lost, given_up)
    assert found.totals().delivered == 1
    assert found.study(study).results[0].is_committed is False
    assert found.strangers() == ()


def test_the_deadline_is_judged_by_the_first_time_that_it_was_stored() -> None:
    job, uid, events = stored_once()
    before = account(*events).study(job.study_instance_uid).turnaround
    again = Delivered(job.study_instance_uid, job.job_id, uid, "pacs", 2, again=1)
    for order in ([*events, again], [*events[:-1], events[-1], again]):
        standing = account(*order).study(job.study_instance_uid)
        assert standing.turnaround == before
        assert standing.results[0].deliveries[0].attempt == 2


def test_a_study_is_settled_when_its_results_are_committed_where_that_is_asked_for() -> None:
    job, uid, events = stored_once()
    study = job.study_instance_uid
    promise = Committed(study, job.job_id, uid, "pacs", "2.25.7")
    for more, commits, unsettled in (
        ((), (), False),
        ((), ("pacs",), True),
        ((asked(job, uid),), ("pacs",), True),
        ((asked(job, uid), promise), ("pacs",), False),
    ):
        found = Account(("pacs",), commits=commits)
        for row in rows(*events, *more):
            found.apply(row)
        assert found.of(study).is_open() is unsettled


def test_a_destination_that_was_never_asked_is_waited_for_only_so_long() -> None:
    job, uid, events = stored_once()
    for more, since, expected in (
        ((), NOON - 10, True),
        ((), NOON + 1000, False),
        ((asked(job, uid),), NOON + 1000, True),
    ):
        found = Account(("pacs",), commits=("pacs",))
        for row in rows(*events, *more):
            found.apply(row)
        assert found.of(job.study_instance_uid).is_open(since) is expected


def test_a_request_for_commitment_is_unsettled_until_it_is_answered() -> None:
    request = CommitmentRequested("2.25.1", "CT1", "10.0.0.1", (Reference("1.2", "1.2.3"),))
    answer = CommitmentAnswered("2.25.1", request.name, "CT1", 1)
    assert account(request).of("2.25.1").is_open()
    assert not account(request, answer).of("2.25.1").is_open()
    assert not account(answer, request).of("2.25.1").is_open()


def test_a_failed_job_that_a_person_retries_is_in_progress_again_until_its_new_end() -> None:
    job = a_job()
    study, name = job.study_instance_uid, job.job_id
    events: list[Event] = [
        a_stored(job.instances[0]),
        JobPlaced(job),
        JobStarted(study, name),
        failed(job),
    ]
    events.append(JobRetried(study, name, 2, "anna"))
    again = account(*events)
    assert verdict(*events).disposition is Disposition.IN_PROGRESS
    (waiting,) = again.unplaced_jobs()
    assert waiting == replace(job, attempt=2)
    standing = again.job(name)
    assert standing is not None
    assert (standing.state, standing.job.attempt) == (JobState.PLACED, 2)
    second = JobFailed(study, name, ListedReason.UNREADABLE, "still no memory", attempt=2)
    end = verdict(*events, JobStarted(study, name, 2), second)
    assert (end.reason, end.detail) == (ListedReason.UNREADABLE, "still no memory")


def test_a_second_failure_that_is_read_before_the_request_counts() -> None:
    job = a_job()
    study, name = job.study_instance_uid, job.job_id
    second = JobFailed(study, name, ListedReason.UNREADABLE, "still", attempt=2)
    found = account(JobPlaced(job), second, JobRetried(study, name, 2, "anna"), failed(job))
    standing = found.job(name)
    assert standing is not None
    assert (standing.state, standing.detail) == (JobState.FAILED, "still")


def test_a_dead_letter_that_a_person_revives_waits_again_until_it_arrives_or_dies() -> None:
    job = a_job()
    events: list[Event] = [
        a_stored(job.instances[0]),
        JobPlaced(job),
        a_written(job),
        dead(job),
        revived(job),
    ]
    again = account(*events)
    (delivery,) = again.undelivered("pacs")
    assert (delivery.state, delivery.attempt) == (DeliveryState.PENDING, 11)
    assert "anna" in delivery.reason
    assert verdict(*events).owner == "deliver"
    assert verdict(*events, dead(job, 12)).reason == ListedReason.DEAD_LETTER
    assert verdict(*events, sent(job, attempt=12)).disposition is Disposition.DELIVERED


def test_jobs_are_found_by_study_instance_and_result() -> None:
    job, other = a_job(an_instance("1")), a_job(an_instance("2", study="1.2.9"))
    made = account(JobPlaced(job), JobPlaced(other), a_written(job))
    uid = a_result(job).sop_instance_uid
    for name in (job.study_instance_uid, job.instances[0].sop_instance_uid, uid):
        assert [found.job for found in made.jobs_of(name)] == [job]
    assert {found.job for found in made.jobs_of()} == {job, other}
    assert made.jobs_of("1.2.3") == ()
