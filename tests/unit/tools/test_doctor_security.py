"""``doctor --security`` names each weak setting in one line, and a safe site has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lightbox.settings import Loaded, Settings
from lightbox.tools.doctor import weaknesses
from lightbox.tools.doctor_checks.finding import Finding

OPEN = "192.0.2.1"  # TEST-NET-1: an address of no machine
TLS = {"certificate": "/etc/lightbox/cert.pem", "key": "/etc/lightbox/key.pem"}
BEHIND = {"host": OPEN, "accept_calling": ["PACS@192.0.2.7"]}


def weak(tmp_path: Path, file: str = "", sources: Any = None, **given: Any) -> list[Finding]:
    (tmp_path / "data").mkdir(mode=0o700, exist_ok=True)
    base = {"data_dir": str(tmp_path / "data"), "models": {"path": str(tmp_path / "models")}}
    settings = Settings.model_validate(base | given)
    found = weaknesses(Loaded(settings, file, sources or {})).findings
    return [one for one in found if not one.ok]


def test_the_defaults_are_safe(tmp_path: Path) -> None:
    assert not weak(tmp_path)


def test_a_network_with_certificates_for_all_has_no_weakness(tmp_path: Path) -> None:
    dicom = {"host": OPEN, "tls": TLS | {"bind_ae": True}, "accept_calling": ["PACS"]}
    names = [each.name for each in weak(tmp_path, dicom=dicom)]
    assert names == ["dicom.port"]  # a list of callers opens the plain port beside TLS


@pytest.mark.parametrize(
    ("given", "name", "words"),
    [
        ({"dicom": {"host": OPEN, "insecure": True}}, "dicom.insecure", "anyone who reaches"),
        ({"dicom": {"host": OPEN, "insecure": True}}, "dicom.port", "plain DICOM is answered"),
        ({"dicom": {"host": OPEN, "insecure": True}}, "dicom.accept_calling", "is empty"),
        ({"dicom": {"host": OPEN, "tls": TLS}}, "dicom.accept_calling", "is empty"),
        ({"dicom": BEHIND}, "dicom.port", "images travel readable"),
        ({"dicom": BEHIND | {"tls": TLS}}, "dicom.port", "beside TLS"),
        (
            {"dicom": BEHIND | {"accept_calling": ["PACS"]}},
            "dicom.accept_calling",
            '"PACS" is let in from any address',
        ),
        (
            {"dicom": {"tls": TLS | {"require_client": False}}},
            "dicom.tls.require_client",
            "without a certificate",
        ),
        ({"dicom": {"tls": TLS}}, "dicom.tls.bind_ae", "by any AE title"),
        ({"web": {"host": OPEN, "token": "x" * 32}}, "web.host", "without TLS"),
        ({"web": {"token": "letmein"}}, "web.token", "can be guessed"),
        ({"logging": {"uids": "plain"}}, "logging.uids", "in plain"),
        (
            {"destinations": [{"name": "pacs", "ae_title": "PACS", "host": OPEN}]},
            "destinations.pacs",
            "not encrypted",
        ),
        (
            {"destinations": [{"name": "web", "stow": f"http://{OPEN}/dicom-web"}]},
            "destinations.web",
            "not encrypted",
        ),
        (
            {"webhooks": [{"name": "ris", "url": f"http://{OPEN}/told", "secret": "x" * 32}]},
            "webhooks.ris",
            "not encrypted",
        ),
    ],
)
def test_each_weak_setting_has_its_line(
    given: dict[str, Any], name: str, words: str, tmp_path: Path
) -> None:
    lines = [one for one in weak(tmp_path, **given) if one.name == name]
    assert len(lines) == 1
    assert words in lines[0].words
    assert lines[0].mend


@pytest.mark.parametrize(
    "destination",
    [
        {"name": "near", "ae_title": "NEAR"},
        {"name": "web", "stow": f"https://{OPEN}/dicom-web"},
        {"name": "web", "stow": "http://localhost:8042/dicom-web"},
    ],
)
def test_a_destination_here_or_behind_tls_is_not_weak(
    destination: dict[str, Any], tmp_path: Path
) -> None:
    assert not weak(tmp_path, destinations=[destination])


def test_a_data_directory_and_a_key_that_others_can_read_are_weak(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o755)
    (data / "log.key").touch(mode=0o644)
    (data / "log.key").chmod(0o644)
    found = {one.name: one for one in weak(tmp_path)}
    assert set(found) == {"data_dir", "log.key"}
    assert "0755" in found["data_dir"].words
    assert found["data_dir"].mend == f"chmod 700 {data}"


def test_a_private_key_that_others_can_read_is_weak(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.touch()
    key.chmod(0o640)
    tls = {"certificate": "/etc/cert.pem", "key": str(key), "bind_ae": True}
    (only,) = weak(tmp_path, dicom={"tls": tls})
    assert only.name == "dicom.tls.key"


def test_a_configuration_with_a_secret_must_not_be_readable_by_all(tmp_path: Path) -> None:
    file = tmp_path / "lightbox.toml"
    file.touch()
    file.chmod(0o644)
    token = "x" * 32
    assert not weak(tmp_path, str(file))
    (only,) = weak(tmp_path, str(file), {"web.token": str(file)}, web={"token": token})
    assert "web.token" in only.words
    assert token not in only.words
    file.chmod(0o660)
    (only,) = weak(tmp_path, str(file))
    assert "can change" in only.words


def test_weights_that_others_can_change_are_weak(tmp_path: Path) -> None:
    package = tmp_path / "models" / "small"
    package.mkdir(parents=True)
    (package / "model.toml").touch()
    weights = package / "weights.onnx"
    weights.touch()
    assert not weak(tmp_path)
    weights.chmod(0o666)
    (only,) = weak(tmp_path)
    assert "weights.onnx" in only.words


def test_limits_above_the_defaults_are_a_note(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"data_dir": str(tmp_path / "none"), "dicom": {"limits": {"nesting": 200}}}
    )
    found = weaknesses(Loaded(settings, "", {}))
    assert found.ok
    assert "nesting" in {one.name: one.words for one in found.findings}["dicom.limits"]
