"""The command's frame: exit codes, one line for every error, options on either side."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from lightbox.cli import main
from lightbox.cli.examples import EXAMPLES
from lightbox.cli.invocation import Invocation
from lightbox.cli.main import COMMANDS, LazyGroup, run
from lightbox.domain.errors import DeliveryError, LightboxError


def broken(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every subcommand raise this error."""

    @click.command()
    @click.pass_obj
    def fails(_invocation: Invocation) -> None:
        raise error

    def get_command(_self: LazyGroup, _context: click.Context, _name: str) -> click.Command:
        return main._with_shared_options(fails)

    monkeypatch.setattr(LazyGroup, "get_command", get_command)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["config", "--help"]])
def test_help_is_no_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    assert capsys.readouterr().out


def test_help_names_every_command_without_importing_one() -> None:
    code = (
        "import sys; from lightbox.cli.main import run; run(['--help']);"
        "heavy = {'rich', 'pydicom', 'numpy', 'sqlalchemy', 'onnxruntime', 'fastapi'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_has_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "--config" in text
    assert "Example" in text


def every_command() -> list[list[str]]:
    """Return the words of each command, those below others too."""
    context, words = click.Context(main.lightbox), []
    for name in COMMANDS:
        command = main.lightbox.get_command(context, name)
        below = list(command.commands) if isinstance(command, click.Group) else []
        words += [[name], *([name, each] for each in below)]
    return words


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_help_is_a_manual_page(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What it does, its options, what it exits with, and an example that names it."""
    assert run([*words, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Options:" in text
    example = text.partition("Example")[2]
    assert "lightbox " in example
    if len(words) == 2:
        assert " ".join(words) in example
    if "Commands:" not in text:
        assert re.search(r"[Ee]xits? ([012]|130)\b", text), "what it exits with"


def test_the_first_page_says_exit_codes_files_and_environment(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for words in ("Exit codes: 0", "Files:", "/var/lib/lightbox", "LIGHTBOX__DICOM__PORT"):
        assert words in text


def test_no_example_is_of_a_command_that_is_gone() -> None:
    assert {" ".join(words) for words in every_command()} >= set(EXAMPLES)


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["config", "nonsense"], ["config", "check", "--nonsense"], ["rules", "test"]],
)
def test_wrong_use_is_one_line_and_exit_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--help" in error


def test_a_wrong_configuration_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[dicmo]\n")
    assert run(["-c", str(file), "config", "check"]) == 2
    error = capsys.readouterr().err
    assert error == f"lightbox: {file}: dicmo: is not a known key (did you mean dicom?)\n"


def test_the_configuration_may_stand_before_or_after_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[dicom]\nport = 1040\n")
    for arguments in (
        ["-c", str(file), "config", "check", "--json"],
        ["config", "-c", str(file), "check", "--json"],
        ["config", "check", "-c", str(file), "--json"],
    ):
        assert run(arguments) == 0
        shown = json.loads(capsys.readouterr().out)
        assert {"key": "dicom.port", "value": 1040, "source": str(file)} in shown["settings"]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (DeliveryError("pacs", "does not answer", "start it"), 1, "pacs: does not answer (start"),
        (LightboxError("a\nb", "c"), 1, "a b: c"),
        (ZeroDivisionError("by zero"), 1, "ZeroDivisionError: by zero (a fault of ours: --debug"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_is_one_line_without_a_traceback(
    error: BaseException,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken(error, monkeypatch)
    assert run(["serve"]) == code
    said = capsys.readouterr().err
    assert said.strip().count("\n") == 0
    assert f"lightbox: {words}" in said


@pytest.mark.parametrize("arguments", [["--debug", "serve"], ["serve", "--debug"]])
def test_debug_shows_the_traceback(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(ZeroDivisionError("by zero"), monkeypatch)
    assert run(arguments) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_not_an_error_message() -> None:
    command = f"{sys.executable} -m lightbox config schema | head -c 10"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=30
    )
    assert len(done.stdout) == 10
    assert not done.stderr


def test_the_example_is_what_stands_in_deploy(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "example"]) == 0
    path = Path(__file__).parents[3] / "deploy" / "lightbox.example.toml"
    assert capsys.readouterr().out == path.read_text()


def test_the_example_shows_every_key_with_its_default() -> None:
    from lightbox.cli.config import example_text
    from lightbox.settings import Settings

    text = example_text()
    assert Settings.model_validate(tomllib.loads(text)) == Settings()
    spoken = "\n".join(
        line[1:] if line.startswith("#") and not line.startswith(("# ", "#  ")) else line
        for line in text.splitlines()
    )
    settings = Settings.model_validate(tomllib.loads(spoken))
    assert settings == Settings()
    assert "[dicom.limits]" in spoken
    assert settings.model_fields_set >= {"data_dir", "dicom", "logging"}
    assert settings.dicom.model_fields_set == set(type(settings.dicom).model_fields)


def test_the_samples_of_the_example_are_right_too() -> None:
    from lightbox.cli.config import example_text
    from lightbox.settings import Settings

    samples = "\n".join(
        line.removeprefix("#   ") for line in example_text().splitlines() if line[:4] == "#   "
    )
    settings = Settings.model_validate(tomllib.loads(samples))
    assert settings.destinations[0].port == 4242
    assert settings.rules[0].urgency == "STAT"
    assert settings.models.__pydantic_extra__["NAME"].audit_below == 0.9


def test_the_schema_is_json_with_descriptions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["properties"]["data_dir"]["description"].startswith("Files, ledger")


def test_secrets_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIGHTBOX__WEB__TOKEN", "canary")
    assert run(["config", "check", "--json"]) == 0
    assert "canary" not in capsys.readouterr().out
