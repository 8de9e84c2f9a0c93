"""What operator commands have in common: who asks, whom they ask, and how the answer is said."""

from __future__ import annotations

import os
import pwd

import click

from lightbox.app.clock import SystemClock
from lightbox.app.layout import layout
from lightbox.app.operate.letterbox import ask
from lightbox.cli.invocation import Invocation
from lightbox.domain.operations import Action, Outcome, Request
from lightbox.storage.files import Files


def request(action: Action, subject: str, method: str = "shapley", *, urgency: str = "") -> Request:
    """Return a request of the person at this terminal."""
    return Request(action, subject, who(), SystemClock().now(), method, urgency)


def who() -> str:
    """Return who asks: the name at the operating system, also behind ``sudo``."""
    uid = os.getuid()
    if uid == 0 and os.environ.get("SUDO_USER"):
        return os.environ["SUDO_USER"]
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's user without a name
        return f"uid {uid}"


def have_done(invocation: Invocation, wanted: Request) -> int:
    """Ask the running service, say what it says, and return the exit code."""
    root = layout(invocation.settings()).root
    return say(ask(root, wanted, Files(), SystemClock()))


def say(outcome: Outcome) -> int:
    """Print an answer: what was done on stdout, what was not on stderr."""
    for line in outcome.lines:
        click.echo(line, err=not outcome.is_done)
    return 0 if outcome.is_done else 1
