"""``lightbox serve``: the service, or one of its roles."""

from __future__ import annotations

from pathlib import Path

import click

from lightbox.app.clock import SystemClock
from lightbox.app.layout import layout
from lightbox.app.site_check import check, not_yet
from lightbox.app.supervisor import ROLES, Supervisor
from lightbox.cli.invocation import Invocation
from lightbox.logs import configure, key_of
from lightbox.settings import Loaded


@click.command(epilog="Example: lightbox -c /etc/lightbox.toml serve")
@click.option("--role", type=click.Choice(ROLES), help="One role only, for several machines.")
@click.pass_obj
def serve(invocation: Invocation, role: str | None) -> int:
    """Run the service: receive, analyse, send results back. SIGTERM drains and stops it."""
    loaded = invocation.loaded()
    settings = loaded.settings
    check(settings)
    folder = layout(settings).root
    configure(settings.logging, role or "supervisor", key_of(folder))
    if role is not None:
        _role(role, loaded)
        return 0
    for line in not_yet(settings):
        click.echo(f"note: {line}", err=True)
    arguments = ["-c", str(Path(invocation.config).resolve())] if invocation.config else []
    if invocation.debug:
        arguments.append("--debug")
    return Supervisor(
        folder, arguments, SystemClock(), lambda line: click.echo(line, err=True)
    ).run()


def _role(role: str, loaded: Loaded) -> None:
    from lightbox.app import roles

    if role == "receive":
        roles.receive(loaded.settings)
    elif role == "control":
        from lightbox.console.view import open_console

        roles.control(loaded, open_console)
    else:
        roles.work(loaded.settings)
