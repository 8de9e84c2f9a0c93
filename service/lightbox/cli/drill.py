"""``lightbox drill``: prove on the installed system that faults do no harm, and file the proof."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lightbox.app.clock import SystemClock
from lightbox.cli.asking import who
from lightbox.cli.invocation import Invocation
from lightbox.cli.outputs import folder
from lightbox.domain.errors import LightboxError
from lightbox.domain.operations import Request
from lightbox.tools.drill.finding import Finding
from lightbox.tools.drill.note import note
from lightbox.tools.drill.report import html_text, json_text
from lightbox.tools.drill.run import FAULTS, Drill, hold

_NUMBERS = [fault.number for fault in FAULTS]
_Tell = Callable[[str, Finding | None], None]


@click.command(epilog="Example: lightbox -c /etc/lightbox.toml drill --out /var/tmp/drill")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("lightbox-drill"),
    show_default=True,
    help="Folder of report.html and report.json.",
)
@click.option("--only", multiple=True, type=click.Choice(_NUMBERS), help="This fault; else all.")
@click.pass_obj
def drill(invocation: Invocation, out: Path, only: tuple[str, ...]) -> int:
    """Hold a drill: damaged disk, lost answer, killed worker, PACS away or forgetful, stop.

    A second service is started with this configuration and its models, in a sandbox beside the
    production data, against a PACS of our own; it takes some minutes, at low priority, and the
    memory of a second service. Production may run: of all this its ledger gets one event, that a
    drill was held. Exit 0 if every fault ended as expected.
    """
    loaded = invocation.loaded()
    folder(out)
    clock = SystemClock()
    with _progress(len(only) or len(FAULTS)) as tell:
        held = hold(loaded, who(), tell, only)
    sha256 = _file(held, out)
    request = Request("drill", held.verdict, held.by, clock.now(), detail=sha256)
    click.echo(f"{held.verdict}: {(out / 'report.html').resolve()}")
    try:
        where = note(Path(loaded.settings.data_dir), request, clock)
    except LightboxError as error:
        click.echo(f"this drill is not noted in the ledger: {error}", err=True)
        return 1
    click.echo(f"noted {where}", err=True)
    return 0 if held.passed else 1


def _file(held: Drill, out: Path) -> str:
    """Write both reports; return the SHA-256 of the one for programs."""
    report = held.as_json()
    text = json_text(report)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    (out / "report.json").write_text(text, encoding="utf-8")
    (out / "report.html").write_text(html_text(report, sha256), encoding="utf-8")
    return sha256


@contextmanager
def _progress(total: int) -> Iterator[_Tell]:
    """Show a bar on a terminal and a line for each fault; in a pipe the lines only."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def line(finding: Finding) -> None:
        name = f"{finding.fault} {finding.name} ({finding.seconds:.0f} s)"
        console.print(f"{finding.verdict}: {name}: {finding.seen.words}", markup=False)

    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":

        def say(_: str, finding: Finding | None) -> None:
            if finding is not None:
                line(finding)

        yield say
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=total)

        def show(name: str, finding: Finding | None) -> None:
            bar.update(task, description=name)
            if finding is not None:
                line(finding)
                bar.advance(task)

        yield show
