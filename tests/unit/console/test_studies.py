"""What a page says of a study whose files have gone."""

from __future__ import annotations

from pathlib import Path

from lightbox.console.facts.studies import as_it_is


def test_a_picture_that_was_removed_is_not_offered(tmp_path: Path) -> None:
    there, gone = tmp_path / "a.png", tmp_path / "b.png"
    there.write_bytes(b"png")
    names = [str(there), str(gone), None]
    study = {"urgency": "STAT", "results": [{"kind": "sc", "preview": name} for name in names]}
    shown = as_it_is(study)
    assert shown["urgency"] == "STAT"
    assert shown["results"] == [
        {"kind": "sc", "preview": str(there)},
        {"kind": "sc", "preview": None},
        {"kind": "sc", "preview": None},
    ]
