"""The read model says what a fresh fold of the chains says, whenever it was last written."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import (
    NOON,
    a_job,
    a_ready_study,
    a_result,
    a_stored,
    a_written,
    an_arrival,
    an_instance,
)
from fakes.clock import FakeClock
from lightbox.domain.account import Account
from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    Event,
    InstanceListed,
    JobFailed,
    JobPlaced,
    JobStarted,
    ServiceMarked,
)
from lightbox.domain.result import ListedReason
from lightbox.domain.study_account import Expectations
from lightbox.domain.urgency import Urgency
from lightbox.ledger.prove import prove
from lightbox.ledger.read_model.answers import Search
from lightbox.ledger.read_model.entry import Horizon
from lightbox.ledger.read_model.project import Projection
from lightbox.ledger.read_model.read import ReadModel
from lightbox.ledger.read_model.tables import FILE
from lightbox.ledger.report import instance_json, study_json
from lightbox.ledger.sqlite_ledger import SqliteLedger

EXPECTED = Expectations(("pacs",))
SETTLED = Horizon(float("inf"), float("inf"))
INSTANCES = [an_instance(str(n), study=f"1.2.{n}") for n in range(4)]
JOBS = [
    a_job(instance, urgency=urgency, received_at=NOON + n)
    for n, (instance, urgency) in enumerate(zip(INSTANCES, Urgency, strict=False))
]
EVENTS: list[Event] = [
    ServiceMarked("receive", "started", "0.1.0", NOON + 200),
    *(
        event
        for n, (instance, job) in enumerate(zip(INSTANCES, JOBS, strict=False))
        for name in [job.study_instance_uid]
        for result in [a_result(job).sop_instance_uid]
        for event in (
            a_stored(instance, an_arrival(NOON + n, calling=f"CT{n}")),
            a_stored(an_instance(f"late {n}", study=name)),
            a_ready_study(instance),
            JobPlaced(job),
            JobStarted(name, job.job_id),
            a_written(job),
            JobFailed(name, job.job_id, ListedReason.FAILED, "no memory"),
            Delivered(name, job.job_id, result, "pacs", 1),
            DeadLettered(name, job.job_id, result, "pacs", 1, "no such host"),
            InstanceListed(
                name, instance.sop_instance_uid, instance.sha256, ListedReason.NO_MODEL, "none"
            ),
        )
    ),
]
CHAINS = {"instance_stored": "receive", "service_marked": "receive", "job_started": "work"}


def write(folder: Path, *events: Event, clock: FakeClock | None = None) -> None:
    clock = clock or FakeClock(NOON + 300)
    with ExitStack() as opened:
        chains: dict[str, SqliteLedger] = {}
        for event in events:
            clock.advance(1)
            chain = CHAINS.get(event.kind, "control")
            if chain not in chains:
                ledger = SqliteLedger(folder, chain, clock)
                chains[chain] = opened.enter_context(closing(ledger))
            chains[chain].record(event)


def folded(folder: Path) -> Account:
    account = Account.expecting(EXPECTED)
    if folder.is_dir():
        with closing(SqliteLedger(folder, "spare", FakeClock())) as ledger:
            for row in ledger.since({}):
                account.apply(row)
    return account


def projected(folder: Path, horizon: Horizon = SETTLED) -> frozenset[str]:
    projection = Projection(folder, EXPECTED, horizon)
    live = projection.live()
    projection.close()
    return live


def by_name(lines: object) -> dict[str, object]:
    assert isinstance(lines, list)
    return {line["study_instance_uid"]: line for line in lines}


def _uid(instance: Mapping[str, object]) -> str:
    return str(instance["sop_instance_uid"])


def assert_says_what_the_chains_say(folder: Path) -> None:
    account = folded(folder)
    with closing(ReadModel(folder, EXPECTED)) as model:
        studies = model.search(Search(size=1000)).studies
        counts = model.counts()
        instances = list(model.instances())
        failed, dead, queue = model.needing_person(), model.dead_letters(), model.queue()
        tally = model.tally(NOON, NOON + 100)
    root = folder.parent
    assert by_name(list(studies)) == by_name([study_json(s, root) for s in account.studies()])
    totals = account.totals()
    assert (counts.accepted, counts.delivered) == (totals.accepted, totals.delivered)
    assert (counts.listed, counts.in_progress) == (totals.listed, totals.in_progress)
    assert counts.studies == len(account.studies())
    states = Counter(study.state for study in account.studies())
    assert {state: count for state, count in counts.states.items() if count} == dict(states)
    assert counts.missed == sum(study.is_met is False for study in account.studies())
    expected = [instance_json(each, root) for each in account.instances()]
    assert sorted(instances, key=_uid) == sorted(expected, key=_uid)
    jobs = [job for job in account.jobs_of() if account.study(job.job.study_instance_uid).instances]
    ended = {job.job.study_instance_uid for job in jobs if job.reason}
    assert {uid for uid in failed if account.study(uid).instances} >= ended - {
        job.job.study_instance_uid for job in jobs if job.state == "withheld"
    }
    assert len(dead) == counts.dead_letters
    assert {each["job_id"] for each in queue} >= {j.job.job_id for j in jobs if not j.state.is_end}
    standings = [account.of(uid).standing() for uid in account.held()]
    for urgency, counted in tally.items():
        mine = [study for study in standings if study.urgency == urgency]
        due = [float(str(job["deadline"])) for job in queue if job["urgency"] == urgency]
        assert (counted.open_jobs, counted.next_deadline) == (len(due), min(due, default=0.0))
        late = [
            s for s in mine if s.is_met is False or (s.is_met is None and s.deadline <= NOON + 100)
        ]
        assert counted.missed == sum(study.received_at >= NOON for study in late)
        assert counted.met == sum(s.is_met is True and s.received_at >= NOON for s in mine)


@settings(max_examples=6, deadline=None)
@given(
    events=st.lists(st.sampled_from(EVENTS), unique_by=lambda e: e.key, max_size=15),
    more=st.lists(st.sampled_from(EVENTS), unique_by=lambda e: e.key, max_size=10),
    cuts=st.sets(st.integers(0, 15), max_size=1),
)
def test_it_says_what_a_fresh_fold_says_however_far_behind_it_is(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[Event],
    more: list[Event],
    cuts: set[int],
) -> None:
    folder = tmp_path_factory.mktemp("data") / "ledger"
    clock = FakeClock(NOON + 300)
    edges = [0, *sorted(cuts), len(events)]
    for first, beyond in pairwise(edges):
        write(folder, *events[first:beyond], clock=clock)
        projected(folder)
    write(folder, *more, clock=clock)
    if events or more:
        assert_says_what_the_chains_say(folder)
        projected(folder)
        assert_says_what_the_chains_say(folder)


def test_one_that_stays_open_sees_each_new_row_at_once(tmp_path: Path) -> None:
    write(tmp_path, EVENTS[1])
    projected(tmp_path)
    with closing(ReadModel(tmp_path, EXPECTED)) as model:
        assert model.counts().accepted == 1
        write(tmp_path, EVENTS[2])
        assert model.counts().accepted == 2
        assert model.counts().accepted == 2
        projected(tmp_path)
        assert model.counts().accepted == 2


def test_what_is_open_is_live_and_what_is_settled_is_not(tmp_path: Path) -> None:
    job = JOBS[0]
    uid = a_result(job).sop_instance_uid
    sent = Delivered(job.study_instance_uid, job.job_id, uid, "pacs", 1)
    write(tmp_path, a_stored(INSTANCES[0]), JobPlaced(job), a_written(job))
    assert projected(tmp_path) == {"1.2.0"}
    write(tmp_path, sent)
    assert projected(tmp_path) == frozenset()
    assert projected(tmp_path, Horizon(float("inf"), 0)) == frozenset()
    write(tmp_path, a_stored(an_instance("late", study="1.2.0")))
    assert projected(tmp_path) == {"1.2.0"}


def dead_letter(folder: Path) -> str:
    job = JOBS[0]
    uid = a_result(job).sop_instance_uid
    gone = DeadLettered(job.study_instance_uid, job.job_id, uid, "pacs", 10, "no such host")
    write(folder, a_stored(INSTANCES[0]), JobPlaced(job), a_written(job), gone)
    return uid


@pytest.mark.parametrize("is_behind", [True, False])
def test_a_dead_letter_is_listed_with_its_reason_and_its_study_needs_a_person(
    tmp_path: Path, is_behind: bool
) -> None:
    if is_behind:
        projected(tmp_path)
    uid = dead_letter(tmp_path)
    with closing(ReadModel(tmp_path, EXPECTED)) as model:
        (letter,) = model.dead_letters()
        assert (letter["sop_instance_uid"], letter["destination"]) == (uid, "pacs")
        assert (letter["reason"], letter["study"]) == ("no such host", "1.2.0")
        assert model.needing_person() == ("1.2.0",)
        assert model.study_of(uid) == "1.2.0"


def test_what_is_stored_and_was_never_promised_is_listed_as_that(tmp_path: Path) -> None:
    job = JOBS[0]
    of = (job.study_instance_uid, job.job_id, a_result(job).sop_instance_uid, "pacs")
    lost = DeadLettered(*of, 3, "stored but not committed: no such object", again=3)
    stored = Delivered(*of, attempt=3, again=2)
    write(tmp_path, a_stored(INSTANCES[0]), JobPlaced(job), a_written(job), stored, lost)
    with closing(ReadModel(tmp_path, EXPECTED)) as model:
        (letter,) = model.dead_letters()
        assert (letter["stored"], letter["reason"]) == (True, lost.reason)
        assert model.counts().dead_letters == 1


def test_a_study_is_found_by_any_uid_of_it(tmp_path: Path) -> None:
    uid = dead_letter(tmp_path)
    projected(tmp_path)
    with closing(ReadModel(tmp_path, EXPECTED)) as model:
        assert model.study_of("1.2.0") == "1.2.0"
        assert model.study_of(INSTANCES[0].sop_instance_uid) == "1.2.0"
        assert model.study_of(uid) == "1.2.0"
        assert model.study_of("1.2.3.4") == ""
        found = model.study("1.2.0")
        assert found is not None
        assert len(found.rows) == 4
        assert model.study("1.2.3.4") is None
        assert model.account_of(("1.2.0",)).jobs_of(uid)


@pytest.mark.parametrize("is_behind", [True, False])
def test_studies_are_found_by_words_state_urgency_and_missed_deadline(
    tmp_path: Path, is_behind: bool
) -> None:
    if is_behind:
        projected(tmp_path)
    for n, (instance, job) in enumerate(zip(INSTANCES, JOBS, strict=False)):
        write(tmp_path, a_stored(instance, an_arrival(NOON + n, calling=f"CT{n}")), JobPlaced(job))
    if not is_behind:
        projected(tmp_path)
    with closing(ReadModel(tmp_path, EXPECTED)) as model:

        def found(**wanted: object) -> list[object]:
            page = model.search(Search(**wanted))  # type: ignore[arg-type]  # Search's own fields
            return [line["study_instance_uid"] for line in page.studies]

        assert found() == ["1.2.3", "1.2.2", "1.2.1", "1.2.0"]
        assert found(text="ct2") == ["1.2.2"]
        assert found(text=" 1.2.1 ") == ["1.2.1"]
        assert found(text="%") == []
        assert found(state="in_progress", urgency="STAT") == ["1.2.0"]
        assert found(state="delivered") == []
        assert found(missed_at=NOON) == []
        assert found(missed_at=NOON + 5) == ["1.2.0"]
        assert found(size=3) == ["1.2.3", "1.2.2", "1.2.1"]
        assert found(size=3, page=1) == ["1.2.0"]
        assert model.search(Search(size=3)).has_more
        assert not model.search(Search(size=3, page=1)).has_more


def spoil(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE positions SET digest = 'another'",
        "UPDATE positions SET sequence = 999",
        "UPDATE made_for SET fingerprint = 'another version'",
        "DELETE FROM made_for",
        "DROP TABLE made_for",
    ],
)
def test_one_that_does_not_fit_is_made_anew(tmp_path: Path, statement: str) -> None:
    folder = tmp_path / "ledger"
    write(folder, *EVENTS[1:9])
    projected(folder)
    spoil(folder / FILE, "UPDATE lines SET line = replace(line, '1.2.0', '1.2.9')")
    spoil(folder / FILE, statement)
    assert_says_what_the_chains_say(folder)
    projected(folder)
    assert_says_what_the_chains_say(folder)


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough" * 200])
def test_one_that_is_no_database_is_made_anew(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "ledger"
    write(folder, *EVENTS[1:9])
    (folder / FILE).write_bytes(content)
    assert_says_what_the_chains_say(folder)
    projected(folder)
    assert_says_what_the_chains_say(folder)


def test_one_that_was_made_for_other_destinations_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    write(folder, a_stored(INSTANCES[0]), JobPlaced(JOBS[0]), a_written(JOBS[0]))
    Projection(folder, Expectations(()), SETTLED).close()
    assert_says_what_the_chains_say(folder)


def test_it_is_no_part_of_the_proof(tmp_path: Path) -> None:
    write(tmp_path, *EVENTS[1:9])
    projected(tmp_path)
    before = prove(tmp_path)
    spoil(tmp_path / FILE, "UPDATE studies SET delivered = 1000")
    assert prove(tmp_path) == before
