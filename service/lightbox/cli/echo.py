"""``lightbox echo``: does a node answer, and if not, why."""

from __future__ import annotations

import json

import click

from lightbox.app.clock import SystemClock
from lightbox.app.operate.reach import reach
from lightbox.cli.invocation import Invocation
from lightbox.cli.send import CALLING, address
from lightbox.domain.errors import UsageError
from lightbox.domain.identity import ae_title
from lightbox.settings import DestinationSettings, Settings


@click.command(
    epilog="Example: lightbox echo pacs. A node that is not configured: lightbox echo PACS@10.0.0.5:104."
)
@click.argument("node", required=False, metavar="[DESTINATION]")
@click.option("--calling", metavar="AET", help="Our AE title; else that of this service.")
@click.option("--json", "as_json", is_flag=True, help="Print the answers as JSON.")
@click.pass_obj
def echo(invocation: Invocation, node: str | None, calling: str | None, as_json: bool) -> int:
    """Ask a node whether it answers (C-ECHO; for DICOMweb, a request to its root).

    DESTINATION is a name from the configuration or AET@HOST:PORT. Without it all destinations are
    asked, and where there are none, this service. Exit 0 if all answer, 1 if not.
    """
    settings = invocation.settings()
    asked = _nodes(settings, node)
    ours = ae_title(calling or (settings.dicom.ae_title if settings.destinations else CALLING))
    dicom = settings.dicom.model_copy(update={"ae_title": ours})
    asking = settings.model_copy(update={"dicom": dicom})
    rows = [reach(one, asking, SystemClock()) for one in asked]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        for row in rows:
            click.echo(row["answer"], err=not row["ok"])
    return 0 if all(row["ok"] for row in rows) else 1


def _nodes(settings: Settings, node: str | None) -> list[DestinationSettings]:
    if node is None:
        own = settings.dicom
        here = DestinationSettings(
            name="this service", ae_title=own.ae_title, host=own.host, port=own.port
        )
        return list(settings.destinations) or [here]
    named = [one for one in settings.destinations if one.name == node]
    if named:
        return named
    if "@" not in node:
        names = ", ".join(one.name for one in settings.destinations) or "none"
        raise UsageError(
            f"destination {node!r}", f"is not configured (there are: {names})", "or AET@HOST:PORT"
        )
    title, _, where = node.partition("@")
    host, port = address(where)
    return [DestinationSettings(name="node", ae_title=ae_title(title), host=host, port=port)]
