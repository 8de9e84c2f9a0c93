"""What an operator does beside a running service: retry, stop, resume, cancel, audit."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import generate_uid

from lightbox.domain.events import MissExpected, OperatorActed, Predicted
from lightbox.domain.result import Disposition, ListedReason
from lightbox.domain.standing import AuditState, JobState
from lightbox.domain.urgency import Urgency
from lightbox.ledger.timeline import LedgerReader
from lightbox.tools.archive import Archive
from site_of_tests import SAMPLES, Site, answered


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site with an archive of ours; a result that it refuses is a dead letter at once."""
    folder: Path = tmp_path_factory.mktemp("site")
    with Archive(folder / "archive") as archive:
        site = Site(folder, archive, "retries = 0\n[audit]\nmax_evaluations = 400\n")
        site.start()
        yield site
        site.service.stop()


def acted(site: Site) -> list[tuple[str, str]]:
    rows = LedgerReader(site.data / "ledger").since({})
    return [(r.event.action, r.event.subject) for r in rows if isinstance(r.event, OperatorActed)]


def ready(site: Site) -> dict[str, Any]:
    with urllib.request.urlopen(site.web + "/readyz", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def study_of(file: Path) -> str:
    return str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID)


def copy_of(file: Path, path: Path, noise: int = 0) -> Path:
    """Write the same image as a study of its own; with noise no audit of it is known."""
    image = pydicom.dcmread(file)
    if noise:
        image.PixelData = (image.pixel_array ^ noise).tobytes()
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(image, keyword, generate_uid())
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.save_as(path)
    return path


def stays(site: Site, seconds: float) -> None:
    """Check that for so long nobody evaluates, writes a result or delivers one."""

    def now() -> tuple[int, int, int]:
        done = LedgerReader(site.data / "ledger").last_sequences()["work"]
        values = sum(file.stat().st_size for file in (site.data / "jobs").iterdir())
        return done, values, len(site.held())

    before = now()
    with pytest.raises(AssertionError, match="not after"):
        site.until(lambda _: now() != before, seconds)


def test_dead_letters_go_out_again_when_the_archive_is_back(site: Site) -> None:
    assert isinstance(site.archive, Archive)
    site.archive.stop()
    assert site.send(SAMPLES[0], called="LIGHTBOX_STAT").returncode == 0
    site.until(
        lambda a: any(s.jobs and s.jobs[0].state is JobState.DEAD_LETTER for s in a.studies())
    )
    site.archive.start()
    done = site.lightbox("retry", "--all-failed")
    assert done.returncode == 0, done.stderr
    assert "archive" in done.stdout
    site.until(answered(1))
    assert ("retry", "all") in acted(site)
    proof = site.prove()
    assert proof.ok, proof.problems


def test_the_stop_switch_holds_everything_and_resume_lets_it_go_on(site: Site) -> None:
    assert site.send(SAMPLES[1]).returncode == 0
    site.until(lambda a: any(s.audit.state is AuditState.RUNNING for s in a.studies()), 90)
    assert site.lightbox("stop").returncode == 0
    assert site.send(SAMPLES[2], called="LIGHTBOX_STAT").returncode == 0
    stat = study_of(SAMPLES[2])
    site.until(lambda a: bool(a.study(stat).jobs))
    stays(site, 4.0)
    (job,) = site.until(lambda _: True).study(stat).jobs
    assert (job.state, job.prediction) == (JobState.PLACED, None)
    (flag,) = ready(site)["stopped"]
    assert flag["model"] == "all"
    assert site.lightbox("resume").returncode == 0
    site.until(answered(3))
    site.until(lambda a: all(s.audit.state is AuditState.DONE for s in a.studies()), 200)
    assert {("stop", "all"), ("resume", "all")} <= set(acted(site))
    proof = site.prove()
    assert proof.ok, proof.problems


def test_a_cancelled_study_is_listed_and_a_retry_brings_it_back(site: Site) -> None:
    assert site.lightbox("stop", "--model", "brain_tumour_mri").returncode == 0
    assert site.send(SAMPLES[3]).returncode == 0
    uid = study_of(SAMPLES[3])
    site.until(lambda a: bool(a.study(uid).jobs))
    done = site.lightbox("cancel", uid)
    assert done.returncode == 0, done.stderr
    account = site.until(
        lambda a: a.study(uid).instances[0].verdict.disposition is Disposition.LISTED
    )
    assert account.study(uid).instances[0].verdict.reason == ListedReason.CANCELLED
    assert site.lightbox("resume", "--model", "brain_tumour_mri").returncode == 0
    assert site.lightbox("retry", uid).returncode == 0
    site.until(answered(4))


def test_an_audit_by_another_method_is_placed_for_the_person_who_asks(site: Site) -> None:
    uid = site.studies()[0].study_instance_uid
    done = site.lightbox("audit", uid, "--method", "occlusion")
    assert done.returncode == 0, done.stderr
    site.until(
        lambda a: any(
            j.job.rule.startswith("requested by ") and j.state is JobState.DELIVERED
            for j in a.study(uid).jobs
        ),
        120,
    )
    again = site.lightbox("audit", uid, "--method", "occlusion")
    assert again.returncode == 1
    assert "is there already" in again.stderr


def test_the_console_acts_for_a_program_and_says_who_asked(site: Site) -> None:
    request = urllib.request.Request(
        site.web + "/api/actions/stop",
        data=b'{"subject": "brain_tumour_mri"}',
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["done"] is True
    (flag,) = ready(site)["stopped"]
    assert flag["by"] == "console at 127.0.0.1"
    assert site.lightbox("resume", "--model", "brain_tumour_mri").returncode == 0
    site.until(lambda _: acted(site).count(("resume", "brain_tumour_mri")) == 2)


def test_a_raised_study_overtakes_and_a_miss_is_foretold_while_all_is_stopped(site: Site) -> None:
    assert site.lightbox("stop").returncode == 0
    waiting = [copy_of(SAMPLES[5], site.folder / f"{number}.dcm") for number in range(4)]
    assert site.send(*waiting).returncode == 0
    uids = [study_of(file) for file in waiting]
    site.until(lambda a: all(a.study(uid).jobs for uid in uids))
    done = site.lightbox("urgency", uids[3], "stat")
    assert done.returncode == 0, done.stderr
    assert "ROUTINE to STAT" in done.stdout
    account = site.until(lambda a: a.study(uids[3]).expected is not None)
    raised = account.study(uids[3])
    assert raised.urgency == Urgency.STAT
    assert raised.rule.startswith("STAT by ")
    rows = LedgerReader(site.data / "ledger").timeline(uids[3])
    (foretold,) = [row for row in rows if isinstance(row.event, MissExpected)]
    assert foretold.at < raised.deadline
    listed = site.lightbox("studies").stdout
    assert "expected of" in next(line for line in listed.splitlines() if uids[3] in line)
    with urllib.request.urlopen(site.web + "/metrics", timeout=10) as answer:
        assert 'deadlines_at_risk{urgency="STAT"} 1.0' in answer.read().decode()
    # A person may change it back, and a program may ask too.
    request = urllib.request.Request(
        site.web + "/api/actions/urgency",
        data=json.dumps({"subject": uids[2], "urgency": "HIGH"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["done"] is True
    site.until(lambda a: a.study(uids[2]).urgency == Urgency.HIGH)
    assert site.lightbox("urgency", uids[2], "ROUTINE").returncode == 0
    site.until(lambda a: a.study(uids[2]).urgency == Urgency.ROUTINE)
    assert site.lightbox("resume").returncode == 0
    site.until(lambda a: all(a.study(uid).turnaround is not None for uid in uids))
    looked_at = [
        row.event.study
        for row in LedgerReader(site.data / "ledger").since({})
        if isinstance(row.event, Predicted) and row.event.study in uids
    ]
    assert looked_at.index(uids[3]) < 3  # two may be in hand already; it came last of four
    proof = site.prove()
    assert proof.ok, proof.problems


def test_a_stop_outlives_a_restart_and_its_end_lets_all_go_on(site: Site) -> None:
    assert site.lightbox("stop").returncode == 0
    assert site.send(SAMPLES[4], called="LIGHTBOX_STAT").returncode == 0
    uid = study_of(SAMPLES[4])
    site.until(lambda a: bool(a.study(uid).jobs))
    site.kill()
    site.start()
    stays(site, 3.0)
    assert site.lightbox("resume").returncode == 0
    site.until(lambda a: a.study(uid).turnaround is not None)
    proof = site.prove()
    assert proof.ok, proof.problems


@pytest.mark.slow
def test_the_stop_switch_works_while_the_ledger_of_control_cannot_be_written(site: Site) -> None:
    file = copy_of(SAMPLES[5], site.folder / "other.dcm", noise=1)
    assert site.send(file).returncode == 0
    uid = study_of(file)
    site.until(lambda a: a.study(uid).audit.state is AuditState.RUNNING, 200)
    done = acted(site).count(("stop", "all"))
    with closing(sqlite3.connect(site.data / "ledger" / "control.sqlite")) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        assert site.lightbox("stop").returncode == 0
        stays(site, 4.0)
        assert acted(site).count(("stop", "all")) == done
        lock.rollback()
    site.until(lambda _: acted(site).count(("stop", "all")) == done + 1)
    assert site.lightbox("resume").returncode == 0
    site.until(lambda a: a.study(uid).audit.state is AuditState.DONE, 200)


def test_without_a_service_a_retry_is_refused_in_one_line_and_stop_works(site: Site) -> None:
    assert site.service.stop() == 0
    refused = site.lightbox("retry", "--all-failed")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "no service" in refused.stderr
    assert site.lightbox("stop").returncode == 0
    assert (site.data / "stop" / "all").exists()
    assert site.lightbox("resume").returncode == 0
    assert site.lightbox("resume").returncode == 1
