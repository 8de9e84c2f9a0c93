"""The turnaround benchmark runs the real service and reads its real metrics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lightbox.cli.main import run
from lightbox.tools.bench_turnaround import parsed
from site_of_tests import MODELS


def test_emergencies_are_measured_from_the_last_byte_to_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTBOX__MODELS__PATH", str(MODELS))
    file = tmp_path / "turnaround.json"
    assert (
        run(["bench", "turnaround", "--arrivals", "2", "--backlog", "1", "--json", str(file)]) == 0
    )
    cases = {case["name"]: case for case in json.loads(file.read_text())["cases"]}
    assert cases["STAT turnaround, p99"]["peers"] == {"deadline": 2.0}
    assert cases["STAT turnaround, p99"]["ours"] >= cases["STAT turnaround, p50"]["ours"] > 0
    assert 0 <= cases["STAT deadlines met"]["ours"] <= 2
    for stage in ("decode", "infer", "explain", "deliver"):
        assert cases[f"STAT stage {stage}, mean"]["ours"] > 0
    assert cases["preemption, longest at most"]["ours"] >= 0


def test_metrics_are_read_with_and_without_labels() -> None:
    text = '# HELP x y\nlightbox_dead_letters 0.0\nlightbox_a_bucket{le="+Inf",stage="wait"} 3.0\n'
    plain, labelled = parsed(text)
    assert (plain.name, plain.value, plain.labels) == ("dead_letters", 0.0, {})
    assert (labelled.name, labelled.value) == ("a_bucket", 3.0)
    assert labelled.labels == {"le": "+Inf", "stage": "wait"}
