"""``lightbox erase``: the files of a study go; the ledger keeps the proof."""

from __future__ import annotations

import sys
from dataclasses import replace

import click

from lightbox.cli.asking import have_done, request
from lightbox.cli.invocation import Invocation
from lightbox.domain.errors import UsageError


@click.command(epilog="Example: lightbox erase 1.2.840.113619.2.55.3.1 --reason 'patient asked'")
@click.argument("study_uid")
@click.option("--reason", default="", metavar="TEXT", help="Stands in the ledger; name no patient.")
@click.option("--cancel", is_flag=True, help="Cancel what of it is still in progress.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def erase(invocation: Invocation, study_uid: str, *, reason: str, cancel: bool, yes: bool) -> int:
    """Erase all files of a study: images, results, previews, values of audits.

    The ledger keeps UIDs and SHA-256 of what was erased, by whom, when and why. What was delivered
    stays where it was delivered to; a backup loses it at its next run. Needs the running service.
    Exit 1 if work on it is in progress.
    """
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("erase", "asks before it erases, and nobody is there", "add --yes")
        click.confirm(f"Erase all files of study {study_uid}? They cannot be restored", abort=True)
    asked = replace(request("erase", study_uid), detail=reason, is_cancelling=cancel)
    return have_done(invocation, asked)
