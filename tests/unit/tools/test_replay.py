"""What the ledger tells of a result, what must still be there, and what counts as the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builders import (
    NOON,
    a_job,
    a_placed_job,
    a_predicted,
    a_written,
    an_attribution_record,
    an_instance,
)
from fakes.clock import FakeClock
from lightbox.domain.errors import LedgerError, ModelPackageError, NotApplicableError
from lightbox.domain.events import (
    Attributed,
    Event,
    FilesRemoved,
    JobPlaced,
    RemovedFile,
    ServiceMarked,
)
from lightbox.domain.jobs import JobPath
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ledger.timeline import LedgerReader
from lightbox.receive.stored_file import data_set_sha256, file_meta
from lightbox.settings import Settings
from lightbox.tools.past_result import (
    PastResult,
    changed_sources,
    object_now,
    past_result,
    same_package,
)
from lightbox.tools.replay import TOLERANCE, Verdict, _as_then, _differences, _moved, _verdict

INSTANCE = an_instance()
FAST = a_job(INSTANCE)
AUDIT = a_job(INSTANCE, path=JobPath.AUDIT)
RECORD = an_attribution_record()


def a_ledger(folder: Path, *events: Event) -> LedgerReader:
    ledger = SqliteLedger(folder, "work", FakeClock(NOON))
    ledger.record(*events)
    ledger.close()
    return LedgerReader(folder)


def the_story(version: str = "7.1") -> tuple[Event, ...]:
    return (
        ServiceMarked("work", "started", version, NOON),
        JobPlaced(FAST),
        a_predicted(FAST),
        Attributed(FAST.study_instance_uid, FAST.job_id, RECORD),
        a_written(FAST),
        JobPlaced(AUDIT),
        Attributed(AUDIT.study_instance_uid, AUDIT.job_id, replace(RECORD, method="shapley")),
        a_written(AUDIT),
        ServiceMarked("work", "started", "8.0", NOON + 1),
    )


def uid_of(job_written: Event) -> str:
    return job_written.results[0].sop_instance_uid  # type: ignore[union-attr]  # a ResultsWritten


def test_a_result_is_found_with_its_job_and_the_version_that_made_it(tmp_path: Path) -> None:
    past = past_result(a_ledger(tmp_path, *the_story()), uid_of(a_written(FAST)))
    assert past.job == FAST
    assert past.record == RECORD
    assert past.version == "7.1"


def test_an_audit_explains_the_prediction_of_the_fast_path(tmp_path: Path) -> None:
    past = past_result(a_ledger(tmp_path, *the_story()), uid_of(a_written(AUDIT)))
    assert past.job == AUDIT
    assert past.record.method == "shapley"
    assert past.prediction == a_predicted(FAST).prediction


@pytest.mark.parametrize("uid", ["1.2.3", "", "no uid", "1.2.840.%"])
def test_what_is_not_in_the_ledger_is_said_to_be_none(tmp_path: Path, uid: str) -> None:
    with pytest.raises(NotApplicableError, match="is not in this ledger"):
        past_result(a_ledger(tmp_path, *the_story()), uid)


def test_a_ledger_that_lost_a_part_of_the_story_says_which(tmp_path: Path) -> None:
    reader = a_ledger(tmp_path, a_placed_job(INSTANCE), a_written(FAST))
    with pytest.raises(LedgerError, match="predicted:"):
        past_result(reader, uid_of(a_written(FAST)))


def test_a_source_that_is_gone_or_has_other_bytes_is_named(tmp_path: Path) -> None:
    meta = file_meta("1.2", "1.3", "1.2.840.10008.1.2.1", "PACS")
    (tmp_path / "whole.dcm").write_bytes(meta + b"data set")
    (tmp_path / "other.dcm").write_bytes(meta + b"other set")
    (tmp_path / "text.dcm").write_bytes(b"a letter")
    digest = data_set_sha256(tmp_path / "whole.dcm")
    assert digest is not None
    sources = [
        replace(an_instance(name), path=f"{name}.dcm", sha256=digest)
        for name in ("whole", "other", "gone", "text", "old")
    ]
    old = FilesRemoved("1.2", 0, "retention", NOON, (RemovedFile("old.dcm"),))
    removed = {"old.dcm": old}
    other, gone, text, by_retention = changed_sources(a_job(*sources), tmp_path, removed)
    assert "was removed by retention on " in by_retention
    assert "other bytes" in other
    assert digest in other
    assert "is gone" in gone
    assert "no DICOM file of ours" in text


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelPackageError, match="chest_xray"):
        same_package(FAST, tmp_path, tmp_path / "data")


def test_the_stored_object_is_as_recorded_changed_or_gone(tmp_path: Path) -> None:
    result = a_written(FAST).results[0]
    assert object_now(result, tmp_path) == "gone"
    path = tmp_path / result.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    assert object_now(result, tmp_path) == "changed"


def a_past() -> PastResult:
    return PastResult(
        a_written(FAST).results[0], FAST, a_predicted(FAST).prediction, RECORD, NOON, ""
    )


Change = Callable[[float], float]


@pytest.mark.parametrize(
    ("change", "same", "verdict"),
    [
        (lambda x: x, True, Verdict.IDENTICAL),
        (lambda x: x, False, Verdict.SAME_NUMBERS),
        (lambda x: x + TOLERANCE / 2, False, Verdict.WITHIN_TOLERANCE),
        (lambda x: x + TOLERANCE / 2, True, Verdict.WITHIN_TOLERANCE),
        (lambda x: x + TOLERANCE * 2, False, Verdict.DIFFERENT),
    ],
)
def test_the_verdict_is_of_bits_first_then_of_the_tolerance(
    change: Change, same: bool, verdict: Verdict
) -> None:
    past = a_past()
    scores = {name: change(score) for name, score in past.prediction.scores.items()}
    found = tuple(_differences(past, scores, RECORD))
    largest = max((one.size for one in found), default=0.0)
    assert _verdict(found, largest, same=same) is verdict


def test_a_number_that_is_missing_is_infinitely_far_away() -> None:
    past = a_past()
    found = tuple(_differences(past, {}, RECORD))
    assert {one.name for one in found} == {f"score {name}" for name in past.prediction.scores}
    assert all(one.size == float("inf") for one in found)


def test_times_are_no_difference() -> None:
    past = a_past()
    later = replace(RECORD, seconds=RECORD.seconds + 1)
    assert not tuple(_differences(past, past.prediction.scores, later))


def test_what_decides_the_last_bits_is_as_it_was() -> None:
    record = replace(
        RECORD,
        parameters={"tolerance": "0.05", "max_evaluations": "600", "interactions": "pairs"},
        arithmetic={"engine": "onnxruntime 1", "device": "cpu", "threads": "3", "batch": "5"},
    )
    then = _as_then(Settings(), record)
    assert (then.audit.tolerance, then.audit.max_evaluations) == (0.05, 600)
    assert then.audit.interactions
    assert (then.worker.device, then.worker.threads, then.worker.max_batch) == ("cpu", 3, 5)


def test_a_device_that_may_be_gone_is_not_demanded_and_an_older_record_changes_nothing() -> None:
    gone = replace(RECORD, arithmetic={"device": "cuda", "threads": "2"})
    assert _as_then(Settings(), gone).worker.device == Settings().worker.device
    assert _as_then(Settings(), RECORD).worker == Settings().worker


def test_what_is_not_as_it_was_is_named_with_then_and_now() -> None:
    then = {"engine": "onnxruntime 1", "threads": "2", "coalitions": "ab"}
    now = {"engine": "onnxruntime 2", "threads": "2", "coalitions": "ab", "batch": "16"}
    assert _moved(then, now) == {"engine": ("onnxruntime 1", "onnxruntime 2")}
    assert _moved({}, now) == {}


def test_the_contrast_and_the_interactions_are_compared_too() -> None:
    past = a_past()
    found = tuple(
        _differences(
            past, past.prediction.scores, replace(RECORD, contrast=(0.5,), interactions=(0.1,))
        )
    )
    assert {one.name for one in found} == {"contrast 0", "interaction 0"}
