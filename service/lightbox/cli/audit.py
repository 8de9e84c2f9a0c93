"""``lightbox audit``: a person wants the full explanation."""

from __future__ import annotations

import click

from lightbox.cli.asking import have_done, request
from lightbox.cli.invocation import Invocation


@click.command(epilog="Example: lightbox audit 1.2.840.113619.2.55.3.1 --method occlusion")
@click.argument("uid")
@click.option("--method", default="shapley", show_default=True, help="See: lightbox methods.")
@click.pass_obj
def audit(invocation: Invocation, uid: str, method: str) -> int:
    """Have the fast results of a study audited, by the UID of study, instance or result.

    The audit's reason says who requested it. Needs the running service. Exit 1 if there is no
    fast result yet, or the audit is there already.
    """
    return have_done(invocation, request("audit", uid, method))
