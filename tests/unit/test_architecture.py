"""The shape of the code, checked: layers, sizes, names, signposts, one obvious place for each thing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "service" / "lightbox"
MODULES = sorted(PACKAGE.rglob("*.py"))
SIGNPOSTS = sorted(PACKAGE.glob("*/__init__.py"))
STEPS = ("receive", "studies", "schedule", "infer", "explain", "results", "deliver")

LONGEST = 400
DATA_TABLES = {
    "domain/events.py": "the list of all events, each a few lines",
    "settings.py": "every key with its docstring; the example and the schema are printed from it",
}
MACHINE = "/" + "work/"
FORBIDDEN = {"utils", "helpers", "common", "misc", "base", "manager", "core", "types"}
TOP = {
    "pyproject.toml", "service", "models", "tests", "deploy", "conformance", "README.md",
    "LICENSE", "CHANGELOG.md", "Makefile",
}  # fmt: skip


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return listed.stdout.splitlines()


def test_layers_and_doors_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--config", "pyproject.toml", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_top_level_is_as_its_user_fixed_it() -> None:
    top = {path.split("/")[0] for path in tracked()}
    assert {entry for entry in top if not entry.startswith(".")} <= TOP


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_is_one_room(module: Path) -> None:
    lines = len(module.read_text().splitlines())
    assert lines <= LONGEST or name(module) in DATA_TABLES
    assert module.stem not in FORBIDDEN


@pytest.mark.parametrize("signpost", SIGNPOSTS, ids=name)
def test_a_folder_begins_with_its_signpost_and_nothing_else(signpost: Path) -> None:
    tree = ast.parse(signpost.read_text())
    text = ast.get_docstring(tree) or ""
    assert len(tree.body) == 1, "no code, no re-exports"
    for word in ("Reads:", "Writes:", "Refuses:", "Start here:", "Standard:"):
        assert word in text, word


@pytest.mark.parametrize("step", STEPS)
def test_a_step_folder_can_be_overlooked(step: str) -> None:
    files = [path for path in (PACKAGE / step).glob("*.py") if path.stem != "__init__"]
    assert len(files) <= 12, sorted(path.name for path in files)


def literals(module: Path) -> list[str]:
    tree = ast.parse(module.read_text())
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def test_sop_class_uids_stand_in_one_place() -> None:
    allowed = ("results/codes.py", "receive/", "deliver/", "tools/", "domain/")
    for module in MODULES:
        if name(module).startswith(allowed):
            continue
        found = [
            text for text in literals(module) if re.fullmatch(r"1\.2\.840\.10008\.[0-9.]+", text)
        ]
        assert not found, (name(module), found)


def test_metric_names_stand_in_one_place() -> None:
    for module in MODULES:
        if name(module) == "metrics.py":
            continue
        found = [
            t for t in literals(module) if re.fullmatch(r"lightbox_[a-z_]+(_total|_seconds)", t)
        ]
        assert not found, (name(module), found)


def test_readme_road_and_package_name_the_same_steps() -> None:
    readme = (ROOT / "README.md").read_text()
    package = (PACKAGE / "__init__.py").read_text()
    map_of_code = (ROOT / "service" / "README.md").read_text()
    for step in STEPS:
        assert step in readme
        assert f"``{step}``" in package
        assert f"`{step}/`" in map_of_code


def test_readmes_stay_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200
    assert len((ROOT / "service" / "README.md").read_text().splitlines()) <= 120


def test_serve_and_demo_never_import_torch() -> None:
    script = (
        "import sys, lightbox.cli.serve, lightbox.cli.demo, lightbox.app.processes.roles,"
        " lightbox.app.analysis, lightbox.app.processes.control, lightbox.app.road;"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_listener_imports_no_network_and_no_result() -> None:
    script = (
        "import sys, lightbox.app.processes.roles, lightbox.receive.listener, lightbox.receive.store;"
        " bad = {'torch', 'onnxruntime', 'highdicom', 'dbos', 'fastapi'} & set(sys.modules);"
        " print(bad); sys.exit(bool(bad))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_nothing_names_the_machine_that_it_was_made_on() -> None:
    for path in tracked():
        file = ROOT / path
        if file.suffix in {".py", ".md", ".toml", ".sh", ".yml", ".txt"} and file != Path(__file__):
            assert MACHINE not in file.read_text(), path
