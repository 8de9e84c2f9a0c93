"""``lightbox urgency``: a person knows better how urgent a study is."""

from __future__ import annotations

import click

from lightbox.cli.asking import have_done, request
from lightbox.cli.invocation import Invocation


@click.command(epilog="Example: lightbox urgency 1.2.840.113619.2.55.3.1 STAT")
@click.argument("uid")
@click.argument("level", type=click.Choice(["STAT", "HIGH", "ROUTINE"], case_sensitive=False))
@click.pass_obj
def urgency(invocation: Invocation, uid: str, level: str) -> int:
    """Give a study another urgency, by the UID of study, instance or result.

    Jobs that wait change their place at once; what is still to come of the study has the new
    urgency too. The deadline of what is made more urgent counts from now. Needs the running
    service. Exit 1 if nothing by this UID is known.
    """
    return have_done(invocation, request("urgency", uid, urgency=level.upper()))
