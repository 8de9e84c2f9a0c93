"""``lightbox retry``: what failed is tried again."""

from __future__ import annotations

import click

from lightbox.cli.asking import have_done, request
from lightbox.cli.invocation import Invocation
from lightbox.domain.operations import ALL


@click.command(epilog="Example: lightbox retry --all-failed")
@click.argument("uid", required=False)
@click.option("--all-failed", is_flag=True, help="Everything that failed, of all studies.")
@click.pass_obj
def retry(invocation: Invocation, uid: str | None, *, all_failed: bool) -> int:
    """Try again what failed of a study, an instance or a result, by its UID.

    Results that were given up go out again with all their tries; failed and cancelled jobs run
    again (with --all-failed the cancelled ones do not). Needs the running service. Exit 1 if
    nothing of UID has failed.
    """
    if bool(uid) == all_failed:
        raise click.UsageError("name a UID, or say --all-failed")
    return have_done(invocation, request("retry", uid or ALL))
