"""What a page says of a study whose files have gone."""

from __future__ import annotations

from pathlib import Path

from lightbox.console.facts.studies import as_it_is


def test_a_picture_that_was_removed_is_not_offered(tmp_path: Path) -> None:
    there, gone = tmp_path / "a.dcm", tmp_path / "b.dcm"
    there.write_bytes(b"picture")
    picture = "/api/results/1.2/preview.png"
    results = [
        {"file": str(there), "preview": picture},
        {"file": str(gone), "preview": picture},
        {"file": str(there), "preview": None},
    ]
    shown = as_it_is({"urgency": "STAT", "results": results})
    assert shown["urgency"] == "STAT"
    found = shown["results"]
    assert isinstance(found, list)
    assert [each["preview"] for each in found] == [picture, None, None]
