"""Late, disordered and doubled images of a series, over an association that never ends (F14)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom.association import Association

from lightbox.deliver.connection import RequestingEntity
from lightbox.domain.account import Account
from lightbox.domain.events import InstanceListed, StudyReady
from lightbox.domain.jobs import JobPath
from lightbox.domain.result import Disposition, ListedReason
from lightbox.domain.standing import JobStanding, JobState
from lightbox.ledger.timeline import LedgerReader
from lightbox.tools.archive import Archive
from site_of_tests import SAMPLES, Site

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site that waits for three seconds where an association does not end."""
    folder: Path = tmp_path_factory.mktemp("site")
    with Archive(folder / "archive") as archive:
        audits = "[audit]\nmodalities = []\nsample = 0\nbelow_confidence = 0\n"
        site = Site(folder, archive, audits)
        text = site.config.read_text()
        site.config.write_text(text.replace("[studies]\n", '[studies]\nforce_after = "3s"\n'))
        site.start()
        yield site
        site.service.stop()


@pytest.fixture(scope="module")
def all_day(site: Site) -> Iterator[Association]:
    """An association that stays open, as some forwarders keep it."""
    caller = RequestingEntity("FORWARDER")
    caller.add_requested_context(MR_IMAGE, "1.2.840.10008.1.2.1")
    association = caller.associate("127.0.0.1", site.dicom_port, ae_title="LIGHTBOX")
    assert association.is_established
    yield association
    association.release()


class Series:
    """One series of a study of its own; slices are made from one sample."""

    def __init__(self, sample: Path) -> None:
        self._sample = sample
        self.study, self._series = generate_uid(), generate_uid()
        self._uids = [generate_uid() for _ in range(4)]

    def slice(self, number: int, comment: str = "") -> Dataset:
        image = pydicom.dcmread(self._sample)
        image.StudyInstanceUID, image.SeriesInstanceUID = self.study, self._series
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = self._uids[number]
        image.InstanceNumber = number
        image.ImageComments = comment
        return image

    def order(self, *numbers: int) -> list[str]:
        return [self._uids[number] for number in numbers]


def send(association: Association, image: Dataset) -> None:
    assert association.send_c_store(image).Status == 0


def jobs(account: Account, study: str) -> tuple[JobStanding, ...]:
    return tuple(j for j in account.study(study).jobs if j.job.path is JobPath.FAST)


def test_late_disordered_and_doubled_images_make_revisions_and_nothing_is_lost(
    site: Site, all_day: Association
) -> None:
    series = Series(SAMPLES[0])
    send(all_day, series.slice(3))
    send(all_day, series.slice(1))
    account = site.until(lambda a: a.study(series.study).turnaround is not None)
    (first,) = jobs(account, series.study)
    assert [i.sop_instance_uid for i in first.job.instances] == series.order(1, 3)
    assert first.job.revision == 1
    assert all_day.is_established

    send(all_day, series.slice(1))  # doubled: nothing comes of it
    send(all_day, series.slice(2))  # late
    account = site.until(
        lambda a: any(
            j.job.revision == 2 and j.state is JobState.DELIVERED for j in jobs(a, series.study)
        )
    )
    (second,) = jobs(account, series.study)
    assert [i.sop_instance_uid for i in second.job.instances] == series.order(1, 2, 3)
    assert second.job.supersedes == first.job.job_id
    superseded = account.job(first.job.job_id)
    assert superseded is not None
    assert superseded.is_superseded
    verdicts = [standing.verdict for standing in account.study(series.study).instances]
    assert [verdict.disposition for verdict in verdicts] == [Disposition.DELIVERED] * 3

    send(all_day, series.slice(2, comment="corrected"))  # other bytes under the same UID
    site.until(
        lambda a: any(
            j.job.revision == 3 and j.state is JobState.DELIVERED for j in jobs(a, series.study)
        )
    )
    rows = LedgerReader(site.data / "ledger").timeline(series.study)
    (conflict,) = [row.event for row in rows if isinstance(row.event, InstanceListed)]
    assert conflict.reason is ListedReason.CONFLICT
    assert conflict.sop_instance_uid == series.order(2)[0]
    units = [row.event for row in rows if isinstance(row.event, StudyReady)]
    assert [unit.revision for unit in units] == [1, 2, 3]
    proof = site.prove()
    assert proof.ok, proof.problems


def test_an_association_that_stays_open_stalls_no_other_study(
    site: Site, all_day: Association
) -> None:
    slow, quick = Series(SAMPLES[1]), Series(SAMPLES[2])
    send(all_day, slow.slice(1))
    path = site.folder / "quick.dcm"
    quick.slice(1).save_as(path)
    assert site.send(path, called="LIGHTBOX_STAT").returncode == 0
    account = site.until(lambda a: a.study(quick.study).turnaround is not None)
    assert account.study(quick.study).received_at > account.study(slow.study).received_at
    site.until(lambda a: a.study(slow.study).turnaround is not None)
    assert all_day.is_established
