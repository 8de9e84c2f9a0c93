"""What deploy/ gives to an administrator is right: linted, and tried where this machine can."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from lightbox.cli.main import COMMANDS, LazyGroup
from lightbox.settings import read

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
COMPOSE = [DOCKER / "compose.yaml", DOCKER / "compose.gpu.yaml"]
README = ROOT / "deploy" / "README.md"
UNIT = ROOT / "deploy" / "systemd" / "lightbox.service"
BIN = Path(sys.executable).parent
_MOST_EXPOSED = 2.0
"""systemd's own scale from 0 (sealed) to 10; a plain unit has 9.6."""


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, cwd=ROOT,
        env={**os.environ, **environment},
    )  # fmt: skip


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE[0].read_text()))


def test_the_dockerfile_has_nothing_that_hadolint_objects_to() -> None:
    done = run(str(BIN / "hadolint"), str(DOCKER / "Dockerfile"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: str(file.name))
def test_compose_files_follow_the_specification(file: Path) -> None:
    schema = ("--builtin-schema", "vendor.compose-spec")
    done = run(str(BIN / "check-jsonschema"), *schema, str(file))
    assert done.returncode == 0, done.stdout


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line[1:] for line in ignore if line.startswith("!")]
    for line in re.findall(r"^COPY (.+)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(fnmatch(source, pattern) for pattern in kept), f".dockerignore: {source}"


def test_the_image_runs_without_root_on_a_root_that_cannot_be_written() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    assert re.search(r"^USER 10001$", text, re.MULTILINE)
    service = compose()["services"]["lightbox"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


def test_every_file_that_compose_mounts_is_there() -> None:
    for name, service in compose()["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).resolve().exists(), f"{name}: {source}"


def test_every_secret_is_asked_for_and_none_is_written_down() -> None:
    text = COMPOSE[0].read_text()
    for key, value in re.findall(r"(\w*(?:TOKEN|PASSWORD)): (.+)", text):
        assert re.fullmatch(r"\$\{\w+:\?set it in \.env\}", value), key
    asked = set(re.findall(r"\$\{(\w+):", text))
    assert asked == set(re.findall(r"(\w+)=…", text)), "the head of the file names each"


def test_no_port_but_dicom_is_open_to_the_network() -> None:
    for name, service in compose()["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:") or port in {"11112:11112", "4242:4242"}, name


def test_the_containers_configuration_is_right_and_meets_the_archives() -> None:
    file = DOCKER / "lightbox.toml"
    with pytest.raises(Exception, match="set a token"):
        read(str(file), {})
    settings = read(str(file), {"LIGHTBOX__WEB__TOKEN": "t" * 40}).settings
    (archive,) = settings.destinations
    orthanc = yaml.safe_load((DOCKER / "orthanc.json").read_text())
    assert (archive.ae_title, archive.port) == (orthanc["DicomAet"], orthanc["DicomPort"])
    assert archive.host in compose()["services"]
    assert list(settings.dicom.accept_calling) == [orthanc["DicomAet"]]
    for title, host, port in orthanc["DicomModalities"].values():
        assert title in settings.dicom.accept_called
        assert host in compose()["services"]
        assert port == settings.dicom.port


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_the_containers_prometheus_reads_its_rules(tmp_path: Path) -> None:
    text = (DOCKER / "prometheus.yml").read_text()
    text = text.replace("/etc/prometheus/rules", str(ROOT / "deploy" / "prometheus"))
    (tmp_path / "prometheus.yml").write_text(text)
    done = run("promtool", "check", "config", str(tmp_path / "prometheus.yml"))
    assert done.returncode == 0, done.stderr
    assert "2 rule files found" in done.stdout
    (target,) = re.findall(r'targets: \["(\w+):8080"\]', text)
    assert target in compose()["services"]


def test_the_readme_says_of_each_alert_what_to_do_and_of_no_other() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    ours = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    table = re.findall(r"^\| (Lightbox[^|]+) \|[^|]+\|([^|]+)\|$", README.read_text(), re.MULTILINE)
    named = [name for names, _mend in table for name in names.split(", ")]
    assert sorted(named) == sorted(ours)
    assert all(mend.strip() for _names, mend in table)


def test_every_file_and_section_that_the_readme_points_at_is_there() -> None:
    text = README.read_text()
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    sections = {re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in titles}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in sections, target
        else:
            assert (README.parent / target).exists(), target


def test_every_command_of_the_readme_is_one_that_lightbox_has() -> None:
    said = re.findall(
        r"(?:^|bin/)lightbox(?: -c \S+)? ([a-z]+)(?: ([a-z]+))?", _code(), re.MULTILINE
    )
    assert len(said) > 20
    for name, below in said:
        assert name in COMMANDS, name
        command = LazyGroup().get_command(click.Context(click.Command("lightbox")), name)
        if isinstance(command, click.Group):
            assert not below or below in command.commands, f"{name} {below}"


def _code() -> str:
    """Return the commands of the README, one a line."""
    text = README.read_text()
    blocks = re.findall(r"```sh\n(.+?)```", text, re.DOTALL)
    return "\n".join(blocks + re.findall(r"`(lightbox [^`]+)`", text))


def test_grafana_finds_its_dashboards_and_prometheus() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    dashboards = yaml.safe_load((provisioning / "dashboards" / "lightbox.yml").read_text())
    mounts = dict(v.split(":")[:2] for v in compose()["services"]["grafana"]["volumes"])
    assert mounts["../grafana/dashboards"] == dashboards["providers"][0]["options"]["path"]
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())
    variable = source["datasources"][0]["url"].strip("${}")
    assert variable in compose()["services"]["grafana"]["environment"]


needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed"
)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with the program where this checkout has it."""
    file = tmp_path / "lightbox.service"
    program = str(BIN / "lightbox")
    file.write_text(UNIT.read_text().replace("/opt/lightbox/.venv/bin/lightbox", program))
    return file


@needs_systemd
def test_systemd_has_nothing_to_object_to_in_the_unit(unit: Path) -> None:
    done = run("systemd-analyze", "verify", str(unit))
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_unit_is_sealed(unit: Path) -> None:
    limit = str(int(_MOST_EXPOSED * 10))
    done = run("systemd-analyze", "security", "--offline=true", f"--threshold={limit}", str(unit))
    assert done.returncode == 0, done.stdout[-300:]


@needs_systemd
def test_the_drop_in_for_a_gpu_opens_its_devices_and_nothing_else(unit: Path) -> None:
    """A sealed unit sees no device at all; CUDA would silently be the processor."""
    plain = unit.read_text()
    assert "PrivateDevices=yes" in plain
    folder = unit.with_name("lightbox.service.d")
    folder.mkdir()
    shutil.copy(UNIT.with_name("gpu.conf"), folder)
    done = run("systemd-analyze", "verify", str(unit))
    assert (done.returncode, done.stderr) == (0, "")
    both = plain + (folder / "gpu.conf").read_text()
    assert re.findall(r"^DeviceAllow=(.+)$", both, re.MULTILINE) == ["char-nvidia* rw"]
    assert re.findall(r"^DevicePolicy=(.+)$", both, re.MULTILINE) == ["closed"]
    (folder / "gpu.conf").write_text("[Service]\nDeviceAlow=char-nvidia* rw\n")
    assert "DeviceAlow" in run("systemd-analyze", "verify", str(unit)).stderr


@needs_systemd
def test_a_unit_with_a_misspelt_line_would_be_found(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHoem="))
    assert "ProtectHoem" in run("systemd-analyze", "verify", str(unit)).stderr


def test_the_wheel_has_the_command_and_the_consoles_files(tmp_path: Path) -> None:
    """What ``pip install .`` of the Dockerfile installs, apart from the libraries."""
    done = run(str(BIN / "python"), "-m", "pip", "install", "--quiet", "--no-deps",
               "--disable-pip-version-check", "--target", str(tmp_path), ".")  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = run(str(BIN / "python"), "-m", "lightbox", "--version", PYTHONPATH=str(tmp_path))
    assert said.returncode == 0, said.stderr
    for kind in ("templates", "static"):
        ours = {
            p.name for p in (ROOT / "service/lightbox/console" / kind).rglob("*") if p.is_file()
        }
        there = {p.name for p in (tmp_path / "lightbox/console" / kind).rglob("*") if p.is_file()}
        assert ours == there
