"""Benchmarks run, small, and answer in the form that is promised; how fast is not tested here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lightbox.cli.main import run
from site_of_tests import MODELS


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTBOX__MODELS__PATH", str(MODELS))
    monkeypatch.setenv("LIGHTBOX__MODELS__ENABLED", '["brain_tumour_mri"]')


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
        assert cases[f"prediction with Grad-CAM, batch {batch}"]["peers"].keys() == {"bare"}
        logits = cases[f"logits against the bare graph, batch {batch}"]
        assert logits["ours"] == 0
        assert logits["note"] == "bit-equal"


def test_audit_measures_cost_and_number_of_evaluations(tmp_path: Path) -> None:
    cases = bench(
        tmp_path, "audit", "--rounds", "2", "--images", "1", "--seeds", "2", "--grid", "3", "2"
    )
    assert "bare" in cases["cost of an evaluation"]["peers"]
    for goal in ("2%", "1%"):
        assert 0 < cases[f"evaluations to {goal} error, 6 regions"]["ours"] <= 64
