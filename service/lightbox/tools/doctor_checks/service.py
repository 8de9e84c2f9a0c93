"""The service itself: whether its processes run, and whether it is ready for studies."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from lightbox.app.processes.notices import condition_of
from lightbox.app.processes.process import is_ready
from lightbox.app.processes.supervisor import ROLES
from lightbox.ports import Clock
from lightbox.settings import Settings, Web
from lightbox.tools.doctor_checks.addresses import from_here
from lightbox.tools.doctor_checks.finding import Finding, well, wrong

_SECONDS = 5.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""This machine: past the proxies of the environment."""


def service(settings: Settings, root: Path, clock: Clock) -> Iterator[Finding]:
    """Look for the processes of ``lightbox serve``, and ask the console's ``/readyz``."""
    up = [role for role in ROLES if is_ready(root, role)]
    down = [role for role in ROLES if role not in up]
    if not up:
        yield wrong("service", f"does not run on {root}", "start it: lightbox serve")
        return
    if down:
        yield wrong(
            "service",
            f"{' and '.join(down)} not up, {' and '.join(up)} is",
            "wait a moment if it has just been started; else see its log",
        )
    else:
        yield well("service", f"{', '.join(up)} run")
    if "control" in up and settings.web.port:
        yield _readiness(settings.web)
    if "work" in up:
        yield from condition(root, clock)


def condition(root: Path, clock: Clock) -> Iterator[Finding]:
    """Say what the worker has to do without."""
    for words in condition_of(root).complaints(clock.now()):
        yield wrong(
            "worker", words, "see the log, lightbox models check, and what else runs on the device"
        )


def _readiness(web: Web) -> Finding:
    host = from_here(web.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{web.port}/readyz"
    try:
        with _OPENER.open(url, timeout=_SECONDS) as answer:
            said = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            said = _json(error.read())
    except (OSError, ValueError) as error:
        return wrong(
            "readiness",
            f"{url} does not answer: {error}",
            "restart the service if web.port was changed since its start",
        )
    checks = said.get("checks", ())
    not_ok = [f"{one['name']} {one['words']}" for one in checks if not one["is_ok"]]
    if said.get("ready") and not not_ok:
        return well("readiness", f"{url}: ready for studies")
    return wrong("readiness", "; ".join(not_ok) or f"{url} is not ours", "see the log")


def _json(text: bytes) -> dict[str, object]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
