"""``lightbox config``: check, describe, print or take up the configuration."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from lightbox.app.clock import SystemClock
from lightbox.app.doorbell import Doorbell
from lightbox.app.layout import layout
from lightbox.app.operate.letterbox import PATIENCE, ask
from lightbox.app.reload.accepted import Accepted, kept
from lightbox.app.site_check import check as site_check
from lightbox.cli.asking import request, say
from lightbox.cli.display import show_json, show_table
from lightbox.cli.invocation import Invocation
from lightbox.domain.errors import ConfigurationError
from lightbox.domain.events import ConfigurationTaken
from lightbox.domain.keys import leaves, model_at, spelled
from lightbox.domain.operations import ALL
from lightbox.domain.quantities import READS_SIZE, READS_TIME, as_size, as_time
from lightbox.ledger.timeline import LedgerReader
from lightbox.settings import Settings
from lightbox.storage.files import Files

_WIDTH = 96
_SECRETS = frozenset({"web.token", "database.url"})

_SAMPLES: dict[str, dict[str, object]] = {
    "destinations": {"name": "pacs", "ae_title": "ORTHANC", "port": 4242, "commitment": True},
    "rules": {
        "name": "ed chest",
        "when": {"Modality": ["CR", "DX"], "StationName": "^ED"},
        "urgency": "STAT",
        "models": ["chest_xray"],
    },
    "webhooks": {
        "name": "ris",
        "url": "https://ris.hospital.example/lightbox",
        "secret": "file:webhook.secret",
    },
    "models": {"thresholds": {"FINDING": 0.6}, "audit_below": 0.9},
}
"""Values that make the sample of a table clearer than the defaults."""


@click.group(epilog="Example: lightbox -c /etc/lightbox.toml config check")
def config() -> None:
    """Check, describe, print or take up the configuration."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Every key with its value and source.")
@click.pass_obj
def check(invocation: Invocation, *, as_json: bool) -> None:
    """Read the configuration; list what differs from the defaults, and who set it.

    Exit 0 if all is right; 2 with one line that names the file or variable, the key, what was
    found and what was expected.
    """
    loaded = invocation.loaded()
    site_check(loaded.settings)
    values = in_force(loaded.settings)
    sources = {key: _source(key, loaded.sources) for key in values}
    if as_json:
        rows = [{"key": k, "value": v, "source": sources[k]} for k, v in values.items()]
        show_json({"ok": True, "file": loaded.file or None, "settings": rows})
        return
    changed = [(k, json.dumps(v), sources[k]) for k, v in values.items() if sources[k] != "default"]
    if changed:
        show_table(("Key", "Value", "From"), changed)
    where = loaded.file or "no file: defaults and environment"
    click.echo(f"{where}: ok", err=True)


@config.command()
def schema() -> None:
    """Print the JSON schema of the file, for editors."""
    show_json(Settings.model_json_schema())


@config.command()
def example() -> None:
    """Print a file with every key, its default and what it does."""
    click.echo(example_text(), nl=False)


@config.command("reload")
@click.pass_obj
def reload_(invocation: Invocation) -> int:
    """Have the running service take up rules, destinations and limits as the file has them now.

    No association is dropped and nothing waits. A file with an error in it is refused, and all
    stays as it was. What cannot change while the service runs (ports, AE title, data directory,
    models …) is named: it needs a restart. SIGHUP does the same.
    """
    try:
        settings = invocation.settings()
        site_check(settings)
    except ConfigurationError as error:
        old = "the old configuration stays in force"
        raise ConfigurationError(error.thing, f"{error.reason}; {old}", error.mend) from None
    root = layout(settings).root
    asked = request("reload", ALL)
    outcome = ask(root, asked, Files(), SystemClock())
    code = say(outcome)
    accepted = kept(root)
    if code or accepted is None or accepted.at != asked.at:
        return code
    late = [role for role in ("receive", "work") if not _has_taken(root, role, accepted)]
    for role in late:
        click.echo(f"{role}: has not taken it up yet (see its log)", err=True)
    return 1 if late else 0


def _has_taken(root: Path, role: str, accepted: Accepted) -> bool:
    """Wait until a process has written down that it took the configuration up."""
    clock = SystemClock()
    event = ConfigurationTaken(role, accepted.digest, accepted.by, accepted.at)
    give_up = clock.monotonic() + PATIENCE
    reader, nap = LedgerReader(root / "ledger"), Doorbell(root, f"reload-{os.getpid()}")
    try:
        while reader.find(event.key) is None:
            if clock.monotonic() > give_up:
                return False
            nap.wait(0.05)
    finally:
        nap.close()
        reader.close()
    return True


def in_force(settings: Settings) -> dict[str, object]:
    """Return every key with its value, secrets as asterisks."""
    tree: dict[str, object] = settings.model_dump(mode="json")
    found: dict[str, object] = {}
    for location in leaves(tree):
        key, value = spelled(location), _at(tree, location)
        found[key] = "***" if key in _SECRETS and value else value
    return found


def example_text() -> str:
    """Return ``deploy/lightbox.example.toml``: every key is there, commented out."""
    head = (
        "# Lightbox: all that can be configured. Printed by `lightbox config example`.\n"
        "# Every key is optional; what stands here are the defaults. Any key can also be set by\n"
        "# the environment: LIGHTBOX__DICOM__PORT=11112 beats this file.\n"
    )
    return "\n".join((head, *_table(Settings, ""), ""))


def _table(model: type[BaseModel], path: str) -> Iterator[str]:
    """Write the lines of one table: its own keys, then the tables below it."""
    tables: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        below = model_at(model, (name,))
        if below is None:
            yield from _comment(field.description or "")
            yield f"#{name} = {_toml(_default(field), field)}"
        else:
            tables.append((name, below))
    if model.model_config.get("extra") == "allow":
        below = model_at(model, ("NAME",))
        assert below is not None
        yield from _sample(path.rstrip("."), f"[{path}NAME]", below)
    for name, inner in tables:
        yield ""
        if model.model_fields[name].annotation is not inner:  # a list of them
            yield from _sample(name, f"[[{name}]]", inner)
            continue
        yield from _comment(_summary(inner))
        yield f"[{path}{name}]"
        yield from _table(inner, f"{path}{name}.")


def _sample(name: str, header: str, model: type[BaseModel]) -> Iterator[str]:
    """Write a table that is not there by default; its lines are indented."""
    yield from _comment(_summary(model))
    yield f"#   {header}"
    for key, field in model.model_fields.items():
        yield from (f"#   {line}" for line in _comment(field.description or ""))
        value = _SAMPLES[name].get(key, _default(field))
        if value is not None:
            yield f"#   {key} = {_toml(value, field)}"
        else:
            yield f"#   {key} is not set"


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(text.replace("``", ""), _WIDTH):
        yield f"# {line}"


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _default(field: FieldInfo) -> object:
    return None if field.is_required() else field.get_default(call_default_factory=True)


def _toml(value: object, field: FieldInfo) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()  # a default: there is no secret in it
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if READS_TIME in field.metadata and isinstance(value, float):
        return json.dumps(as_time(value))
    if READS_SIZE in field.metadata and isinstance(value, int):
        size = as_size(value)
        return json.dumps(size) if size[-2].isalpha() else str(value)
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{k} = {json.dumps(v)}' for k, v in value.items())} }}"
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _at(tree: object, location: tuple[str | int, ...]) -> object:
    for part in location:
        assert isinstance(tree, dict)
        tree = tree[part]
    return tree


def _source(key: str, sources: object) -> str:
    assert isinstance(sources, dict)
    near = [name for name in sources if key == name or key.startswith((f"{name}.", f"{name}["))]
    return str(sources[max(near, key=len)]) if near else "default"
