"""One visible result, whatever happens to those who make it: real network, real files, real chain."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from pydicom import dcmread

from builders import NOON, an_arrival
from dicom_images import a_series
from lightbox.app import build
from lightbox.app.analysis import Analysis, Chances
from lightbox.app.clock import SystemClock
from lightbox.app.instance_file import instance_of
from lightbox.app.questions.intact import check_intact
from lightbox.app.turns import Brake
from lightbox.domain.account import Account
from lightbox.domain.errors import StoppingError
from lightbox.domain.events import (
    Delivered,
    InstanceStored,
    JobFailed,
    JobPlaced,
    Predicted,
    ResultsWritten,
)
from lightbox.domain.jobs import Job, JobPath, job_identity
from lightbox.domain.result import OF_SERIES, PICTURES, Disposition, ListedReason, ResultKind
from lightbox.domain.urgency import Urgency
from lightbox.explain.known.audits import KnownAudits
from lightbox.infer.packages import find
from lightbox.ledger.prove import prove
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.results.header.header_bytes import header_of
from lightbox.results.write import Write
from lightbox.schedule.worker import Worker
from lightbox.settings import ModelSettings, Settings
from lightbox.storage.files import Files
from lightbox.storage.folder import FolderStorage
from lightbox.tools.doors import Doors
from lightbox.tools.replay import replay
from site_of_tests import MODELS, SAMPLES


class Bench:
    """A worker on a data directory of its own, without queue and without other processes."""

    def __init__(
        self,
        root: Path,
        doors: Doors,
        *,
        notes: bool = False,
        asked: frozenset[ResultKind] = frozenset({ResultKind.KEY_OBJECT}),
    ) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.doors = doors
        digest = doors.package.sha256
        self.ledger = SqliteLedger(root / "ledger", "work", SystemClock())
        self.analysis = Analysis(
            ledger=self.ledger,
            turn=lambda *_: nullcontext(),
            chances=Chances(lambda _: None, lambda *_: StoppingError(), lambda _: nullcontext()),
            predict=self.doors.predict,
            attribute=self.doors.attribute,
            write=Write(
                build.writers(Settings().results, asked),
                FolderStorage(root, Files()),
            ),
            packages={digest: doors.package},
            runtimes={digest: doors.runtime},
            intact=partial(check_intact, root),
            headers=lambda path: header_of(root / path),
            values=root / "jobs",
            known=KnownAudits(FolderStorage(root / "jobs", Files()), root / "jobs", SystemClock()),
            chunks={digest: 32},
            destinations=("pacs",),
            notes=notes,
            woke=lambda: None,
        )

    def worker(self) -> Worker:
        return Worker(self.ledger, self.analysis.run, SystemClock())

    def receives(self, *samples: Path) -> tuple[InstanceStored, ...]:
        stored = []
        for sample in samples:
            path = Path(shutil.copyfile(sample, self.root / sample.name))
            stored.append(InstanceStored(instance_of(path), an_arrival()))
        self.ledger.record(*stored)
        return tuple(stored)

    def places(
        self,
        *stored: InstanceStored,
        revision: int = 1,
        supersedes: str = "",
        urgency: Urgency = Urgency.STAT,
    ) -> Job:
        package = self.doors.package
        units = tuple(each.instance for each in stored)
        job = Job(
            job_id=job_identity(JobPath.FAST, units, package.sha256, "grad_cam"),
            path=JobPath.FAST,
            study_instance_uid=units[0].study_instance_uid,
            series_instance_uid=units[0].series_instance_uid,
            instances=units,
            model=package.name,
            model_sha256=package.sha256,
            method="grad_cam",
            urgency=urgency,
            rule="test",
            received_at=NOON,
            placed_at=NOON + 0.1,
            deadline=NOON + 2,
            revision=revision,
            supersedes=supersedes,
            modality="MR",
        )
        self.ledger.record(JobPlaced(job))
        return job

    def events(self, kind: type) -> list:  # type: ignore[type-arg]  # of that kind
        return [row.event for row in self.ledger.since({}) if isinstance(row.event, kind)]


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    (loaded,) = find(MODELS, ("brain_tumour_mri",)).packages
    with Doors(Settings(), loaded) as opened:
        yield opened


@pytest.fixture
def bench(tmp_path: Path, doors: Doors) -> Iterator[Bench]:
    one = Bench(tmp_path, doors)
    yield one
    one.ledger.close()


def test_two_workers_with_one_job_make_one_result(bench: Bench) -> None:
    job = bench.places(*bench.receives(SAMPLES[0]))
    together = threading.Barrier(2)
    original = bench.analysis.run

    def run_together(job: Job, step: object) -> None:
        together.wait(30)
        original(job, step)  # type: ignore[arg-type]  # unused

    bench.analysis.run = run_together  # type: ignore[method-assign, assignment]  # both begin before either ends
    threads = [
        threading.Thread(target=bench.worker().handle, args=(job.job_id, None)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    (written,) = bench.events(ResultsWritten)
    assert bench.events(JobFailed) == []
    assert len(written.results) == 3
    files = sorted(path for path in (bench.root / "results").rglob("*.dcm"))
    assert {str(path.relative_to(bench.root)) for path in files} == {
        result.path for result in written.results
    }
    for result in written.results:
        data = (bench.root / result.path).read_bytes()
        assert sha256(data).hexdigest() == result.sha256, "what is sent is what was recorded"
    assert prove(bench.root / "ledger", ("pacs",)).ok


def test_a_job_that_is_done_is_not_done_again(bench: Bench) -> None:
    job = bench.places(*bench.receives(SAMPLES[0]))
    bench.worker().handle(job.job_id, None)  # type: ignore[arg-type]  # unused
    before = [row.digest for row in bench.ledger.since({})]
    bench.worker().handle(job.job_id, None)  # type: ignore[arg-type]  # unused
    assert [row.digest for row in bench.ledger.since({})] == before


def test_a_job_that_is_cancelled_while_its_results_are_encoded_sends_none(bench: Bench) -> None:
    job = bench.places(*bench.receives(SAMPLES[0]))
    cancelled = JobFailed(job.study_instance_uid, job.job_id, ListedReason.CANCELLED, "anna")
    brake = Brake(bench.ledger, bench.root, SystemClock())
    original = bench.analysis._write.write

    def write_while_anna_cancels(*arguments: object) -> object:
        results = original(*arguments)  # type: ignore[arg-type]  # as they came
        bench.ledger.record(cancelled)
        return results

    bench.analysis._chances = replace(bench.analysis._chances, check=brake.check)
    bench.analysis._write.write = write_while_anna_cancels  # type: ignore[method-assign, assignment]  # real, and slow
    bench.worker().handle(job.job_id, None)  # type: ignore[arg-type]  # unused
    assert bench.events(JobFailed) == [cancelled]
    assert bench.events(ResultsWritten) == []


def test_a_file_that_changed_after_its_acknowledgement_is_never_analysed(bench: Bench) -> None:
    (stored,) = bench.receives(SAMPLES[0])
    job = bench.places(stored)
    path = bench.root / stored.instance.path
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    bench.worker().handle(job.job_id, None)  # type: ignore[arg-type]  # unused
    (failed,) = bench.events(JobFailed)
    assert failed.reason is ListedReason.UNREADABLE
    assert "changed on disk since it was acknowledged" in failed.detail
    assert bench.events(Predicted) == []
    assert bench.events(ResultsWritten) == []


def test_a_late_image_makes_a_result_that_names_and_rejects_the_one_before(bench: Bench) -> None:
    one, two = bench.receives(*SAMPLES[:2])
    first = bench.places(one)
    bench.worker().handle(first.job_id, None)  # type: ignore[arg-type]  # unused
    second = bench.places(one, two, revision=2, supersedes=first.job_id)
    bench.worker().handle(second.job_id, None)  # type: ignore[arg-type]  # unused
    before, after = bench.events(ResultsWritten)
    made = {r.kind: dcmread(bench.root / r.path) for r in after.results}
    old = {r.kind: r.sop_instance_uid for r in before.results}
    assert ResultKind.KEY_OBJECT not in old
    picture, report = made[ResultKind.SECONDARY_CAPTURE], made[ResultKind.STRUCTURED_REPORT]
    named = {item.ReferencedSOPInstanceUID for item in picture.ReferencedImageSequence}
    assert old[ResultKind.SECONDARY_CAPTURE] in named
    (study,) = report.PredecessorDocumentsSequence
    named = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert named == old[ResultKind.STRUCTURED_REPORT]
    assert "(1 image); now" in picture.ImageComments
    assert "(2 images)" in picture.ImageComments
    assert ResultKind.KEY_OBJECT in made


def a_blank(root: Path) -> Path:
    """Return a sample in whose pixels there is nothing."""
    header = dcmread(SAMPLES[0])
    header.PixelData = bytes(len(header.PixelData))
    path = root / "sent" / "blank.dcm"
    path.parent.mkdir()
    header.save_as(path)
    return path


def test_a_study_that_is_refused_is_listed(bench: Bench, tmp_path: Path) -> None:
    job = bench.places(*bench.receives(a_blank(tmp_path)))
    bench.worker().handle(job.job_id, None)  # type: ignore[arg-type]  # unused
    (failed,) = bench.events(JobFailed)
    assert failed.reason is ListedReason.NOT_APPLICABLE
    assert bench.events(ResultsWritten) == []


def test_a_study_that_is_refused_gets_a_note_where_the_site_wants_one(
    tmp_path: Path, doors: Doors
) -> None:
    bench = Bench(tmp_path / "site", doors, notes=True)
    job = bench.places(*bench.receives(a_blank(tmp_path)))
    bench.worker().handle(job.job_id, None)  # type: ignore[arg-type]  # unused
    (written,) = bench.events(ResultsWritten)
    assert bench.events(JobFailed) == []
    (result,) = written.results
    made = dcmread(bench.root / result.path)
    assert made.SeriesDescription == "AI NOT ANALYSED note"
    assert made.PatientID == dcmread(SAMPLES[0]).PatientID
    assert "Nothing can be concluded from that" in made.ImageComments
    account = Account(("pacs",))
    delivered = Delivered(job.study_instance_uid, job.job_id, result.sop_instance_uid, "pacs", 1)
    bench.ledger.record(delivered)
    for row in bench.ledger.since({}):
        account.apply(row)
    (standing,) = account.instances()
    assert standing.verdict.disposition is Disposition.LISTED, "a note is no result"
    assert standing.verdict.detail == written.withheld
    bench.ledger.close()


def test_a_damaged_file_gets_no_note_nobody_knows_whose_it_is(tmp_path: Path, doors: Doors) -> None:
    bench = Bench(tmp_path, doors, notes=True)
    (stored,) = bench.receives(SAMPLES[0])
    job = bench.places(stored)
    path = Path(stored.instance.path)
    path.write_bytes(path.read_bytes()[:-2] + b"xx")
    bench.worker().handle(job.job_id, None)  # type: ignore[arg-type]  # unused
    assert len(bench.events(JobFailed)) == 1
    assert bench.events(ResultsWritten) == []
    bench.ledger.close()


def sources_in(file: Path) -> list[str]:
    """SOP Instance UIDs of the images that a picture says it shows."""
    return [str(item.ReferencedSOPInstanceUID) for item in dcmread(file).SourceImageSequence]


@pytest.fixture
def asked_for_slices(tmp_path: Path, doors: Doors) -> Iterator[Bench]:
    """A worker whose destination asks for mosaics, further slices and rejection notes."""
    one = Bench(tmp_path / "data", doors, asked=OF_SERIES | {ResultKind.KEY_OBJECT})
    yield one
    one.ledger.close()


def test_a_series_gets_its_mosaic_and_each_slice_of_it_a_picture(
    asked_for_slices: Bench, tmp_path: Path
) -> None:
    bench, worker = asked_for_slices, asked_for_slices.worker()
    gliomas = [file for file in SAMPLES if "glioma_axial" in file.name]
    files = a_series(tmp_path / "sent", gliomas, 5)
    stored = bench.receives(*files)
    first = bench.places(*stored[:4], urgency=Urgency.HIGH)
    worker.handle(first.job_id, None)  # type: ignore[arg-type]  # unused
    (written,) = bench.events(ResultsWritten)
    pictures = [result for result in written.results if result.kind in PICTURES]
    (mosaic,) = (result for result in pictures if result.kind is ResultKind.MOSAIC)
    alone = [sources_in(bench.root / r.path) for r in pictures if r.kind is not ResultKind.MOSAIC]
    shown = sources_in(bench.root / mosaic.path)
    assert len(shown) == len(alone) == 2
    assert sorted(shown) == sorted(uid for (uid,) in alone)
    settings = Settings(data_dir=str(bench.root), models=ModelSettings(path=str(MODELS)))
    for result in pictures:
        assert replay(settings, result.sop_instance_uid).is_identical, result.kind
    second = bench.places(*stored, revision=2, supersedes=first.job_id, urgency=Urgency.HIGH)
    worker.handle(second.job_id, None)  # type: ignore[arg-type]  # unused
    _, later = bench.events(ResultsWritten)
    (note,) = (result for result in later.results if result.kind is ResultKind.KEY_OBJECT)
    (study,) = dcmread(bench.root / note.path).CurrentRequestedProcedureEvidenceSequence
    rejected = {
        str(item.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert {result.sop_instance_uid for result in pictures} <= rejected
    assert prove(bench.root / "ledger", ("pacs",)).ok


def test_the_picture_of_an_emergency_waits_for_no_other_slices(
    asked_for_slices: Bench, tmp_path: Path
) -> None:
    bench = asked_for_slices
    gliomas = [file for file in SAMPLES if "glioma_axial" in file.name]
    stored = bench.receives(*a_series(tmp_path / "sent", gliomas, 4))
    job = bench.places(*stored, urgency=Urgency.STAT)
    bench.worker().handle(job.job_id, None)  # type: ignore[arg-type]  # unused
    (written,) = bench.events(ResultsWritten)
    kinds = [result.kind for result in written.results]
    assert kinds.count(ResultKind.SECONDARY_CAPTURE) == 1
    assert not OF_SERIES & set(kinds)
