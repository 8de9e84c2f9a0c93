"""The files behind the rows: there, complete, and with the bytes that were received."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset

from builders import (
    DIGITAL_X_RAY,
    EXPLICIT_LITTLE,
    NOON,
    a_job,
    a_result,
    a_stored,
    a_uid,
    a_written,
    an_instance,
)
from fakes.clock import FakeClock
from lightbox.domain.events import FilesRemoved, InstanceListed, JobPlaced, RemovedFile
from lightbox.domain.result import ListedReason
from lightbox.domain.study import Instance
from lightbox.ledger.prove import Proof, check
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ledger.stored_files import data_set_offset


@pytest.fixture
def stored(tmp_path: Path) -> Instance:
    """An instance as it lies on disk and in the ledger."""
    dataset = Dataset()
    dataset.SOPClassUID = DIGITAL_X_RAY
    dataset.SOPInstanceUID = a_uid("sop")
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(EXPLICIT_LITTLE)
    path = tmp_path / "instances" / "a.dcm"
    path.parent.mkdir()
    dataset.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    offset = data_set_offset(path)
    assert offset is not None
    instance = replace(
        an_instance(sop=a_uid("sop"), path="instances/a.dcm"),
        sha256=sha256(content[offset:]).hexdigest(),
        size_bytes=len(content),
    )
    ledger = SqliteLedger(tmp_path / "ledger", "receive", FakeClock())
    ledger.record(a_stored(instance))
    ledger.close()
    return instance


def checked(root: Path, kept_since: float = 0.0) -> Proof:
    return check(root / "ledger", root, kept_since=kept_since)


def test_the_data_set_starts_where_pydicom_says(tmp_path: Path, stored: Instance) -> None:
    path = tmp_path / stored.path
    with path.open("rb") as stream:
        pydicom.filereader.read_preamble(stream, force=False)
        pydicom.filereader._read_file_meta_info(stream)
        assert data_set_offset(path) == stream.tell()


def test_a_file_as_received_passes(tmp_path: Path, stored: Instance) -> None:
    proof = checked(tmp_path)
    assert (proof.ok, proof.files) == (True, 1)


def test_one_flipped_bit_is_found(tmp_path: Path, stored: Instance) -> None:
    path = tmp_path / stored.path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (problem,) = checked(tmp_path).problems
    assert stored.sop_instance_uid in problem
    assert "bytes that were received" in problem


def test_a_cut_file_is_found(tmp_path: Path, stored: Instance) -> None:
    path = tmp_path / stored.path
    path.write_bytes(path.read_bytes()[:-3])
    assert "expected" in checked(tmp_path).problems[0]


def test_a_file_that_is_not_dicom_is_found(tmp_path: Path, stored: Instance) -> None:
    (tmp_path / stored.path).write_bytes(b"\0" * stored.size_bytes)
    assert "no DICOM file" in checked(tmp_path).problems[0]


def test_a_missing_file_of_pending_work_is_always_found(tmp_path: Path, stored: Instance) -> None:
    (tmp_path / stored.path).unlink()
    assert "is gone" in checked(tmp_path, kept_since=NOON + 1).problems[0]


def list_it(root: Path, instance: Instance, reason: ListedReason) -> None:
    ledger = SqliteLedger(root / "ledger", "control", FakeClock())
    ledger.record(
        InstanceListed(
            instance.study_instance_uid, instance.sop_instance_uid, instance.sha256, reason, ""
        )
    )
    ledger.close()


def test_a_settled_file_may_be_gone_after_its_retention_only(
    tmp_path: Path, stored: Instance
) -> None:
    list_it(tmp_path, stored, ListedReason.NO_MODEL)
    (tmp_path / stored.path).unlink()
    assert checked(tmp_path, kept_since=NOON + 1).ok
    assert not checked(tmp_path, kept_since=NOON - 1).ok


def test_a_file_that_the_ledger_says_was_removed_is_not_missed_and_every_other_is(
    tmp_path: Path, stored: Instance
) -> None:
    list_it(tmp_path, stored, ListedReason.NO_MODEL)
    (tmp_path / stored.path).unlink()
    assert "is gone" in checked(tmp_path).problems[0]
    ledger = SqliteLedger(tmp_path / "ledger", "control", FakeClock())
    study, other = stored.study_instance_uid, (RemovedFile("instances/b.dcm"),)
    ledger.record(FilesRemoved(study, 0, "retention", NOON, other))
    assert not checked(tmp_path).ok
    ledger.record(FilesRemoved(study, 1, "retention", NOON, (RemovedFile(stored.path),)))
    ledger.close()
    assert checked(tmp_path).ok


def test_a_torn_file_that_was_listed_is_no_problem(tmp_path: Path, stored: Instance) -> None:
    list_it(tmp_path, stored, ListedReason.TORN)
    (tmp_path / stored.path).write_bytes(b"")
    assert checked(tmp_path).ok


def test_a_changed_result_is_found(tmp_path: Path, stored: Instance) -> None:
    job = a_job(stored)
    ledger = SqliteLedger(tmp_path / "ledger", "work", FakeClock())
    ledger.record(JobPlaced(job), a_written(job))
    ledger.close()
    result = tmp_path / a_result(job).path
    result.parent.mkdir()
    result.write_bytes(b"something else")
    assert a_result(job).sop_instance_uid in checked(tmp_path).problems[0]
