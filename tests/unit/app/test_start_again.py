"""What control leads on is led on the same way when it is started again in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from builders import (
    NOON,
    a_digest,
    a_job,
    a_model,
    a_predicted,
    a_stored,
    a_written,
    an_arrival,
    an_attribution_record,
    an_instance,
)
from fakes.clock import FakeClock
from lightbox.app import build
from lightbox.app.changes.changes import Changes
from lightbox.app.changes.patients import Patients
from lightbox.app.changes.rejections import Rejections
from lightbox.app.doorbell import ring
from lightbox.app.processes.control import Control
from lightbox.app.road import Road
from lightbox.deliver.outbox import Parcel
from lightbox.domain.account import Account
from lightbox.domain.audit import AuditPolicy
from lightbox.domain.events import (
    Attributed,
    Event,
    InstanceStored,
    InstanceTorn,
    JobFailed,
    JobMoved,
    JobPlaced,
    JobRetried,
    NotTaken,
    StudyReady,
    StudyUrged,
)
from lightbox.domain.jobs import Job
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.rejection import KEY_OBJECT_SELECTION, ImagesRejected, RejectionNote
from lightbox.domain.result import ListedReason, Result, ResultKind
from lightbox.domain.study import Instance
from lightbox.domain.urgency import Deadlines, Urged, Urgency
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.metrics import Metrics
from lightbox.schedule.place import Place
from lightbox.settings import DestinationSettings, Settings
from lightbox.studies.assemble import Assemble

FIRST = an_instance("1")
STUDY = FIRST.study_instance_uid
LATELY = 70.0


SLICES = a_model("chest_xray")
VOLUME = a_model("volume", "series")
PACS = DestinationSettings(name="pacs", kinds=("sc",))


class Silent:
    """Stands where nothing is asked for."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_arguments, **_named: ()


class Line(Silent):
    """A queue that notes what it is given and what it is to let go."""

    def __init__(self) -> None:
        self.placed: list[Job] = []
        self.moved: list[Job] = []
        self.cancelled: list[str] = []

    def place(self, job: Job) -> None:
        self.placed.append(job)

    def move(self, job: Job) -> None:
        self.moved.append(job)

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)


class Post(Silent):
    """An outbox that only counts."""

    def __init__(self) -> None:
        self.parcels: list[str] = []

    def take(self, _job_id: str, _study: str, result: Result, _urgency: Urgency) -> None:
        self.parcels.append(result.sop_instance_uid)

    def resume(self, parcel: Parcel) -> None:
        self.parcels.append(parcel.result.sop_instance_uid)


class Running:
    """A control process with its doors; who receives and who works write chains of their own."""

    def __init__(
        self, root: Path, clock: FakeClock, packages: tuple[ModelPackage, ...],
        destinations: tuple[DestinationSettings, ...], note: RejectionNote | None,
    ) -> None:  # fmt: skip
        self.root, self.clock, self.queue = root, clock, Line()
        self.ledger = SqliteLedger(root / "ledger", "control", clock)
        settings = Settings(destinations=destinations)
        self.account = Account(each.name for each in destinations)
        self.sends = {each.name: Post() for each in destinations}
        served = {package.name: package for package in packages}
        self.assemble = Assemble(settings.studies, (), packages, "", clock)
        account = self.account
        rejections = Rejections(self.ledger, cast("Any", self.queue), account.of, lambda _: note)
        road = Road(
            ledger=self.ledger,
            describe=lambda path: {"Modality": "KO" if path == "note" else "DX"},
            assemble=self.assemble,
            place=Place(self.ledger, cast("Any", self.queue), Deadlines(), served, clock),
            sends=cast("Any", self.sends),
            wants=build.Routing(settings).wants,
            packages=served,
            audits=AuditPolicy(),
            commitments=cast("Any", Silent()),
            unfinished=lambda study: tuple(account.of(study).unplaced_jobs()),
            changes=Changes(rejections, Patients(self.ledger), self.assemble),
        )
        self.control = Control(
            settings=settings, root=root, ledger=self.ledger, queue=cast("Any", self.queue),
            account=account, metrics=Metrics(None, "1.2.3"), road=road,
            free_bytes=lambda: 10**9, clock=clock, arrived_within=LATELY,
        )  # fmt: skip
        self.control.resume()

    def sent(self) -> list[str]:
        """Return what goes to the PACS: an outbox asks the ledger before it sends."""
        rows = self.ledger.since({})
        settled = [
            row.event.sop_instance_uid
            for row in rows
            if isinstance(row.event, NotTaken) and row.event.destination == "pacs"
        ]
        return [uid for uid in self.sends["pacs"].parcels if uid not in settled]

    def goes_on(self) -> None:
        """Follow all that is written, once."""
        ring(self.root, "control")
        stopping = threading.Event()
        self.control.run(stopping, stopping.set)

    def goes_on_for_minutes(self, rounds: int = 3) -> None:
        """Look so often, 100 s apart: whatever waits for silence becomes ready."""
        for _ in range(rounds):
            self.goes_on()
            self.clock.advance(100.0)

    def close(self) -> None:
        self.control.close()
        self.ledger.close()


class Site:
    """A data directory: control may run or not, the others write in any case."""

    def __init__(self, root: Path) -> None:
        self.root, self.clock = root, FakeClock(NOON)
        (root / "ledger").mkdir()
        self.work = SqliteLedger(root / "ledger", "work", self.clock)
        self.packages: tuple[ModelPackage, ...] = (SLICES,)
        self.destinations: tuple[DestinationSettings, ...] = (PACS,)
        self.note: RejectionNote | None = None

    @contextmanager
    def running(self) -> Iterator[Running]:
        running = Running(self.root, self.clock, self.packages, self.destinations, self.note)
        try:
            yield running
        finally:
            running.close()

    def writes(self, *events: Event) -> None:
        self.clock.advance(0.01)
        self.work.record(*events)

    def stores(self, instance: Instance, *, again: int = 0) -> None:
        arrived = a_stored(instance, an_arrival(self.clock.now()))
        self.writes(replace(arrived, again=again))

    def of(self, kind: type) -> list[Any]:
        return [row.event for row in self.work.since({}) if isinstance(row.event, kind)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.work.close()


@pytest.fixture(params=["it goes on", "it is started again"])
def again(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "it is started again")


NOTE = an_instance("note", sop_class=KEY_OBJECT_SELECTION, path="note")


def test_an_image_that_is_rejected_as_it_comes_is_not_analysed(site: Site) -> None:
    """Image and note come over one association: its job is placed when the note is known."""
    site.note = RejectionNote("113001", {STUDY: (FIRST.sop_instance_uid,)})
    with site.running() as running:
        site.stores(FIRST)
        site.stores(NOTE)
        running.goes_on()
        (placed,) = site.of(JobPlaced)
        assert [failed.job_id for failed in site.of(JobFailed)] == [placed.job.job_id]
        assert running.queue.cancelled == [placed.job.job_id]


def test_a_result_that_is_written_while_its_image_is_rejected_is_not_sent(site: Site) -> None:
    site.note = RejectionNote("113001", {STUDY: (FIRST.sop_instance_uid,)})
    with site.running() as running:
        site.stores(FIRST)
        running.goes_on()
        (placed,) = site.of(JobPlaced)
        site.stores(NOTE)
        running.goes_on()
        written = a_written(placed.job)
        site.writes(written)  # it could not be stopped any more
        running.goes_on()
        (not_taken,) = site.of(NotTaken)
        assert not_taken.sop_instance_uid == written.results[0].sop_instance_uid


def test_work_on_an_image_that_came_after_its_rejection_for_age_goes_on(
    site: Site, again: bool
) -> None:
    site.note = RejectionNote("113039", {STUDY: (FIRST.sop_instance_uid,)})
    with site.running() as running:
        site.stores(FIRST)
        site.stores(NOTE)
        running.goes_on()
        site.clock.advance(1.0)
        site.stores(replace(FIRST, sha256=a_digest("from the archive")))
        running.goes_on()
        if not again:
            running.goes_on()
    if again:
        with site.running() as running:
            running.goes_on()
    *_, newest = site.of(JobPlaced)
    assert newest.job.job_id not in [failed.job_id for failed in site.of(JobFailed)]


def in_progress(account: Account) -> int:
    return account.totals().in_progress


def test_what_is_written_for_a_destination_that_is_gone_or_wants_it_not_is_settled(
    site: Site, again: bool
) -> None:
    site.destinations = (PACS, DestinationSettings(name="old"))
    with site.running() as running:
        site.stores(FIRST)
        running.goes_on()
        (placed,) = site.of(JobPlaced)
        kinds = (ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION)
        written = replace(a_written(placed.job, *kinds), destinations=("pacs", "old"))
        if again:
            site.clock.advance(1.0)
    site.destinations = (PACS,)
    if again:
        site.writes(written)
    with site.running() as running:
        if not again:
            site.writes(written)
        running.goes_on()
        picture, region = (result.sop_instance_uid for result in written.results)
        assert running.sent() == [picture]
        settled = {(e.sop_instance_uid, e.destination) for e in site.of(NotTaken)}
        assert settled == {(picture, "old"), (region, "old"), (region, "pacs")}


def test_of_two_jobs_the_older_is_not_sent_after_the_newer_was_explained(
    site: Site, again: bool
) -> None:
    old = a_job(FIRST)
    new = a_job(FIRST, an_instance("2"), revision=2, supersedes=old.job_id)
    explained = Attributed(STUDY, new.job_id, an_attribution_record())
    with site.running() as running:
        site.writes(a_stored(FIRST), a_stored(an_instance("2")), JobPlaced(old), JobPlaced(new))
        running.goes_on()
        if not again:
            site.writes(a_predicted(new), explained)
            site.writes(a_written(old))
            running.goes_on()
            assert running.sent() == []
    if again:
        site.writes(a_predicted(new), explained)
        site.writes(a_written(old))
        with site.running() as running:
            running.goes_on()
            assert running.sent() == []
    (not_taken,) = site.of(NotTaken)
    assert not_taken.sop_instance_uid == a_written(old).results[0].sop_instance_uid


def test_a_study_that_is_urged_gets_its_place_in_the_line(site: Site, again: bool) -> None:
    raised = StudyUrged(STUDY, Urged(Urgency.STAT, "STAT by anna", NOON + 1.0, is_floor=False))
    with site.running() as running:
        site.stores(FIRST)
        running.goes_on()
        if not again:
            site.writes(raised)
            running.goes_on()
    if again:
        site.writes(raised)
        with site.running() as running:
            running.goes_on()
        with site.running() as running:
            running.goes_on()
    (moved,) = site.of(JobMoved)
    assert moved.urgency is Urgency.STAT


def test_jobs_are_tried_again_when_a_torn_instance_comes_again(site: Site, again: bool) -> None:
    with site.running() as running:
        site.stores(FIRST)
        running.goes_on()
        (stored,) = site.of(InstanceStored)
        (placed,) = site.of(JobPlaced)
        failed = JobFailed(STUDY, placed.job.job_id, ListedReason.UNREADABLE, "it is cut off")
        site.writes(failed, InstanceTorn.of(stored))
        running.goes_on()
        if not again:
            site.stores(FIRST, again=1)
            running.goes_on()
    if again:
        site.stores(FIRST, again=1)
        with site.running() as running:
            running.goes_on()
    (retried,) = site.of(JobRetried)
    assert retried.attempt == 2
    site.writes(replace(failed, attempt=2))
    with site.running() as running:
        running.goes_on()
    assert len(site.of(JobRetried)) == 1


def test_a_series_that_waited_when_control_went_away_is_ready_when_it_is_back(
    site: Site, again: bool
) -> None:
    """Another model has its image already, so that nothing of it seems to wait."""
    site.packages = (SLICES, VOLUME)
    second = an_instance("2")
    with site.running() as running:
        site.stores(FIRST)
        running.goes_on()
        (placed,) = site.of(JobPlaced)
        site.writes(a_written(placed.job, withheld="nothing to say"))
        running.goes_on()
        if not again:
            leads_two_images(site, running, second)
    if again:
        site.clock.advance(600.0)
        with site.running() as running:
            leads_two_images(site, running, second)
    whole = [ready for ready in site.of(StudyReady) if ready.model == "volume"]
    assert [(r.revision, r.instances) for r in whole] == [(1, (FIRST,)), (2, (FIRST, second))]


def leads_two_images(site: Site, running: Running, second: Instance) -> None:
    for _ in range(3):
        site.clock.advance(100.0)
        running.goes_on()
    site.stores(second)
    running.goes_on_for_minutes()


def test_an_image_of_a_settled_series_is_rejected_and_its_series_revised_once(
    site: Site, again: bool
) -> None:
    site.packages = (VOLUME,)
    second, third = an_instance("2"), an_instance("3")
    site.note = RejectionNote("113001", {STUDY: (second.sop_instance_uid,)})

    def settled(running: Running) -> None:
        for _ in range(3):
            site.clock.advance(100.0)
            running.goes_on()
        newest = site.of(JobPlaced)[-1].job
        site.writes(a_written(newest, withheld="nothing to say"))
        running.goes_on_for_minutes(2)

    with site.running() as running:
        site.stores(FIRST)
        site.stores(second)
        settled(running)
        if not again:
            site.stores(NOTE)
            settled(running)
            site.stores(third)
            settled(running)
    for arriving in (NOTE, third) if again else ():
        with site.running() as running:
            site.stores(arriving)
            settled(running)
    revisions = [(ready.revision, ready.instances) for ready in site.of(StudyReady)]
    assert revisions == [(1, (FIRST, second)), (2, (FIRST,)), (3, (FIRST, third))]


def test_an_image_that_comes_a_week_late_joins_its_series_while_its_result_still_waits(
    site: Site, again: bool
) -> None:
    site.packages = (VOLUME,)
    second, third = an_instance("2"), an_instance("3")
    site.note = RejectionNote("113001", {STUDY: (second.sop_instance_uid,)})

    def leads(running: Running, *arriving: Instance) -> None:
        for instance in arriving:
            site.stores(instance)
        running.goes_on_for_minutes()

    with site.running() as running:
        leads(running, FIRST, NOTE)
        (placed,) = site.of(JobPlaced)
        site.writes(a_written(placed.job))  # and nobody takes it
        leads(running)
        site.clock.advance(8 * 86400.0)
        leads(running)
        if not again:
            leads(running, second, third)
    if again:
        with site.running() as running:
            leads(running, second, third)
    revisions = [(ready.revision, ready.instances) for ready in site.of(StudyReady)]
    assert revisions == [(1, (FIRST,)), (2, (FIRST, third))]


def test_what_was_written_of_a_settled_study_while_nobody_followed_is_followed(
    site: Site, again: bool
) -> None:
    site.packages = (VOLUME,)
    second = an_instance("2")
    rejected = ImagesRejected(
        STUDY, (second.sop_instance_uid,), "1.2.9", "ab", "113001", "PACS", NOON + 900.0
    )

    with site.running() as running:
        site.stores(FIRST)
        site.stores(second)
        running.goes_on_for_minutes()
        (placed,) = site.of(JobPlaced)
        site.writes(a_written(placed.job, withheld="nothing to say"))
        running.goes_on_for_minutes()
        assert running.account.held() == ()
        if not again:
            site.writes(rejected)
            running.goes_on_for_minutes()
    if again:
        site.writes(rejected)
        with site.running() as running:
            running.goes_on_for_minutes()
    assert [ready.instances for ready in site.of(StudyReady)] == [(FIRST, second), (FIRST,)]
