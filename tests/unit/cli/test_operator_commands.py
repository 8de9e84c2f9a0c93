"""The commands of an operator: what they refuse, and what they do without a service."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from lightbox.cli.asking import who
from lightbox.cli.main import run

MODELS = Path(__file__).parents[3] / "models"


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "lightbox.toml"
    file.write_text(f'data_dir = "{tmp_path / "data"}"\n[models]\npath = "{MODELS}"\n')
    return str(file)


@pytest.mark.parametrize(
    "arguments",
    [["retry", "--all-failed"], ["cancel", "1.2.3"], ["audit", "1.2.3"], ["erase", "1.2", "--yes"]],
)
def test_without_a_service_one_line_says_so(
    config: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["-c", config, *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no service runs here" in line


@pytest.mark.parametrize(
    "arguments", [["retry"], ["retry", "1.2.3", "--all-failed"], ["cancel"], ["erase", "1.2"]]
)
def test_an_unclear_request_is_wrong_use(config: str, arguments: list[str]) -> None:
    assert run(["-c", config, *arguments]) == 2


def test_the_stop_switch_needs_no_service(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["-c", config, "stop"]) == 0
    assert "the next one starts stopped" in capsys.readouterr().out
    assert (tmp_path / "data" / "stop" / "all").exists()
    assert run(["-c", config, "stop", "--model", "brain_tumour_mri"]) == 0
    assert run(["-c", config, "resume"]) == 0
    assert "still stopped: brain_tumour_mri" in capsys.readouterr().out
    assert run(["-c", config, "resume", "--model", "brain_tumour_mri"]) == 0
    assert run(["-c", config, "resume"]) == 1


def test_a_misspelt_model_is_refused_with_the_right_name(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["-c", config, "stop", "--model", "brain_tumor_mri"]) == 2
    assert "did you mean brain_tumour_mri?" in capsys.readouterr().err
    assert not (tmp_path / "data" / "stop").exists()


def test_who_asks_is_the_user_of_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("LOGNAME", "somebody else")
    assert who() == pwd.getpwuid(os.getuid()).pw_name
