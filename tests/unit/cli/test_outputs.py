from __future__ import annotations

from pathlib import Path

import pytest

from lightbox.cli.demo import _fresh
from lightbox.cli.outputs import folder, writable
from lightbox.domain.errors import UsageError


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "run" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("keep")
    with pytest.raises(UsageError, match="was not made by a demo"):
        _fresh(tmp_path / "run")
    assert mine.read_text() == "keep"


def test_what_an_earlier_demo_made_goes(tmp_path: Path) -> None:
    (tmp_path / "run" / "archive").mkdir(parents=True)
    (tmp_path / "run" / "lightbox.toml").touch()
    assert list(_fresh(tmp_path / "run").iterdir()) == []


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    writable(None)
    writable(tmp_path / "answer.json")
    with pytest.raises(UsageError, match="does not exist"):
        writable(tmp_path / "nowhere" / "answer.json")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"Not a directory|exists"):
        folder(tmp_path / "file" / "below")
