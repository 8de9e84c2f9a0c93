"""``lightbox bench ledger``: every page of a service with a long ledger gets a figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightbox.tools.bench.ledger import LedgerPlan, bench_ledger
from site_of_tests import MODELS


@pytest.mark.slow
def test_start_pages_and_proof_get_a_figure_and_the_ledger_proves(tmp_path: Path) -> None:
    plan = LedgerPlan(rows=1000, open_studies=5, questions=2, pages=1)
    cases = {case.name: case for case in bench_ledger(plan, MODELS, tmp_path)}
    assert "proved" in cases["lightbox ledger prove"].note
    assert cases["start of control"].note.endswith("studies open")
    held = [name for name, case in cases.items() if case.peers]
    assert sum(name.startswith("page /") for name in held) == 16
    assert {"lightbox studies UID, p99", "page /metrics, p95", "page /studies/UID, p95"} <= set(
        held
    )
