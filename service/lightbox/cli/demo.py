"""``lightbox demo``: real studies through the whole service, on this machine."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click
from rich.console import Console

from lightbox.cli.invocation import Invocation
from lightbox.tools import demo as road
from lightbox.tools import demo_report
from lightbox.tools.demo import Demo


@click.command(epilog="Example: lightbox demo --out pictures --keep")
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
    help="DICOM files or folders; else the samples of the models.",
)
@click.option("--keep", is_flag=True, help="Keep everything running until a key is pressed.")
@click.pass_obj
def demo(
    invocation: Invocation, json_file: Path | None, out: Path, data: tuple[Path, ...], *, keep: bool
) -> int:
    """Send real studies through the service and show what comes back.

    Starts the service and an archive (Orthanc where it is installed), sends ROUTINE and STAT
    studies over the socket, waits until the results are in the archive, and shows them.
    """
    screen = Console(stderr=True, highlight=False)
    models = Path(invocation.settings().models.path).expanduser().resolve()
    run_folder = out.resolve() / "run"
    if run_folder.exists():
        shutil.rmtree(run_folder)
    run_folder.mkdir(parents=True)

    def wait_for_a_person(so_far: Demo) -> None:
        demo_report.show(so_far, _page())
        click.echo(f"running until a key is pressed: {so_far.web_url}", err=True)
        if sys.stdin.isatty():
            click.pause(info="")
        else:
            sys.stdin.read()

    outcome = road.run(
        data=data or tuple(sorted(models.glob("*/samples"))),
        folder=run_folder,
        models=models,
        say=screen.print,
        keep=wait_for_a_person if keep else None,
    )
    root = run_folder / "data"
    made = demo_report.previews(outcome, root, out.resolve())
    if json_file is not None:
        json_file.write_text(demo_report.as_json(outcome, root, made))
    demo_report.show(outcome, _page())
    click.echo(f"{len(made)} pictures: {out.resolve()}")
    click.echo("next: look at the pictures, then README.md (connect your PACS: deploy/README.md)")
    return 0 if outcome.ok else 1


def _page() -> Console:
    """Return a console for the table: as wide as the terminal, in a pipe wide enough."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 118)
