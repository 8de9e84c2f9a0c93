"""Fifty audits wait, then an emergency comes (F27); the worker is killed in that moment (F20)."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pydicom
import pytest

from lightbox.domain.account import Account
from lightbox.domain.jobs import JobPath
from lightbox.domain.standing import AuditState, JobStanding, JobState, StudyStanding
from lightbox.tools.bench.load import studies_of
from lightbox.tools.demo.data import studies_in
from lightbox.tools.orthanc import Orthanc, is_installed
from site_of_tests import SAMPLES, Site, answered

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_installed(), reason="Orthanc is not installed"),
]

AUDITS = 50
BUDGET = 2.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site where fifty audits wait and one runs."""
    folder: Path = tmp_path_factory.mktemp("site")
    files = [f for f, _ in islice(studies_of(studies_in(SAMPLES), folder / "made", 1), AUDITS)]
    with Orthanc(folder / "archive") as archive:
        site = Site(folder, archive)
        site.start()
        assert site.send(*files).returncode == 0
        site.until(answered(AUDITS), 300)
        yield site
        site.service.stop()


def audit_under_way(site: Site) -> JobStanding:
    account = site.until(lambda a: bool(running(a)), 60)
    return running(account)[0]


def running(account: Account) -> list[JobStanding]:
    jobs = [job for study in account.studies() for job in study.jobs]
    return [j for j in jobs if j.job.path is JobPath.AUDIT and j.state is JobState.STARTED]


def study(account: Account, uid: str) -> StudyStanding:
    return account.study(uid)


def stat(site: Site, sample: Path) -> str:
    assert site.send(sample, called="LIGHTBOX_STAT").returncode == 0
    return str(pydicom.dcmread(sample, specific_tags=["StudyInstanceUID"]).StudyInstanceUID)


def ends(site: Site, audit: JobStanding) -> JobStanding:
    """Wait until this audit is in the archive.

    Of fifty the one with the earliest deadline runs, so that after a crash it is the first again.
    """
    job_id = audit.job.job_id

    def ended(account: Account) -> bool:
        found = account.job(job_id)
        return found is not None and found.state.is_end

    found = site.until(ended, 900).job(job_id)
    assert found is not None
    assert found.state is JobState.DELIVERED, found
    return found


def is_identical_to_an_undisturbed_run(site: Site, audit: JobStanding) -> bool:
    picture = next(r for r in audit.results if r.kind == "sc")
    done = site.lightbox("replay", picture.sop_instance_uid, "--fresh")
    assert done.returncode == 0, done.stdout + done.stderr
    return "identical" in done.stdout


def test_images_that_arrived_together_shared_passes(site: Site) -> None:
    with urllib.request.urlopen(site.web + "/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    images, passes = (
        float(
            next(line for line in lines if line.startswith(f"lightbox_batch_size_{what}")).split()[
                -1
            ]
        )
        for what in ("sum", "count")
    )
    assert images > passes > 0


def test_the_emergency_is_there_in_time_and_the_audit_goes_on_to_the_same_values(
    site: Site,
) -> None:
    audit = audit_under_way(site)
    uid = stat(site, SAMPLES[0])
    account = site.until(lambda a: study(a, uid).turnaround is not None, 60)
    standing = study(account, uid)
    held = set(site.held())
    fast = [r.result for r in standing.results if r.path is JobPath.FAST]
    assert {r.kind.value for r in fast} >= {"sc", "seg"}
    assert {r.sop_instance_uid for r in fast} <= held
    assert is_identical_to_an_undisturbed_run(site, ends(site, audit))
    assert standing.turnaround is not None
    assert standing.turnaround < BUDGET


def test_a_worker_killed_in_that_moment_costs_neither_of_them_anything_but_time(
    site: Site,
) -> None:
    audit = audit_under_way(site)
    uid = stat(site, SAMPLES[1])
    os.kill(site.child("work"), signal.SIGKILL)
    site.until(lambda a: study(a, uid).turnaround is not None, 120)
    ended = ends(site, audit)
    held = Counter(site.held())
    assert max(held.values()) == 1
    results = [r.sop_instance_uid for r in ended.results]
    assert set(results) <= set(held)
    assert is_identical_to_an_undisturbed_run(site, ended)
    assert site.prove().ok


def test_a_worker_that_is_stopped_for_a_while_publishes_nothing_twice(site: Site) -> None:
    work = site.child("work")
    audit = audit_under_way(site)
    os.kill(work, signal.SIGSTOP)
    uid = stat(site, SAMPLES[2])  # accepted all the same
    threading.Event().wait(3.0)  # what is tested is that time passes
    os.kill(work, signal.SIGCONT)
    site.until(lambda a: study(a, uid).turnaround is not None, 120)
    ends(site, audit)
    assert max(Counter(site.held()).values()) == 1
    assert site.prove().ok


def test_a_locked_queue_keeps_no_sender_waiting(site: Site) -> None:
    with closing(sqlite3.connect(site.data / "queue.sqlite")) as database:
        database.execute("BEGIN EXCLUSIVE")
        uid = stat(site, SAMPLES[3])  # answered within storescu's patience
        assert study(site.until(lambda _: True), uid).turnaround is None
        database.rollback()
    site.until(lambda a: study(a, uid).turnaround is not None, 120)


def test_the_queue_knows_no_patient_no_study_and_no_pixel(site: Site) -> None:
    account = site.until(lambda _: True)
    with closing(sqlite3.connect(site.data / "queue.sqlite")) as database:
        tables = [
            n for (n,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        stored = [
            cell
            for table in tables
            for row in database.execute(f'SELECT * FROM "{table}"')
            for cell in row
        ]
    assert len(tables) > 5
    texts = [str(cell) for cell in stored]
    assert max(len(text) for text in texts) < 2000  # nothing that could be a picture
    dump = "\n".join(texts)
    dataset = pydicom.dcmread(SAMPLES[0], stop_before_pixels=True)
    for absent in (str(dataset.PatientName), str(dataset.PatientID)):
        assert absent
        assert absent not in dump
    for known in account.studies():
        assert known.study_instance_uid not in dump
        assert not any(i.instance.sop_instance_uid in dump for i in known.instances)
    assert not any(s.audit.state is AuditState.FAILED for s in account.studies())
