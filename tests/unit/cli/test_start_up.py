from __future__ import annotations

from pathlib import Path

import pytest

from lightbox.cli.start_up import show, summary
from lightbox.settings import Loaded, Settings

FACTS = {
    "dicom": "LIGHTBOX@127.0.0.1:11112",
    "web": "http://127.0.0.1:8080",
    "models": "brain_tumour_mri",
    "device": "cpu",
}


def said(folder: Path, **tables: object) -> dict[str, str]:
    settings = Settings.model_validate({"data_dir": str(folder), **tables})
    return dict(summary(Loaded(settings, "/etc/lightbox.toml", {}), FACTS, folder))


def test_an_administrator_reads_where_everything_is(tmp_path: Path) -> None:
    pacs = {"name": "pacs", "ae_title": "PACS", "host": "10.1.2.3", "commitment": True}
    lines = said(tmp_path, destinations=[pacs])
    assert lines["DICOM"] == "LIGHTBOX, LIGHTBOX_STAT, LIGHTBOX_AUDIT at 127.0.0.1:11112"
    assert lines["results to"] == "pacs (PACS@10.1.2.3:104, storage commitment)"
    assert lines["metrics"] == "http://127.0.0.1:8080/metrics"
    assert lines["data"].startswith(f"{tmp_path} (")
    assert "doctor" in lines["next"]


def test_without_a_destination_the_next_step_is_named(tmp_path: Path) -> None:
    lines = said(tmp_path)
    assert "[[destinations]]" in lines["results to"]
    assert "[[destinations]]" in lines["next"]


def test_a_pipe_gets_plain_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(list(said(tmp_path).items()))
    text = capsys.readouterr().err
    assert "\x1b" not in text
    assert all(line.startswith("  ") and ": " in line for line in text.splitlines())
