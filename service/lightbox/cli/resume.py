"""``lightbox resume``: takes the stop switch back."""

from __future__ import annotations

import click

from lightbox.app.doorbell import ring
from lightbox.app.layout import layout
from lightbox.app.operate.switch import Flag, Switch
from lightbox.cli.asking import request, say
from lightbox.cli.invocation import Invocation
from lightbox.domain.operations import ALL, Outcome, resume_words
from lightbox.storage.files import Files


@click.command(epilog="Example: lightbox resume --model chest_xray")
@click.option("--model", help="This model only; else the stop of all models.")
@click.pass_obj
def resume(invocation: Invocation, model: str | None) -> int:
    """End a stop: jobs and results that waited go on by themselves.

    A model that was stopped by its name stays stopped until it is resumed by its name. Exit 1 if
    there was nothing to resume.
    """
    wanted = request("resume", model or ALL)
    root = layout(invocation.settings()).root
    switch = Switch(root, Files())
    is_new = switch.resume(Flag(wanted.subject, wanted.by, wanted.at))
    ring(root, "control")
    lines = [resume_words(wanted.subject, is_new=is_new)]
    lines += [f"still stopped: {flag.model} (by {flag.by})" for flag in switch.flags()]
    return say(Outcome(is_done=is_new, lines=tuple(lines)))
