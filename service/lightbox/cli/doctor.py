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
    bad = sum(not each.ok for each in found.findings)
    kind = "weak setting" if security else "thing wrong"
    plural = f"{bad} {kind}s" if security else f"{bad} things wrong"
    click.echo(f"no {kind}" if not bad else f"1 {kind}" if bad == 1 else plural, err=True)
    return 0 if found.ok else 1
