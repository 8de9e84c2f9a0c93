"""The turnaround benchmark runs the real service and reads its real ledger and metrics."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pydicom
import pytest

from builders import NOON, a_job, a_prediction, an_instance
from lightbox.cli.main import run
from lightbox.domain.events import (
    Delivered,
    Event,
    JobPlaced,
    JobStarted,
    Predicted,
    Recorded,
)
from lightbox.domain.jobs import JobPath
from lightbox.domain.urgency import Urgency
from lightbox.tools.bench.load import moments, studies_of
from lightbox.tools.bench.tally import JobTimes, Tally
from lightbox.tools.bench.turnaround import FIRST_COME, WHOLE_AUDITS, Day, parsed
from lightbox.tools.demo.data import studies_in
from site_of_tests import MODELS, SAMPLES


def measured(tmp_path: Path, *arguments: str) -> dict[str, dict]:  # type: ignore[type-arg]  # JSON
    file = tmp_path / "turnaround.json"
    assert run(["bench", "turnaround", "--json", str(file), *arguments]) == 0
    return {case["name"]: case for case in json.loads(file.read_text())["cases"]}


@pytest.mark.slow
def test_studies_are_measured_from_the_last_byte_to_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTBOX__MODELS__PATH", str(MODELS))
    cases = measured(
        tmp_path, "--minutes", "0.08", "--peer-minutes", "0", "--stat", "30", "--backlog", "1"
    )
    assert cases["STAT turnaround, p99"]["peers"] == {"deadline": pytest.approx(2.0)}
    assert cases["STAT turnaround, p99"]["ours"] >= cases["STAT turnaround, p50"]["ours"] > 0
    assert 0 <= cases["STAT deadlines met"]["ours"] <= 1
    for stage in ("decode", "infer", "explain", "deliver"):
        assert cases[f"STAT stage {stage}, p50"]["ours"] > 0
    assert cases["preemption, longest at most"]["peers"]["bound"] > 0
    assert cases["idle time given to audits"]["ours"] >= 0
    assert cases["scheduling overhead, p50"]["ours"] > 0


@pytest.mark.slow
def test_the_others_meet_the_same_day_and_are_shown_as_ratios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTBOX__MODELS__PATH", str(MODELS))
    cases = measured(tmp_path, "--minutes", "0.3", "--peer-minutes", "0.3", "--stat", "20")
    for peer in (WHOLE_AUDITS, FIRST_COME):
        assert cases["STAT turnaround, p50"]["ratio"][peer] < 1


def test_the_same_seed_gives_the_same_day_and_its_rates() -> None:
    rates = {Urgency.STAT: 6.0, Urgency.ROUTINE: 60.0}
    day = moments(rates, 600.0, seed=4)
    assert day == moments(rates, 600.0, seed=4) != moments(rates, 600.0, seed=5)
    assert day == sorted(day)
    counts = {urgency: sum(u is urgency for _, u in day) for urgency in rates}
    assert 40 <= counts[Urgency.STAT] <= 80
    assert 530 <= counts[Urgency.ROUTINE] <= 670


def test_no_two_studies_have_the_same_pixels(tmp_path: Path) -> None:
    sources = studies_in(SAMPLES[:1])
    files = [file for file, _ in islice(studies_of(sources, tmp_path / "made", 1), 3)]
    first, *others = (pydicom.dcmread(file).pixel_array for file in files)
    for other in others:
        assert 0 < np.count_nonzero(first != other) <= 100


def test_a_job_that_is_not_in_the_archive_counts_with_the_time_so_far() -> None:
    tally, job = Tally(), a_job(an_instance("1"), received_at=NOON)
    study, job_id = job.study_instance_uid, job.job_id
    events: list[Event] = [
        JobPlaced(job),
        JobStarted(study, job_id),
        Predicted(study, job_id, a_prediction()),
    ]
    tally.take(Recorded("c", n, NOON + n, "", event) for n, event in enumerate(events, 1))
    tally.take([Recorded("c", 9, NOON + 9, "", Delivered(study, job_id, "1.2", "archive", 1))])
    (times,) = tally.of(JobPath.FAST)
    assert not times.is_met
    assert times.turnaround(NOON + 30) == 30
    assert tally.positions == {"c": 9}


def test_an_arrival_that_never_became_a_job_is_a_deadline_missed() -> None:
    times = JobTimes(a_job(an_instance("1"), received_at=NOON), placed=NOON, ended=NOON + 1)
    day = Day({Urgency.STAT: [times]}, NOON + 60, 1.0, 1.0, 0, (), {Urgency.STAT: 2})
    assert day.met(Urgency.STAT, times) == 0.5
    assert day.missing() == 1


def test_metrics_are_read_with_and_without_labels() -> None:
    text = '# HELP x y\nlightbox_dead_letters 0.0\nlightbox_a_bucket{le="+Inf",stage="wait"} 3.0\n'
    plain, labelled = parsed(text)
    assert (plain.name, plain.value, plain.labels) == ("dead_letters", 0.0, {})
    assert (labelled.name, labelled.value) == ("a_bucket", 3.0)
    assert labelled.labels == {"le": "+Inf", "stage": "wait"}
