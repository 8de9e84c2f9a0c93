"""``lightbox backup``: a copy of the data directory that proves."""

from __future__ import annotations

from pathlib import Path

import click

from lightbox.cli.display import show_json
from lightbox.cli.invocation import Invocation
from lightbox.ledger.report import proof_json
from lightbox.tools.backup import back_up


@click.command(epilog="Example: lightbox backup /mnt/backup/lightbox")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def backup(invocation: Invocation, folder: Path, *, as_json: bool) -> int:
    """Copy the data directory to FOLDER, beside the running service, and prove the copy.

    Chains of the ledger, instances, results and the values of audits; into the same FOLDER only
    what is new is copied. To restore: stop the service, put FOLDER in the place of data_dir, start
    it; the queue is filled again from the ledger. Exit 1 if the copy does not prove.
    """
    settings = invocation.settings()
    names = [given.name for given in settings.destinations]
    done = back_up(invocation.ledger_folder().parent, folder, names)
    if as_json:
        proof = proof_json(done.proof)
        show_json({"folder": str(done.folder), "files": done.files, "bytes": done.size_bytes,
                   "proof": proof})  # fmt: skip
        return 0 if done.proof.ok else 1
    click.echo(f"{done.files} files, {done.size_bytes / 1e6:.1f} MB, copied to {done.folder}")
    for problem in done.proof.problems:
        click.echo(problem, err=True)
    words = "proved" if done.proof.ok else "NOT proved: keep the backup before this one"
    click.echo(f"{done.proof.rows} rows, {done.proof.files} files hashed again: {words}")
    return 0 if done.proof.ok else 1
