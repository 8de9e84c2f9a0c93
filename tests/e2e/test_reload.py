"""A running service takes up rules, limits and destinations; nothing is restarted or dropped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from lightbox.app.clock import SystemClock
from lightbox.deliver.connection import RequestingEntity
from lightbox.domain.account import Account
from lightbox.domain.events import ConfigurationTaken, JobPlaced, ResultsWritten
from lightbox.domain.jobs import JobPath
from lightbox.domain.result import ResultKind
from lightbox.domain.standing import AuditState, JobStanding, JobState
from lightbox.ledger.timeline import LedgerReader
from lightbox.tools.archive import Archive
from lightbox.tools.orthanc import free_port
from site_of_tests import SAMPLES, Site

ROLES = ("receive", "control", "work")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site with an archive of ours; nothing is audited."""
    folder: Path = tmp_path_factory.mktemp("site")
    with Archive(folder / "archive") as archive:
        site = Site(folder, archive, "[audit]\nmodalities = []\nsample = 0\nbelow_confidence = 0\n")
        site.start()
        yield site
        site.service.stop()


def edit(site: Site, change: Callable[[str], str]) -> None:
    site.config.write_text(change(site.config.read_text()))


def taken(site: Site) -> list[ConfigurationTaken]:
    rows = LedgerReader(site.data / "ledger").since({})
    return [row.event for row in rows if isinstance(row.event, ConfigurationTaken)]


def refused(site: Site) -> int:
    return site.log.read_text().count("configuration was not taken up")


def study_of(file: Path) -> str:
    return str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID)


def has_results(file: Path) -> Callable[[Account], bool]:
    """True when the study of this file has its fast results in the archive."""
    return lambda account: account.study(study_of(file)).turnaround is not None


def placed(site: Site, file: Path) -> JobPlaced:
    rows = LedgerReader(site.data / "ledger").timeline(study_of(file))
    return next(row.event for row in rows if isinstance(row.event, JobPlaced))


def echo(site: Site, calling: str) -> str:
    """Return what DCMTK says to our answer."""
    names = ("-aet", calling, "-aec", "LIGHTBOX")
    done = subprocess.run(
        ["echoscu", "-v", *names, "127.0.0.1", str(site.dicom_port)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout + done.stderr


def test_every_process_takes_up_its_part_while_an_association_stays_open(site: Site) -> None:
    pids = [site.child(role) for role in ROLES]
    caller = RequestingEntity("STRANGER")
    caller.add_requested_context("1.2.840.10008.1.1")
    open_since_before = caller.associate("127.0.0.1", site.dicom_port, ae_title="LIGHTBOX")
    assert open_since_before.is_established
    with Archive(site.folder / "second") as second:
        rule = '[[rules]]\nname = "wards"\nwhen = { calling_ae = "^PACS$" }\nurgency = "HIGH"\n'
        other = f'[[destinations]]\nname = "second"\nae_title = "{second.ae_title}"\n'
        other += f"port = {second.dicom_port}\n"
        edit(
            site,
            lambda text: (
                text.replace("[dicom]\n", '[dicom]\naccept_calling = ["PACS"]\n') + rule + other
            ),
        )
        done = site.lightbox("config", "reload")
        assert done.returncode == 0, done.stderr
        assert "rules" in done.stdout
        assert "destinations" in done.stdout
        events = taken(site)
        assert sorted(event.role for event in events) == sorted(ROLES)
        assert len({(event.digest, event.by, event.at) for event in events}) == 1
        assert open_since_before.send_c_echo().Status == 0
        open_since_before.release()
        assert "Calling AE Title Not Recognized" in echo(site, "STRANGER")
        assert site.send(SAMPLES[0]).returncode == 0
        site.until(has_results(SAMPLES[0]))
        assert placed(site, SAMPLES[0]).job.rule == "rule wards"
        rows = LedgerReader(site.data / "ledger").timeline(study_of(SAMPLES[0]))
        (written,) = [row.event for row in rows if isinstance(row.event, ResultsWritten)]
        assert written.destinations == ("archive", "second")
        site.until(lambda _: len(second.instances()) == len(site.held()) > 0)
        edit(site, lambda text: text.replace(other, ""))
        assert site.lightbox("config", "reload").returncode == 0
    assert [site.child(role) for role in ROLES] == pids


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("[audit]\n[audit]\n", "twice"),
        ('[[rules]]\nname = "x"\nwhen = { Modalitty = "MR" }\nurgency = "STAT"\n', "Modality"),
        ('[[destinations]]\nname = "archive"\nae_title = "A"\n', "twice"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_and_the_old_one_stays(
    site: Site, wrong: str, words: str
) -> None:
    before, right = taken(site), site.config.read_text()
    edit(site, lambda text: text + wrong)
    try:
        done = site.lightbox("config", "reload")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert words in done.stderr
        assert "stays in force" in done.stderr
        control, refusals = site.child("control"), refused(site)
        os.kill(site.service.process.pid, signal.SIGHUP)
        site.until(lambda _: refused(site) == refusals + 1)
    finally:
        site.config.write_text(right)
    assert taken(site) == before
    assert site.child("control") == control
    assert site.send(SAMPLES[0]).returncode == 0


@pytest.mark.slow
def test_what_needs_a_restart_is_named_and_stays(site: Site) -> None:
    right = site.config.read_text()
    port = free_port()
    edit(site, lambda text: text.replace(f"port = {site.dicom_port}\n", f"port = {port}\n"))
    edit(site, lambda text: text + '[deadlines]\nHIGH = "15s"\n')
    try:
        done = site.lightbox("config", "reload")
        assert done.returncode == 0, done.stderr
        assert "in force now: deadlines.HIGH" in done.stdout
        assert "after a restart only: dicom.port" in done.stdout
        os.kill(site.child("receive"), signal.SIGKILL)
        site.until(lambda _: site.send(SAMPLES[1]).returncode == 0)
    finally:
        site.config.write_text(right)
    site.until(has_results(SAMPLES[1]))
    job = placed(site, SAMPLES[1]).job
    assert job.deadline - job.received_at == pytest.approx(15.0)


@pytest.mark.slow
def test_sighup_takes_the_file_up_and_the_ledger_says_so(site: Site) -> None:
    edit(site, lambda text: text + '[deadlines]\nHIGH = "20s"\n')
    os.kill(site.service.process.pid, signal.SIGHUP)
    site.until(lambda _: {e.role for e in taken(site) if e.by == "SIGHUP"} == set(ROLES))
    assert all("deadlines.HIGH" in e.changed for e in taken(site) if e.by == "SIGHUP")


@pytest.mark.slow
def test_results_that_wait_for_an_address_that_was_wrong_go_to_the_right_one(site: Site) -> None:
    archive = site.archive
    assert isinstance(archive, Archive)
    right = f"port = {archive.dicom_port}\n"
    wrong = f"port = {free_port()}\n"
    edit(site, lambda text: text.replace(right, wrong))
    assert site.lightbox("config", "reload").returncode == 0
    held = len(site.held())
    assert site.send(SAMPLES[2]).returncode == 0
    uid = study_of(SAMPLES[2])

    def is_delayed(account: Account) -> bool:
        return any(
            delivery.attempt > 0 and job.state is JobState.WRITTEN
            for job in account.study(uid).jobs
            for delivery in job.deliveries
        )

    site.until(is_delayed)
    assert len(site.held()) == held
    edit(site, lambda text: text.replace(wrong, right))
    assert site.lightbox("config", "reload").returncode == 0
    site.until(has_results(SAMPLES[2]))
    proof = site.prove()
    assert proof.ok, proof.problems


@pytest.mark.slow
def test_audits_wait_for_the_night_unless_somebody_asks(site: Site) -> None:
    now = datetime.fromtimestamp(SystemClock().now(), UTC).astimezone()
    night = f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M}"
    before = "[audit]\nmodalities = []\n"
    after = f'[audit]\nmodalities = ["MR"]\nmax_evaluations = 300\nwindow = "{night}"\n'
    edit(site, lambda text: text.replace(before, after))
    assert site.lightbox("config", "reload").returncode == 0
    assert site.send(SAMPLES[3]).returncode == 0
    uid = study_of(SAMPLES[3])
    site.until(lambda a: a.study(uid).audit.state is AuditState.WAITING)
    done = site.lightbox("audit", uid, "--method", "occlusion")
    assert done.returncode == 0, done.stderr

    def is_done(account: Account, method: str) -> bool:
        return any(
            job.job.method == method and job.state is JobState.DELIVERED
            for job in account.study(uid).jobs
        )

    account = site.until(lambda a: is_done(a, "occlusion"))
    assert not is_done(account, "shapley")
    (waiting,) = (job for job in account.study(uid).jobs if job.job.method == "shapley")
    assert (waiting.state, waiting.job.rule) == (JobState.PLACED, "modality MR")
    edit(site, lambda text: text.replace(f'window = "{night}"\n', ""))
    assert site.lightbox("config", "reload").returncode == 0
    site.until(lambda a: is_done(a, "shapley"), 120)


def copy_of(file: Path, folder: Path) -> Path:
    """Return the same image in a study of its own."""
    image = pydicom.dcmread(file)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(image, keyword, generate_uid())
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    path = folder / "copy.dcm"
    image.save_as(path)
    return path


@pytest.mark.slow
def test_an_audit_of_the_same_image_is_taken_and_makes_new_objects(site: Site) -> None:
    first = study_of(SAMPLES[3])
    audits = 'modalities = ["MR"]\nmax_evaluations = 300'
    edit(site, lambda text: text.replace("modalities = []", audits))
    assert site.lightbox("config", "reload").returncode == 0
    if not has_results(SAMPLES[3])(site.until(lambda _: True)):
        assert site.send(SAMPLES[3]).returncode == 0
    site.until(lambda a: a.study(first).audit.state is AuditState.DONE, 200)
    file = copy_of(SAMPLES[3], site.folder)
    second = study_of(file)
    assert site.send(file).returncode == 0
    account = site.until(lambda a: a.study(second).audit.state is AuditState.DONE, 120)

    def audit(study: str) -> JobStanding:
        return next(j for j in account.study(study).jobs if j.job.method == "shapley")

    one, other = audit(first), audit(second)
    assert one.record is not None
    assert other.record is not None
    assert (one.record.taken_from, other.record.taken_from) == ("", one.job.job_id)
    same = ("values", "v_empty", "v_full", "evaluations", "quality", "parameters")
    assert [getattr(one.record, name) for name in same] == [
        getattr(other.record, name) for name in same
    ]
    uids = {result.sop_instance_uid for job in (one, other) for result in job.results}
    assert len(uids) == len(one.results) + len(other.results) > 2
    made = pydicom.dcmread(site.data / other.results[0].path)
    assert made.StudyInstanceUID == second
    assert f"Values of the audit {one.job.job_id} of the same image" in made.ImageComments
    again = site.lightbox("replay", other.results[0].sop_instance_uid)
    assert again.returncode == 0, again.stdout + again.stderr
    with urllib.request.urlopen(site.web + "/metrics", timeout=10) as answer:
        counted = re.findall(
            r'model_evaluations_total\{.*path="audit"\} (\S+)', answer.read().decode()
        )
    spent = sum(
        job.record.evaluations
        for study in account.studies()
        for job in study.jobs
        if job.job.path is JobPath.AUDIT and job.record and not job.record.taken_from
    )
    assert float(counted[0]) == spent


@pytest.mark.slow
def test_what_is_sent_for_an_audit_says_so_in_the_ledger_and_in_the_result(site: Site) -> None:
    assert site.send(SAMPLES[4], called="LIGHTBOX_AUDIT").returncode == 0
    uid = study_of(SAMPLES[4])
    account = site.until(lambda a: a.study(uid).audit.state is AuditState.DONE, 200)
    (audit,) = (job for job in account.study(uid).jobs if job.job.path is JobPath.AUDIT)
    assert audit.job.rule == account.study(uid).audit.reason
    assert audit.job.rule.endswith("called AE LIGHTBOX_AUDIT")
    assert not audit.job.off_peak
    (picture,) = (r for r in audit.results if r.kind is ResultKind.SECONDARY_CAPTURE)
    made = pydicom.dcmread(site.data / picture.path)
    assert f"Audit: {audit.job.rule}" in made.ImageComments
