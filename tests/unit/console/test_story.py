"""Why a study was late, told from its events alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import NOON, a_job, a_result, a_uid, an_instance
from busy_console import (
    DEAD,
    KINDS,
    LATE,
    OPEN,
    OVERDUE,
    STRANGE,
    BusyConsole,
    analysed,
    busy_console,
)
from lightbox.console.sources import Record
from lightbox.console.story import Story, story_of
from lightbox.domain.events import Delivered, JobFailed, JobRetried
from lightbox.domain.result import ListedReason


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BusyConsole]:
    with closing(busy_console(tmp_path_factory.mktemp("data"))) as console:
        yield console


def told(console: BusyConsole, uid: str) -> Story:
    study = console.sources().study(uid)
    assert study is not None
    return story_of(study, console.now)


def test_a_late_study_says_by_how_much_and_what_took_longest(console: BusyConsole) -> None:
    story = told(console, LATE.study_instance_uid)
    assert story.is_late
    assert story.verdict == (
        "Late by 12.2 s: 14.2 s where 2 s were allowed; the longest part was delivery (13.7 s)."
    )
    assert story.causes == ("pacs: connection refused (is it up?)",)
    assert story.seconds == pytest.approx(14.2)
    assert [stage.name for stage in story.stages if stage.is_longest] == ["delivery"]


def test_stages_follow_one_another_without_a_gap(console: BusyConsole) -> None:
    story = told(console, LATE.study_instance_uid)
    ends = [stage.began + stage.seconds for stage in story.stages]
    begins = [stage.began for stage in story.stages]
    assert begins == pytest.approx([0.0, *ends[:-1]])


def test_what_was_given_up_says_so(console: BusyConsole) -> None:
    story = told(console, DEAD.study_instance_uid)
    assert story.is_late
    assert story.verdict.startswith("The deadline of 10 s was missed: it was given up")
    assert any("0xA700" in cause for cause in story.causes)


def test_an_open_study_says_where_it_is(console: BusyConsole) -> None:
    story = told(console, OPEN.study_instance_uid)
    assert not story.is_late
    assert story.verdict == "Open for 50 s of 5 min, now in waiting for the device."


def test_an_open_study_whose_deadline_has_passed_is_overdue(console: BusyConsole) -> None:
    story = told(console, OVERDUE.study_instance_uid)
    assert story.is_late
    assert story.verdict.startswith("Overdue by 4 min 50 s, now in the explanation")


def test_a_study_in_time_says_so(console: BusyConsole) -> None:
    assert told(console, a_uid("busy", "1")).verdict == "In time: 0.7 s of 5 min."


def test_a_study_without_a_job_has_no_story(console: BusyConsole) -> None:
    assert told(console, STRANGE) == Story(
        is_late=False, verdict="", causes=(), stages=(), allowed=0.0
    )


def test_a_failure_on_the_way_is_a_cause(tmp_path: Path) -> None:
    console = BusyConsole(tmp_path)
    job = replace(a_job(an_instance("1"), received_at=NOON), deadline=NOON + 5)
    study, at = job.study_instance_uid, job.received_at
    events = analysed(job)
    failed = JobFailed(study, job.job_id, ListedReason.FAILED, "no memory was left")
    console.take(*events[:3], (at + 3, failed), (at + 9, JobRetried(study, job.job_id, 2, "anna")))
    late = [(at + 10, event) for _, event in events[3:]]
    uids = [a_result(job, kind).sop_instance_uid for kind in KINDS]
    sent = [(at + 11, Delivered(study, job.job_id, uid, "pacs", 1)) for uid in uids]
    console.take(*late, *sent)
    story = told(console, study)
    console.close()
    assert story.is_late
    assert "the job failed: no memory was left" in story.causes
    assert "the model" in story.verdict


@pytest.mark.parametrize("study", [{}, {"events": None}, {"events": []}, {"deadline_s": None}])
def test_a_study_without_events_has_no_story(study: Mapping[str, Any]) -> None:
    record: Record = study
    assert story_of(record, NOON).stages == ()
