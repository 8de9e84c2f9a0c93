"""``lightbox serve``: the service, or one of its roles."""

from __future__ import annotations

import os
from pathlib import Path

import click

from lightbox.app.clock import SystemClock
from lightbox.app.layout import layout
from lightbox.app.processes.supervisor import DATA_DIR, ROLES, Supervisor
from lightbox.app.reload.accepted import from_file, keep, kept
from lightbox.app.site_check import check, check_addresses, not_yet
from lightbox.cli.invocation import Invocation
from lightbox.cli.start_up import show, summary
from lightbox.logs import configure, key_of
from lightbox.settings import Loaded
from lightbox.storage.files import Files


@click.command(epilog="Example: lightbox -c /etc/lightbox.toml serve")
@click.option("--role", type=click.Choice(ROLES), help="One role only, for several machines.")
@click.pass_obj
def serve(invocation: Invocation, role: str | None) -> int:
    """Run the service: receive, analyse, send results back.

    One line "ready …" on stderr says that the listener, the ledger and the models are up, then where
    everything is. SIGTERM finishes the instance in hand, lets running jobs stop at their next chunk
    and exits 0 within 30 s; SIGHUP takes up rules, destinations and limits anew. A second start on
    the same data directory is refused.
    """
    loaded = _in_force(invocation) if role is not None else invocation.loaded()
    settings = loaded.settings
    check(settings)
    folder = layout(settings).root
    Files().make_folder(layout(settings).ledger)  # synced: its chains are in no folder otherwise
    configure(settings.logging, role or "supervisor", key_of(folder))
    if role is not None:
        _role(role, loaded)
        return 0
    for line in not_yet(settings):
        click.echo(f"note: {line}", err=True)
    arguments = ["-c", str(Path(invocation.config).resolve())] if invocation.config else []
    if invocation.debug:
        arguments.append("--debug")
    clock = SystemClock()
    supervisor = Supervisor(
        folder,
        arguments,
        clock,
        lambda line: click.echo(line, err=True),
        lambda facts: show(summary(loaded, facts, folder)),
    )
    check_addresses(settings)  # of two services on one directory the lock has told already
    keep(folder, from_file(loaded.file, "start", clock.now()), Files())
    return supervisor.run()


def _in_force(invocation: Invocation) -> Loaded:
    """Return what the other processes of this service have, where a supervisor started this one.

    The file may have been edited since, and may be wrong by now.
    """
    loaded = invocation.loaded
    accepted = kept(Path(os.environ[DATA_DIR])) if DATA_DIR in os.environ else None
    return accepted.loaded(os.environ) if accepted is not None else loaded()


def _role(role: str, loaded: Loaded) -> None:
    if role == "receive":
        from lightbox.app.processes.roles import receive

        receive(loaded.settings)
    elif role == "control":
        from lightbox.app.processes.controlling import control
        from lightbox.console.view import open_console

        control(loaded, open_console)
    else:
        from lightbox.app.processes.working import work

        work(loaded.settings)
