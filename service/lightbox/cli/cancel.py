"""``lightbox cancel``: jobs that wait or run are stopped for good."""

from __future__ import annotations

import click

from lightbox.cli.asking import have_done, request
from lightbox.cli.invocation import Invocation


@click.command(epilog="Example: lightbox cancel 1.2.840.113619.2.55.3.1")
@click.argument("uid")
@click.pass_obj
def cancel(invocation: Invocation, uid: str) -> int:
    """Cancel the jobs of a study, an instance or a result, by its UID.

    Those that wait do not start, those that run stop at their next chunk; they are listed as
    cancelled. Results that are written still go out. Needs the running service. Exit 1 if no job
    waits or runs.
    """
    return have_done(invocation, request("cancel", uid))
