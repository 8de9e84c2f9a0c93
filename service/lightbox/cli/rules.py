"""``lightbox rules``: which rule, urgency, models and audit an instance would meet, and why."""

from __future__ import annotations

from pathlib import Path

import click

from lightbox.app.models_in_force import in_force
from lightbox.app.operate.rules_trial import PRIORITIES, RulesTrial, arrival_of
from lightbox.cli.display import show_json, show_table
from lightbox.cli.invocation import Invocation
from lightbox.infer.packages import find
from lightbox.infer.signatures.signed import signature_check


@click.group(epilog="Example: lightbox rules test image.dcm --called LIGHTBOX_STAT")
def rules() -> None:
    """Try the rules of the configuration on files."""


@rules.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@click.option("--called", default="LIGHTBOX", show_default=True, help="Called AE title.")
@click.option("--calling", default="MODALITY", show_default=True, help="Calling AE title.")
@click.option(
    "--priority",
    type=click.Choice(list(PRIORITIES)),
    default="medium",
    show_default=True,
    help="DIMSE priority.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def test(
    invocation: Invocation,
    files: tuple[Path, ...],
    called: str,
    calling: str,
    priority: str,
    *,
    as_json: bool,
) -> int:
    """Say which rule, urgency, deadline, models and audit policy each FILE would meet, and why.

    Nothing is sent or stored. Exit 1 if a file cannot be read.
    """
    settings = invocation.settings()
    signatures = signature_check(settings.models)
    installed = find(Path(settings.models.path), settings.models.enabled, signatures=signatures)
    found = in_force(Path(settings.data_dir), installed, signatures).found
    trial = RulesTrial(settings, [each.package for each in found.packages])
    arrival = arrival_of(called, calling, priority)
    answers = [trial.answer(path, arrival) for path in files]
    if as_json:
        show_json(answers)
    else:
        columns = ("File", "Urgency", "Because", "Deadline", "Models", "Audit")
        show_table(columns, [_row(answer) for answer in answers])
    return 1 if any(answer["refused"] for answer in answers) else 0


def _row(answer: dict[str, object]) -> tuple[object, ...]:
    name = Path(str(answer["file"])).name
    if answer["refused"]:
        return (name, "", answer["refused"], "", "", "")
    models, audit = answer["models"], answer["audit"]
    assert isinstance(models, list)
    assert isinstance(audit, list)
    told = [
        each["name"] if each["runs"] else f"not {each['name']}: {each['reason']}" for each in models
    ]
    return (
        name,
        answer["urgency"],
        answer["rule"],
        f"{answer['deadline_s']:g} s",
        "; ".join(told) or "none is served",
        " or ".join(audit) or "no",
    )
