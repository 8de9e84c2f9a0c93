"""The archive is away under load: every result arrives once, in order, without anyone's hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID

from lightbox.domain.account import Account
from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    DeliveryRevived,
    Event,
    JobPlaced,
    OperatorActed,
    ResultsWritten,
)
from lightbox.domain.standing import JobState
from lightbox.ledger.timeline import LedgerReader
from site_of_tests import SAMPLES, Site, a_running_site, answered

NO_AUDITS = "[audit]\nmodalities = []\nsample = 0.0\nbelow_confidence = 0.0\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with a_running_site(tmp_path, f"connect_within = 2.0\n{NO_AUDITS}") as site:
        yield site


class Load:
    """Studies of their own, made of the samples: one after another, as long as it is wanted."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._site = site
        self._folder = folder
        self.sent = 0

    def send(self, count: int) -> None:
        for _ in range(count):
            self.sent += 1
            sample = pydicom.dcmread(SAMPLES[self.sent % len(SAMPLES)])
            uid = f"1.2.826.0.1.3680043.10.511.9.{self.sent}"
            sample.StudyInstanceUID, sample.SeriesInstanceUID = UID(f"{uid}.1"), UID(f"{uid}.2")
            sample.SOPInstanceUID = sample.file_meta.MediaStorageSOPInstanceUID = UID(f"{uid}.3")
            file = self._folder / f"{self.sent}.dcm"
            sample.save_as(file)
            assert self._site.send(file).returncode == 0

    def send_for(self, seconds: float, every: float) -> None:
        pause, until = threading.Event(), time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.monotonic()
            self.send(1)
            pause.wait(max(began + every - time.monotonic(), 0.0))


def events(site: Site) -> list[Event]:
    with closing(LedgerReader(site.data / "ledger")) as reader:
        return [row.event for row in reader.since({})]


def delayed(account: Account) -> bool:
    return any(
        delivery.retry_at
        for study in account.studies()
        for job in study.jobs
        for delivery in job.deliveries
    )


def written(count: int) -> Callable[[Account], bool]:
    """True when so many jobs have their results, delivered or not."""
    done = {JobState.WRITTEN, JobState.DELIVERED}
    return lambda account: (
        sum(job.state in done for study in account.studies() for job in study.jobs) >= count
    )


def on_the_way(site: Site) -> bool:
    """Say whether something is being made, or written and not yet delivered."""
    happened = events(site)
    made = {
        r.sop_instance_uid for e in happened if isinstance(e, ResultsWritten) for r in e.results
    }
    there = {e.sop_instance_uid for e in happened if isinstance(e, Delivered)}
    placed = {e.job.job_id for e in happened if isinstance(e, JobPlaced)}
    over = {e.job_id for e in happened if isinstance(e, ResultsWritten)}
    return bool(made - there or placed - over)


def everything_arrived_once_in_order_by_itself(site: Site) -> None:
    happened = events(site)
    written = [event for event in happened if isinstance(event, ResultsWritten)]
    arrived = [event.sop_instance_uid for event in happened if isinstance(event, Delivered)]
    wanted = [result.sop_instance_uid for event in written for result in event.results]
    assert len(wanted) >= 2 * len(written)
    assert len(arrived) == len(set(arrived)), "a result was counted twice"
    assert sorted(arrived) == sorted(wanted)
    assert sorted(site.held()) == sorted(wanted), "the archive holds other things"
    for event in written:
        of_study = [result.sop_instance_uid for result in event.results]
        assert [uid for uid in arrived if uid in set(of_study)] == of_study
    hands = [e for e in happened if isinstance(e, DeadLettered | DeliveryRevived | OperatorActed)]
    assert not hands
    proof = site.prove()
    assert proof.ok, proof.problems


def outage(site: Site, load: Load, away: Callable[[], None], patience: float) -> None:
    load.send(1)
    site.until(answered(1), 60)
    site.archive.stop()
    load.send(1)
    site.until(delayed, 60)
    away()
    site.until(written(load.sent), patience)  # what cannot be delivered holds no slot of the queue
    before = len([e for e in events(site) if isinstance(e, Delivered)])
    site.archive.start()
    load.send(1)
    site.until(answered(load.sent), patience)
    assert before < len([e for e in events(site) if isinstance(e, Delivered)])
    site.until(lambda _: not on_the_way(site), patience)  # audits end when they like
    everything_arrived_once_in_order_by_itself(site)


@pytest.mark.slow
def test_what_was_made_while_the_archive_was_away_arrives_once_and_in_order(
    site: Site, tmp_path: Path
) -> None:
    load = Load(site, tmp_path)
    outage(site, load, lambda: load.send(2), 60.0)
    assert load.sent == 5


@pytest.mark.slow
def test_after_three_minutes_under_load_everything_arrives_once_and_in_order(
    site: Site, tmp_path: Path
) -> None:
    load = Load(site, tmp_path)
    outage(site, load, lambda: load.send_for(180.0, 3.0), 300.0)
    assert load.sent > 20
    tries = [e for e in events(site) if isinstance(e, DeliveryDelayed)]
    assert len({e.sop_instance_uid for e in tries}) <= 2, "one result leads, the others wait"


@pytest.mark.slow
def test_the_same_where_the_service_is_killed_in_the_middle_of_the_outage(
    site: Site, tmp_path: Path
) -> None:
    load = Load(site, tmp_path)

    def killed() -> None:
        load.send_for(20.0, 3.0)
        site.kill()
        site.start()
        load.send_for(20.0, 3.0)

    outage(site, load, killed, 180.0)
