"""``lightbox explain``: files in, predictions and explanations out, without a network."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lightbox.cli.invocation import Invocation
from lightbox.cli.outputs import folder, writable
from lightbox.domain.errors import UsageError
from lightbox.tools.explain import Offline, Wish, loaded
from lightbox.tools.explained_files import files_of, mask_for, series_of


@click.command(epilog="Example: lightbox explain slice.dcm --model brain_tumour_mri --out pictures")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--model", required=True, help="Name of a model package.")
@click.option(
    "--method", default="", help="See lightbox methods; else the model's fast map (grad_cam)."
)
@click.option("--target", default="", help="Finding to explain; else the winning one.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for pictures and objects.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Write the answers here."
)
@click.option("--evaluate", is_flag=True, help="Measure the map with an audit's evaluations too.")
@click.option(
    "--mask",
    type=click.Path(exists=True, path_type=Path),
    help="Where the finding is: a PNG, or a folder with NAME.mask.png for NAME.dcm.",
)
@click.option("--series", is_flag=True, help="Files of one series are one unit, as in the service.")
@click.option("--deidentify", is_flag=True, help="Write results that name nobody (needs --out).")
@click.pass_obj
def explain(
    invocation: Invocation,
    files: tuple[Path, ...],
    model: str,
    method: str,
    target: str,
    out: Path | None,
    json_file: Path | None,
    mask: Path | None,
    *,
    evaluate: bool,
    series: bool,
    deidentify: bool,
) -> int:
    """Explain images offline. Exit 1 if one was refused."""
    settings = invocation.settings()
    writable(json_file)
    if out is not None:
        folder(out)
    elif deidentify:
        raise UsageError("--deidentify", "writes nothing without --out", "name a folder by --out")
    if series and (deidentify or mask is not None):
        raise UsageError("--series", "takes no --mask and no --deidentify", "leave one of them out")
    wish = Wish(method, target, out, evaluate, deidentify=deidentify)
    names = list(files_of(files))
    units = series_of(names) if series else [(name,) for name in names]
    screen = Console(stderr=True)
    with Offline(settings, loaded(settings, model)) as offline:
        answers = [
            offline.explain(name, replace(wish, mask=mask_for(name, mask)), *others)
            for name, *others in track(
                units, "explaining", console=screen, disable=not sys.stderr.isatty()
            )
        ]
    if json_file is not None:
        json_file.write_text(json.dumps(answers, indent=2) + "\n")
    _show(answers)
    return 1 if any(answer["refused"] for answer in answers) else 0


def _show(answers: list[dict[str, Any]]) -> None:
    table = Table()
    for name in ("file", "finding", "confidence", "method", "evaluations", "seconds"):
        table.add_column(name)
    for answer in answers:
        if answer["refused"]:
            table.add_row(Path(answer["file"]).name, "refused")
            continue
        table.add_row(
            Path(answer["file"]).name,
            answer["finding"].replace("_", " "),
            f"{100 * answer['confidence']:.1f} %",
            answer["method"],
            f"{answer['evaluations']}{' (exact)' if answer['exact'] else ''}",
            f"{sum(answer['seconds'].values()):.2f}",
        )
    Console(width=None if sys.stdout.isatty() else 118).print(table)
    for answer in answers:
        if answer["refused"]:
            click.echo(f"refused: {answer['refused']}")
