"""Patients change: rejection notes and corrected names, over the wire, with a real service."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from builders import MR_IMAGE, a_key_object
from lightbox.deliver.connection import RequestingEntity
from lightbox.domain.events import (
    Event,
    InstanceListed,
    JobFailed,
    JobPlaced,
    JobStarted,
    ResultsWritten,
)
from lightbox.domain.jobs import JobPath
from lightbox.domain.patient import PatientChanged
from lightbox.domain.rejection import KEY_OBJECT_SELECTION, ImagesRejected
from lightbox.domain.result import Disposition, ListedReason
from lightbox.ledger.timeline import LedgerReader
from lightbox.tools.archive import Archive
from site_of_tests import SAMPLES, Site

OLD, NEW = "Test^Before", "Test^Corrected"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("site")
    with Archive(folder / "archive") as archive:
        audits = "[audit]\nmodalities = []\nsample = 0\nbelow_confidence = 0\ntolerance = 1e-9\n"
        site = Site(folder, archive, audits)
        site.start()
        yield site
        site.service.stop()


class Study:
    """One series of a study of its own; slices are made from samples."""

    def __init__(self) -> None:
        self.uid, self._series = generate_uid(), generate_uid()
        self.images: list[str] = []

    def slice(self, name: str = OLD, *, uid: str = "") -> Dataset:
        image = pydicom.dcmread(SAMPLES[0])
        image.StudyInstanceUID, image.SeriesInstanceUID = self.uid, self._series
        image.SOPInstanceUID = uid or generate_uid()
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.InstanceNumber = len(self.images) + 1
        image.PatientName, image.PatientID = name, "4711"
        self.images.append(image.SOPInstanceUID)
        return image


def send(site: Site, *objects: Dataset) -> None:
    """Send over one association, as a modality or an image manager does."""
    caller = RequestingEntity("IMAGE_MANAGER")
    caller.add_requested_context(MR_IMAGE, "1.2.840.10008.1.2.1")
    caller.add_requested_context(KEY_OBJECT_SELECTION, "1.2.840.10008.1.2.1")
    association = caller.associate("127.0.0.1", site.dicom_port, ae_title="LIGHTBOX")
    assert association.is_established
    for each in objects:
        assert association.send_c_store(each).Status == 0
    association.release()


def until(site: Site, study: Study, done: Callable[[list[Event]], bool]) -> list[Event]:
    """Wait until the study's rows say so; return its events."""
    reader = LedgerReader(site.data / "ledger")
    found: list[Event] = []

    def look(_: object) -> bool:
        found[:] = [row.event for row in reader.timeline(study.uid)]
        return done(found)

    try:
        site.until(look)
    finally:
        reader.close()
    return found


def delivered(site: Site, study: Study, revision: int = 1) -> None:
    site.until(
        lambda account: any(
            job.job.revision == revision and job.turnaround is not None
            for job in account.study(study.uid).jobs
        )
    )


def test_a_note_that_comes_while_an_audit_runs_stops_it_and_is_told_everywhere(
    site: Site,
) -> None:
    study = Study()
    send(site, study.slice())
    delivered(site, study)
    assert site.lightbox("audit", study.uid).returncode == 0
    until(
        site,
        study,
        lambda events: any(
            isinstance(e, JobStarted) and e.job_id in audits_of(events) for e in events
        ),
    )
    note = a_key_object({study.uid: study.images}, "113037")
    send(site, note)
    events = until(site, study, lambda events: any(isinstance(e, JobFailed) for e in events))
    (failed,) = [e for e in events if isinstance(e, JobFailed)]
    assert failed.job_id in audits_of(events)
    assert failed.reason is ListedReason.REJECTED
    (rejected,) = [e for e in events if isinstance(e, ImagesRejected)]
    assert rejected.by == "IMAGE_MANAGER"
    told = site.lightbox("studies", study.uid)
    assert "images_rejected" in told.stdout
    listed = {e.sop_instance_uid: e.reason for e in events if isinstance(e, InstanceListed)}
    assert listed[str(note.SOPInstanceUID)] is ListedReason.NO_MODEL
    # The next study's result arrives: the worker is free, and nothing came of the audit.
    other = Study()
    send(site, other.slice())
    delivered(site, other)
    events = until(site, study, lambda _: True)
    written = [e.job_id for e in events if isinstance(e, ResultsWritten)]
    assert not set(written) & audits_of(events)
    assert OLD not in site.log.read_text()
    assert site.prove().ok


def audits_of(events: list[Event]) -> set[str]:
    return {
        e.job.job_id for e in events if isinstance(e, JobPlaced) and e.job.path is JobPath.AUDIT
    }


def test_a_series_goes_on_without_a_rejected_image_and_its_result_replaces_the_old_one(
    site: Site,
) -> None:
    study = Study()
    send(site, study.slice(), study.slice())
    delivered(site, study)
    send(site, a_key_object({study.uid: study.images[:1]}, "113001"))
    delivered(site, study, revision=2)
    account = site.until(lambda _: True)
    (newest,) = account.study(study.uid).jobs
    assert [i.sop_instance_uid for i in newest.job.instances] == study.images[1:]
    assert newest.job.supersedes
    send(site, study.slice(uid=study.images[0]))  # the rejected one comes again, otherwise
    events = until(
        site,
        study,
        lambda events: (
            [
                e.sop_instance_uid
                for e in events
                if isinstance(e, InstanceListed) and e.reason is ListedReason.REJECTED
            ].count(study.images[0])
            == 2
        ),
    )
    assert sum(isinstance(e, JobPlaced) for e in events) == 2
    assert site.prove().ok


def test_results_of_a_corrected_study_carry_the_corrected_patient(site: Site) -> None:
    study = Study()
    send(site, study.slice(OLD), study.slice(OLD))
    delivered(site, study)
    before = set(site.held())
    send(site, study.slice(NEW))
    delivered(site, study, revision=2)
    events = until(site, study, lambda _: True)
    (change,) = [e for e in events if isinstance(e, PatientChanged)]
    assert change.attributes == ("PatientName",)
    assert "patient_changed" in site.lightbox("studies", study.uid).stdout
    files = [site.archive.file(uid) for uid in set(site.held()) - before]
    names = {str(pydicom.dcmread(io.BytesIO(file)).PatientName) for file in files}
    assert names == {NEW}
    for name in (OLD, NEW):
        assert name not in site.log.read_text()
        assert name.encode() not in b"".join(
            path.read_bytes() for path in (site.data / "ledger").iterdir() if path.is_file()
        )
    standing = site.until(lambda _: True).study(study.uid)
    assert {i.verdict.disposition for i in standing.instances} == {Disposition.DELIVERED}
    result = next(j for j in standing.jobs if j.job.revision == 2).results[0]
    assert site.lightbox("replay", result.sop_instance_uid).returncode == 0
