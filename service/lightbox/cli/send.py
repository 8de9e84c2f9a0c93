"""``lightbox send``: C-STORE of files and folders, as they are."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lightbox.cli.invocation import Invocation
from lightbox.deliver.association import Peer
from lightbox.domain.errors import UsageError
from lightbox.domain.identity import ae_title
from lightbox.tools.send import Report, Sent, files_in
from lightbox.tools.send import send as send_files

CALLING = "LIGHTBOX_SEND"
"""Calling AE title of the commands, so that a log tells them from the service."""


@click.command(
    epilog="Example: lightbox send study/ --called LIGHTBOX_STAT. "
    "Another node: lightbox send study/ --to 10.0.0.5:104 --called PACS."
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--to", "node", metavar="HOST:PORT", help="Node; else this service.")
@click.option("--called", metavar="AET", help="Called AE title; else that of this service.")
@click.option("--calling", metavar="AET", default=CALLING, show_default=True, help="Our AE title.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome of each file as JSON.")
@click.pass_obj
def send(
    invocation: Invocation,
    paths: tuple[str, ...],
    node: str | None,
    called: str | None,
    calling: str,
    as_json: bool,
) -> int:
    """Send DICOM files and folders to a node (C-STORE), each as it is.

    Exit 0 if all are stored; 1 if not: each one that is not has a line that says why.
    """
    dicom = invocation.settings().dicom
    host, port = address(node) if node else (dicom.host, dicom.port)
    peer = Peer("node", ae_title(called or dicom.ae_title), host, port, ae_title(calling))
    files = files_in([Path(path) for path in paths])
    began = time.monotonic()
    with _progress(len(files)) as show:
        report = send_files(files, peer, show)
    _print(report, peer, time.monotonic() - began, as_json=as_json)
    return 0 if report.ok else 1


def address(text: str) -> tuple[str, int]:
    """Read ``HOST:PORT``; an IPv6 address stands in brackets.

    Raises
    ------
    UsageError
        If it is something else.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= 65535:
        raise UsageError(f"address {text!r}", "is not HOST:PORT", "such as 127.0.0.1:11112")
    return host.strip("[]"), int(port)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Sent], None]]:
    """Show a bar on a terminal; in a pipe only the lines of what was not stored."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def complain(sent: Sent) -> None:
        if not sent.stored:
            console.print(f"{sent.file}: {sent.detail}", markup=False)

    if not sys.stderr.isatty():
        yield complain
        return
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("sending", total=total)

        def advance(sent: Sent) -> None:
            complain(sent)
            bar.advance(task)

        yield advance


def _print(report: Report, peer: Peer, seconds: float, *, as_json: bool) -> None:
    if as_json:
        rows = [asdict(sent) | {"file": str(sent.file.resolve())} for sent in report.files]
        click.echo(json.dumps({"ok": report.ok, "stored": report.stored, "files": rows}, indent=2))
        return
    where = f"{peer.ae_title}@{peer.host}:{peer.port}"
    click.echo(f"{report.stored} of {len(report.files)} stored at {where} in {seconds:.1f} s")
