"""The benchmark of the ledger measures a ledger that proves, and every question of a page."""

from __future__ import annotations

from pathlib import Path

from lightbox.ledger.prove import prove
from lightbox.tools.bench.ledger import LedgerPlan, bench_ledger
from lightbox.tools.bench.long_ledger import DESTINATION, write_ledger


def test_every_question_gets_a_figure_and_the_ledger_proves(tmp_path: Path) -> None:
    cases = {case.name: case for case in bench_ledger(LedgerPlan(1000, 5, 2), tmp_path)}
    assert "proved" in cases["lightbox ledger prove"].note
    assert cases["start of control"].note.endswith("studies open")
    held = [name for name, case in cases.items() if case.peers]
    assert sum(name.startswith("console, ") for name in held) == 7
    assert "lightbox studies UID, p99" in held


def test_the_ledger_of_a_busy_site_has_every_end(tmp_path: Path) -> None:
    studies = write_ledger(tmp_path, 3000, 10, 1.79e9)
    proof = prove(tmp_path, (DESTINATION,))
    assert proof.ok
    assert 2800 < proof.rows < 3200
    assert proof.accepted == 3 * studies
    assert min(proof.delivered, proof.listed, proof.in_progress) > 0
