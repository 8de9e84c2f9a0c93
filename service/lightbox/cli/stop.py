"""``lightbox stop``: the switch that keeps models from running, whatever else is broken."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path

import click

from lightbox.app.doorbell import answers, ring
from lightbox.app.layout import layout
from lightbox.app.operate.switch import Flag, Switch
from lightbox.cli.asking import request, say
from lightbox.cli.invocation import Invocation
from lightbox.domain.errors import UsageError
from lightbox.domain.operations import ALL, Outcome, stop_words
from lightbox.settings import Settings
from lightbox.storage.files import Files


@click.command(epilog="Example: lightbox stop --model chest_xray")
@click.option("--model", help="This model only; else all.")
@click.pass_obj
def stop(invocation: Invocation, model: str | None) -> int:
    """Stop one model, or all: no new work within a second, running work at its next chunk.

    Results that are not delivered are held; studies are still accepted and wait. Works without
    web, database and running service: it is a file in data_dir/stop. `lightbox resume` ends it.
    """
    settings = invocation.settings()
    if model is not None:
        _known(model, settings)
    wanted = request("stop", model or ALL)
    root = layout(settings).root
    flag = Flag(wanted.subject, wanted.by, wanted.at)
    is_new = Switch(root, Files()).stop(flag)
    ring(root, "control")
    lines = [stop_words(wanted.subject, is_new=is_new)]
    if not answers(root, "control"):
        lines.append("no service runs here now: the next one starts stopped")
    return say(Outcome(is_done=True, lines=tuple(lines)))


def _known(model: str, settings: Settings) -> None:
    """Refuse a misspelt name: somebody would believe that the model is stopped."""
    names: set[str] = set()
    for manifest in Path(settings.models.path).glob("*/model.toml"):
        try:
            names.add(str(tomllib.loads(manifest.read_text("utf-8")).get("name", "")))
        except (OSError, ValueError):
            names.add(manifest.parent.name)
    if model not in names:
        near = get_close_matches(model, names, n=1)
        mend = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(names))}"
        raise UsageError(f"model {model}", "is not among the packages", mend)
