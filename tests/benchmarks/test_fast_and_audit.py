"""Benchmarks run, small, and answer in the form that is promised; how fast is not tested here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lightbox.app.clock import SystemClock
from lightbox.cli.main import run
from lightbox.tools.bench.report import Case, as_json
from site_of_tests import MODELS


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTBOX__MODELS__PATH", str(MODELS))
    monkeypatch.setenv("LIGHTBOX__MODELS__ENABLED", '["brain_tumour_mri"]')
    monkeypatch.setenv("LIGHTBOX__AUDIT__MAX_EVALUATIONS", "100")


def bench(tmp_path: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    file = tmp_path / "bench.json"
    assert run(["bench", *arguments, "--json", str(file)]) == 0
    answer = json.loads(file.read_text())
    assert answer["machine"]
    assert answer["date"].endswith("Z")
    for case in answer["cases"]:
        assert {"name", "ours", "peers", "unit", "ratio"} <= case.keys()
        for name, ratio in case["ratio"].items():
            assert ratio == pytest.approx(case["ours"] / case["peers"][name])
    return {case["name"]: case for case in answer["cases"]}


def test_fast_measures_against_the_bare_pass_and_its_logits_are_bit_equal(tmp_path: Path) -> None:
    cases = bench(tmp_path, "fast", "--rounds", "3")
    for batch in (1, 8):
        assert "bare" in cases[f"prediction with Grad-CAM, batch {batch}"]["peers"]
        logits = cases[f"logits against the bare graph, batch {batch}"]
        assert logits["ours"] == 0
        assert logits["note"] == "bit-equal"


def test_audit_measures_cost_evaluations_and_intervals(tmp_path: Path) -> None:
    small = ("--rounds", "2", "--images", "1", "--seeds", "2", "--games", "2", "--largest", "128")
    cases = bench(tmp_path, "audit", *small, "--grid", "3", "2", "--keep", str(tmp_path / "kept"))
    assert "bare" in cases["cost of an evaluation, 6 regions"]["peers"]
    for goal in ("2%", "1%"):
        found = cases[f"evaluations to {goal} error, 6 regions"]
        assert 0 < found["ours"] <= 64
        assert "paired regression, ours" in found["peers"]
    assert 0.5 < cases["coverage of 95 % intervals at 130 evaluations"]["ours"] <= 1
    kept = {file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()}
    assert len(kept) == 2  # values of the image, traces of the estimators

    counts = (*small, "--grid", "3", "2", "--keep", str(tmp_path / "kept"), "--only", "counts")
    again = bench(tmp_path, "audit", *counts)
    assert {file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()} == kept
    assert again == {name: cases[name] for name in again}
    assert cases.keys() - again.keys() == {
        "cost of an evaluation, 6 regions",
        "cost of an evaluation, 6 regions, in int8",
        "the default audit of an image, longest",
    }


def test_costs_are_measured_alone_in_a_quiet_minute(tmp_path: Path) -> None:
    small = ("--rounds", "1", "--images", "1", "--grid", "3", "2")
    cases = bench(tmp_path, "audit", "--only", "cost", *small)
    cost, int8, whole = cases
    assert cost == "cost of an evaluation, 6 regions"
    assert int8 == "cost of an evaluation, 6 regions, in int8"
    assert "bare" in cases[int8]["peers"]
    assert whole == "the default audit of an image, longest"
    assert "at most" in cases[whole]["note"]
    assert 0 < cases[whole]["ours"] < cases[whole]["peers"]["goal"]


def test_what_was_measured_is_appended_to_a_log(tmp_path: Path) -> None:
    case = Case("turns", 2.0, "s", {"theirs": 4.0}, note="quiet")
    answer = as_json([case], SystemClock())
    (tmp_path / "night.json").write_text(json.dumps(answer))
    log = tmp_path / "log.md"
    log.write_text("# Log\n\n")
    for _ in range(2):
        assert run(["bench", "log", str(log), str(tmp_path / "night.json")]) == 0
    text = log.read_text()
    assert text.startswith("# Log\n\n## night, ")
    assert text.count("| turns | 2 | s | theirs 4 (0.50) | quiet |") == 2
    assert answer["machine"] in text


@pytest.mark.parametrize("swapped", ["# Log\n", "[]", "{}"])
def test_a_log_is_not_written_where_the_arguments_are_swapped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], swapped: str
) -> None:
    answer, log = tmp_path / "night.json", tmp_path / "log.md"
    answer.write_text(json.dumps(as_json([Case("turns", 2.0, "s")], SystemClock())))
    log.write_text(swapped)
    before = answer.read_bytes()
    assert run(["bench", "log", str(answer), str(log)]) == 2
    assert "log.md: is no answer of a benchmark" in capsys.readouterr().err
    assert answer.read_bytes() == before
