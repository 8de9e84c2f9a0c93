"""Settings are shown with their meaning and where they come from; secrets never."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightbox.console.facts.configured import configured
from lightbox.console.facts.token import AUTO, FILE, token_of
from lightbox.console.sources import Setting
from lightbox.settings import read
from lightbox.storage.files import Files

CONFIG = """
data_dir = "data"
[web]
token = "do not show"
[deadlines]
STAT = "3s"
[[destinations]]
name = "pacs"
ae_title = "PACS"
[[rules]]
name = "ed"
when = { StationName = "^ED" }
urgency = "STAT"
"""


@pytest.fixture
def shown(tmp_path: Path) -> dict[str, Setting]:
    file = tmp_path / "lightbox.toml"
    file.write_text(CONFIG)
    loaded = read(str(file), {"LIGHTBOX__DICOM__PORT": "4711"})
    return {each.key: each for each in configured(loaded)}


def test_each_key_says_where_its_value_comes_from(shown: dict[str, Setting]) -> None:
    assert shown["dicom.port"].source == "LIGHTBOX__DICOM__PORT"
    assert shown["deadlines.STAT"].source.endswith("lightbox.toml")
    assert shown["destinations[0].ae_title"].source.endswith("lightbox.toml")
    assert shown["deadlines.HIGH"].source == "default"


def test_values_are_written_as_in_the_file(shown: dict[str, Setting]) -> None:
    assert shown["deadlines.STAT"].value == "3s"
    assert shown["storage.reserve"].value == "5GB"
    assert shown["dicom.insecure"].value == "false"
    assert shown["dicom.accept_calling"].value == "(none)"
    assert shown["rules[0].when"].value == "StationName = ^ED"


def test_each_key_says_what_it_means(shown: dict[str, Setting]) -> None:
    assert shown["dicom.ae_title"].meaning.startswith("Our AE title")
    assert "``" not in "".join(each.meaning for each in shown.values())


def test_no_secret_is_among_them(shown: dict[str, Setting]) -> None:
    assert "do not show" not in str(shown)
    assert not [key for key in shown if "token" in key]


def test_a_token_is_made_once_where_it_is_to_be_made(tmp_path: Path) -> None:
    made = token_of(AUTO, tmp_path, Files())
    assert len(made) == 64
    assert token_of(AUTO, tmp_path, Files()) == made
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert token_of("mine", tmp_path, Files()) == "mine"
    assert token_of("", tmp_path, Files()) == ""
