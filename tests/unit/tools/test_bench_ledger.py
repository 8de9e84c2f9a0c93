"""The ledger that benchmarks read is one that proves."""

from __future__ import annotations

from pathlib import Path

from lightbox.ledger.prove import prove
from lightbox.tools.bench.long_ledger import DESTINATION, write_ledger


def test_the_ledger_of_a_busy_site_has_every_end(tmp_path: Path) -> None:
    studies = write_ledger(tmp_path, 3000, 10, 1.79e9)
    proof = prove(tmp_path, (DESTINATION,))
    assert proof.ok
    assert 2800 < proof.rows < 3200
    assert proof.accepted == 3 * studies
    assert min(proof.delivered, proof.listed, proof.in_progress) > 0
