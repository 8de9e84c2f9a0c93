"""``lightbox demo``: real studies through the whole service, on this machine."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

import click
from rich.console import Console

from lightbox.cli.invocation import Invocation
from lightbox.cli.outputs import writable
from lightbox.domain.errors import UsageError
from lightbox.tools.demo import report as demo_report
from lightbox.tools.demo import run as road
from lightbox.tools.demo.data import MODEL, sample_folders
from lightbox.tools.demo.run import Demo

_STOPPED = 143  # 128 + SIGTERM, as shells have it


@click.command(epilog="Example: lightbox demo --model chest_xray_pneumonia --out pictures")
@click.argument("more", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Write the outcome here."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("lightbox-demo"),
    show_default=True,
    help="Folder of the pictures and of everything that the demo made.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="DICOM files or folders; else the samples of the model.",
)
@click.option(
    "--model",
    metavar="NAME",
    default=MODEL,
    show_default=True,
    help="The package that answers; its samples are sent.",
)
@click.option("--keep", is_flag=True, help="Keep everything running until a key is pressed.")
@click.pass_obj
def demo(
    invocation: Invocation,
    json_file: Path | None,
    out: Path,
    data: tuple[Path, ...],
    more: tuple[Path, ...],
    *,
    model: str,
    keep: bool,
) -> int:
    """Send real studies through the service and show what comes back.

    Starts the service and an archive (Orthanc where it is installed), sends ROUTINE and STAT
    studies over the socket, waits until the results are in the archive, and shows them.
    """
    models = Path(invocation.settings().models.path).expanduser().resolve()
    if not (models / model).is_dir():
        raise UsageError(f"--model {model}", f"is no package in {models}", "lightbox models list")
    writable(json_file)
    run_folder = _fresh(out.resolve() / "run")
    root = run_folder / "data"

    def report(outcome: Demo) -> None:
        made = demo_report.previews(outcome, root, out.resolve())
        if json_file is not None:
            json_file.write_text(demo_report.as_json(outcome, root, made))
        demo_report.show(outcome, _page())
        click.echo(f"{len(made)} pictures: {out.resolve()}")

    def wait_for_a_person(so_far: Demo) -> None:
        report(so_far)
        click.echo(f"running until a key is pressed or SIGTERM: {so_far.web_url}", err=True)
        if sys.stdin is not None and sys.stdin.isatty():
            click.pause(info="")
        else:
            signal.pause()

    # Whoever stops us stops the service and the archive too: the context managers unwind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(_STOPPED))
    outcome = road.run(
        data=(*data, *more) or sample_folders(models, model),
        folder=run_folder,
        models=models,
        model=model,
        say=Console(stderr=True, highlight=False).print,
        keep=wait_for_a_person if keep else None,
    )
    if not keep:
        report(outcome)
    click.echo("next: look at the pictures, then README.md (connect your PACS: deploy/README.md)")
    return 0 if outcome.ok else 1


def _fresh(folder: Path) -> Path:
    """Make the folder of a run; what an earlier demo left there goes, nothing else.

    Raises
    ------
    UsageError
        If something else is there.
    """
    if folder.exists():
        if not ((folder / "lightbox.toml").is_file() and (folder / "archive").is_dir()):
            raise UsageError(str(folder), "was not made by a demo", "name another --out")
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(str(folder), error.strerror or str(error), "name another --out") from error
    return folder


def _page() -> Console:
    """Return a console for the table: as wide as the terminal, in a pipe wide enough."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 118)
