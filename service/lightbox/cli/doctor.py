"""``lightbox doctor``: what is wrong, in the words of who administers the PACS, and the mend."""

from __future__ import annotations

import click

from lightbox.app.clock import SystemClock
from lightbox.cli.display import show_json, show_table
from lightbox.cli.invocation import Invocation
from lightbox.tools.doctor import examine, weaknesses


@click.command(epilog="Example: lightbox -c /etc/lightbox.toml doctor")
@click.option("--security", is_flag=True, help="List weak settings instead; exit 1 if any.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_obj
def doctor(invocation: Invocation, *, security: bool, as_json: bool) -> int:
    """Look whether everything is well: configuration, service, network, machine, records.

    Each destination is asked by C-ECHO, and our own listener as that destination would call it.
    Nothing is changed. Run it as the user of the service. Exit 0 if nothing is wrong, 1 if
    something is, 2 if the configuration cannot be read.
    """
    loaded = invocation.loaded()
    found = weaknesses(loaded) if security else examine(loaded, SystemClock())
    if as_json:
        show_json(found.as_json())
        return 0 if found.ok else 1
    if found.findings:
        rows = [(each.verdict, each.name, each.words, each.mend) for each in found.findings]
        show_table(("Result", "What", "Finding", "Mend"), rows)
    click.echo(_summary(sum(not each.ok for each in found.findings), security=security), err=True)
    return 0 if found.ok else 1


def _summary(bad: int, *, security: bool) -> str:
    if security:
        return "no weak setting" if not bad else f"{bad} weak setting{'s' * (bad > 1)}"
    return "nothing is wrong" if not bad else f"{bad} thing{'s' * (bad > 1)} wrong"
