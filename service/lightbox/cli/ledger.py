"""``lightbox ledger``: account for every accepted instance, and prove it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from lightbox.app.clock import SystemClock
from lightbox.cli.asking import who
from lightbox.cli.display import moment, show_json, show_table
from lightbox.cli.invocation import Invocation
from lightbox.domain.result import Disposition
from lightbox.domain.study_account import Expectations
from lightbox.ledger.prove import Proof
from lightbox.ledger.prove import check as check_files
from lightbox.ledger.prove import prove as prove_chains
from lightbox.ledger.read_model.read import ReadModel
from lightbox.ledger.report import proof_json


@click.group(epilog="Example: lightbox ledger prove && echo 'nothing is lost'")
def ledger() -> None:
    """Account for every accepted instance: delivered, listed with a reason, or in progress."""


@ledger.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_(invocation: Invocation, *, as_json: bool) -> None:
    """List every accepted instance and what became of it."""
    settings = invocation.settings()
    expected = Expectations(tuple(given.name for given in settings.destinations))
    with closing(ReadModel(invocation.ledger_folder(), expected)) as model:
        if as_json:
            show_json({"instances": list(model.instances())})
            return
        columns = ("Received", "Instance", "From", "Disposition", "Because")
        show_table(columns, map(_row, model.instances()))


@ledger.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def prove(invocation: Invocation, *, as_json: bool) -> int:
    """Recompute accepted = delivered + listed + in progress from the hash-chained log.

    Exit 1 if the sum is not right, or a row was edited, removed, inserted or moved.
    """
    settings = invocation.settings()
    names = [given.name for given in settings.destinations]
    return _show(prove_chains(invocation.ledger_folder(), names), as_json=as_json)


@ledger.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def check(invocation: Invocation, *, as_json: bool) -> int:
    """Prove, and hash every stored file again.

    Exit 1 if one is missing or changed; what the ledger says was removed is not missed.
    """
    settings = invocation.settings()
    names = [given.name for given in settings.destinations]
    folder = invocation.ledger_folder()
    return _show(check_files(folder, folder.parent, names), as_json=as_json)


@ledger.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def rebuild(invocation: Invocation, *, as_json: bool) -> int:
    """Rebuild chains whose files are damaged or lost. Stop the service first.

    Of each the beginning that proves is kept, a row says what was lost, what can be read behind the
    damage follows; every acknowledged instance without a row is taken in again from the stored
    files. The damaged files are kept in data_dir/set_aside. Every proof from then on states the
    break. Exit 1 if the ledger does not prove afterwards.
    """
    from lightbox.tools.rebuild import rebuild as rebuild_chains

    root = Path(invocation.settings().data_dir).expanduser().resolve()
    done = rebuild_chains(root, who(), SystemClock())
    proof = prove_chains(
        root / "ledger", [each.name for each in invocation.settings().destinations]
    )
    if as_json:
        show_json({"rebuilt": [asdict(row) for row in done.chains], "unsure": list(done.unsure),
                   "proof": proof_json(proof)})  # fmt: skip
        return 0 if proof.ok else 1
    if not done.chains:
        click.echo("no chain is damaged: nothing was done")
    for path in done.unsure:
        click.echo(f"{path}: set aside, nobody knows whether it is whole; ask its sender", err=True)
    return _show(proof, as_json=False)


def _show(proof: Proof, *, as_json: bool) -> int:
    if as_json:
        show_json(proof_json(proof))
        return 0 if proof.ok else 1
    chains = ", ".join(f"{name} {rows}" for name, rows in proof.chains.items())
    click.echo(f"{proof.rows} rows in {len(proof.chains)} chains ({chains or 'none yet'})")
    if proof.files:
        click.echo(f"{proof.files} files hashed again")
    click.echo(
        f"{proof.accepted} accepted = {proof.delivered} delivered + {proof.listed} listed "
        f"+ {proof.in_progress} in progress; {proof.unaccounted} unaccounted"
    )
    for line in (*proof.breaks, *proof.problems):
        click.echo(line, err=True)
    since = " since the breaks above, which are what these chains say of themselves"
    click.echo(f"proved{since if proof.breaks else ''}" if proof.ok else "NOT proved")
    return 0 if proof.ok else 1


def _row(instance: Mapping[str, Any]) -> tuple[object, ...]:
    if instance["disposition"] == Disposition.IN_PROGRESS:
        because = f"with {instance['owner']}, until {moment(instance['deadline'])}"
    else:
        because = f"{instance['reason']}: {instance['detail']}" if instance["reason"] else ""
    return (
        moment(instance["received_at"]),
        instance["sop_instance_uid"],
        instance["calling_ae"],
        instance["disposition"],
        because,
    )
