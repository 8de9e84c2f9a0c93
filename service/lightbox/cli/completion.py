"""``lightbox completion``: what a shell needs to complete commands, options and their values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="\b\nExample, for good:\n"
    "  lightbox completion bash > ~/.local/share/bash-completion/completions/lightbox"
)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    For this session only: eval "$(lightbox completion bash)".
    """
    kind = get_completion_class(shell)
    assert kind is not None
    program = context.find_root().command
    click.echo(kind(program, {}, "lightbox", "_LIGHTBOX_COMPLETE").source())
