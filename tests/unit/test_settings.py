"""Settings: one TOML file, the environment above it, and plain words when something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightbox.domain.errors import ConfigurationError
from lightbox.settings import Settings, load, read


def complaint_of(text: str, folder: Path, environ: dict[str, str] | None = None) -> str:
    file = folder / "lightbox.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(str(file), environ or {})
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "")


def test_without_a_file_everything_has_its_default() -> None:
    settings = load(None, {})
    assert settings.dicom == Settings().dicom
    assert settings.data_dir == "/var/lib/lightbox"


def test_the_file_is_named_by_argument_or_by_variable(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[dicom]\nport = 1040\n")
    assert load(str(file), {}).dicom.port == 1040
    assert load(None, {"LIGHTBOX_CONFIG": str(file)}).dicom.port == 1040


def test_the_environment_beats_the_file_and_each_value_knows_its_source(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('[dicom]\nport = 1040\nae_title = "BOX"\n[deadlines]\nSTAT = "3s"\n')
    loaded = read(str(file), {"LIGHTBOX__DICOM__PORT": "1041", "LIGHTBOX__DEADLINES__STAT": "1s"})
    assert loaded.settings.dicom.port == 1041
    assert loaded.settings.dicom.ae_title == "BOX"
    assert loaded.settings.deadlines.STAT == 1.0
    assert loaded.sources == {
        "dicom.port": "LIGHTBOX__DICOM__PORT",
        "dicom.ae_title": str(file),
        "deadlines.STAT": "LIGHTBOX__DEADLINES__STAT",
    }


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("LIGHTBOX__DATA_DIR", "/tmp/x", "data_dir", "/tmp/x"),
        ("LIGHTBOX__WEB__TOKEN", "12345", "web.token", "12345"),
        ("LIGHTBOX__AUDIT__MODALITIES", '["MR", "CT"]', "audit.modalities", ("MR", "CT")),
        ("LIGHTBOX__RESULTS__SEGMENTATION", "false", "results.segmentation", False),
        ("LIGHTBOX__STORAGE__RESERVE", "200MB", "storage.reserve", 200_000_000),
        ("LIGHTBOX__DICOM__LIMITS__NESTING", "12", "dicom.limits.nesting", 12),
        ("LIGHTBOX__AUDIT__CHUNK", "auto", "audit.chunk", "auto"),
    ],
)
def test_a_variable_is_read_as_its_key_needs(
    variable: str, text: str, key: str, value: object
) -> None:
    found: object = load(None, {variable: text})
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value


def test_tables_and_lists_of_tables_fit_into_a_variable() -> None:
    settings = load(
        None,
        {
            "LIGHTBOX__DESTINATIONS": '[{name = "pacs", ae_title = "ORTHANC", port = 4242}]',
            "LIGHTBOX__MODELS__BRAIN_TUMOUR_MRI__AUDIT_BELOW": "0.9",
        },
    )
    assert settings.destinations[0].port == 4242
    assert settings.models.__pydantic_extra__["brain_tumour_mri"].audit_below == 0.9


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[dicmo]\n", "lightbox.toml: dicmo: is not a known key (did you mean dicom?)"),
        (
            '[[destinations]]\nname = "a"\nprot = 104\n',
            "lightbox.toml: destinations[0].prot: is not a known key (did you mean port?)",
        ),
        (
            "[dicom]\nport = 'x'\n",
            "lightbox.toml: dicom.port: found 'x', expected a whole number",
        ),
        (
            "[dicom]\nport = 70000\n",
            "lightbox.toml: dicom.port: found 70000, expected less than or equal to 65535",
        ),
        (
            "[deadlines]\nSTAT = '2 weeks'\n",
            (
                "lightbox.toml: deadlines.STAT: found '2 weeks', "
                'expected a time such as "2s", "5m", "24h" or "0.3s"'
            ),
        ),
        (
            "[audit]\nchunk = 'x'\n",
            "lightbox.toml: audit.chunk: found 'x', expected a whole number or 'auto'",
        ),
        (
            "[models]\nenabeld = ['a']\n",
            "lightbox.toml: models.enabeld: found ['a'], expected a table (did you mean enabled?)",
        ),
        (
            "[[destinations]]\nport = 1\n",
            "lightbox.toml: destinations[0].name: is missing (add it)",
        ),
        (
            "[dicom]\nhost = '0.0.0.0'\n",
            (
                "lightbox.toml: dicom: host 0.0.0.0 is open to the network: list accept_calling, "
                "set up TLS, or say insecure = true"
            ),
        ),
        (
            "[web]\nhost = '0.0.0.0'\n",
            "lightbox.toml: web: host 0.0.0.0 is open to the network: set a token",
        ),
    ],
)
def test_a_mistake_is_one_line_with_file_key_found_and_expected(
    text: str, line: str, tmp_path: Path
) -> None:
    assert complaint_of(text, tmp_path) == line


def test_broken_toml_names_file_and_line(tmp_path: Path) -> None:
    assert "lightbox.toml" in complaint_of("[dicom]\nport = = 3\n", tmp_path)
    assert "line 2" in complaint_of("[dicom]\nport = = 3\n", tmp_path)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: cannot be read: no such file"):
        load(str(tmp_path / "nowhere.toml"), {})


@pytest.mark.parametrize(
    ("variable", "text", "line"),
    [
        (
            "LIGHTBOX__DICMO__PORT",
            "1",
            "LIGHTBOX__DICMO__PORT: dicmo: is not a known key (did you mean dicom?)",
        ),
        (
            "LIGHTBOX__DICOM__PROT",
            "1",
            "LIGHTBOX__DICOM__PROT: dicom.prot: is not a known key (did you mean port?)",
        ),
        (
            "LIGHTBOX__DICOM__PORT",
            "many",
            "LIGHTBOX__DICOM__PORT: dicom.port: found 'many', expected a whole number",
        ),
        (
            "LIGHTBOX__DICOM__PORT__X",
            "1",
            "LIGHTBOX__DICOM__PORT__X: dicom.port: found {'x': 1}, expected a valid integer",
        ),
    ],
)
def test_a_wrong_variable_is_named_as_such(variable: str, text: str, line: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(None, {variable: text})
    assert str(caught.value).startswith(line.replace("a valid integer", "a whole number"))


def test_relative_paths_belong_to_the_file_that_names_them(tmp_path: Path) -> None:
    file = tmp_path / "lightbox.toml"
    file.write_text('data_dir = "data"\n[models]\npath = "mine"\n')
    settings = load(str(file), {})
    assert settings.models.path == str(tmp_path / "mine")
    assert settings.data_dir == str(tmp_path / "data")


def test_the_default_models_folder_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "here" / "models" / "m"
    package.mkdir(parents=True)
    (package / "model.toml").touch()
    monkeypatch.chdir(tmp_path / "here")
    assert load(None, {}).models.path == str(package.parent)
