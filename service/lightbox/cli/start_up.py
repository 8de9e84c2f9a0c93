"""What ``serve`` says when it is up: where everything is, and what to do next."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from lightbox.settings import DestinationSettings, Loaded, Settings
from lightbox.version import __version__


def summary(loaded: Loaded, facts: Mapping[str, str], folder: Path) -> list[tuple[str, str]]:
    """Return the summary as pairs of a label and words.

    Parameters
    ----------
    loaded : Loaded
        What was configured.
    facts : mapping of str to str
        What the processes said when they were ready: ``dicom``, ``web``, ``models``, ``device``.
    folder : Path
        The data directory.
    """
    settings = loaded.settings
    sent_to = [_destination(each) for each in settings.destinations]
    free = shutil.disk_usage(folder).free
    rows = [
        ("DICOM", f"{', '.join(settings.dicom.accept_called)} at {_address(facts, settings)}"),
        ("from", ", ".join(settings.dicom.accept_calling) or "any AE title on this machine"),
        *([("DICOM TLS", _tls(settings))] if settings.dicom.tls.certificate else []),
        ("results to", "; ".join(sent_to) or "nobody: no [[destinations]] yet, they stay here"),
        ("models", f"{facts.get('models') or 'none'} on {facts.get('device', 'cpu')}"),
        ("console", facts.get("web", "")),
        ("metrics", f"{facts.get('web', '').split('/login')[0].rstrip('/')}/metrics"),
        ("data", f"{folder} ({free / 1e9:.0f} GB free, {settings.storage.reserve / 1e9:.0f} kept)"),
        ("configuration", loaded.file or "none, all defaults (lightbox config example)"),
    ]
    if not settings.destinations:
        rows.append(("next", "enter the archive as [[destinations]], then lightbox doctor"))
    else:
        rows.append(("next", "lightbox doctor asks every node; lightbox studies lists what came"))
    return rows


def show(rows: list[tuple[str, str]]) -> None:
    """Print to stderr: a table on a terminal, plain lines elsewhere."""
    if not sys.stderr.isatty():
        for label, words in rows:
            click.echo(f"  {label}: {words}", err=True)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, words in rows:
        table.add_row(label, words)
    console = Console(stderr=True, highlight=False, markup=False)
    console.rule(f"Lightbox {__version__}", align="left")
    console.print(table)


def _address(facts: Mapping[str, str], settings: Settings) -> str:
    return (
        facts.get("dicom", "").partition("@")[2] or f"{settings.dicom.host}:{settings.dicom.port}"
    )


def _tls(settings: Settings) -> str:
    needed = "needed" if settings.dicom.tls.require_client else "not needed"
    return f"port {settings.dicom.tls.port}, client certificate {needed}"


def _destination(given: DestinationSettings) -> str:
    where = given.stow or f"{given.ae_title}@{given.host}:{given.port}"
    promised = ", storage commitment" if given.commitment else ""
    return f"{given.name} ({where}{promised})"
