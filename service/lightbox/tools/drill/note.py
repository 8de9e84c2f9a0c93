"""The one trace of a drill in the production ledger: that it was held, by whom, how it ended."""

from __future__ import annotations

import os
from pathlib import Path

from lightbox.app.doorbell import answers
from lightbox.app.layout import Layout
from lightbox.app.operate.letterbox import ask
from lightbox.app.processes.supervisor import lock_data_dir
from lightbox.domain.errors import OperationError
from lightbox.domain.events import drill_held
from lightbox.domain.operations import Request
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ports import Clock
from lightbox.storage.files import Files

_CHAIN = "control"


def note(data_dir: Path, request: Request, clock: Clock) -> str:
    """Write it down; return where, in words.

    A running service is asked to; else it is written to the chain that the service would write,
    under the lock of the data directory, so that no service can start meanwhile.

    Raises
    ------
    LightboxError
        If it could not be written.
    """
    at = Layout(data_dir)
    if answers(at.root, _CHAIN):
        outcome = ask(at.root, request, Files(), clock)
        if not outcome.is_done:
            raise OperationError("the drill", "; ".join(outcome.lines), "see the service's log")
        return "in the ledger, by the running service"
    if not at.ledger.is_dir():
        return "nowhere: no service has ever run on this data directory"
    lock = lock_data_dir(at.root, clock)
    try:
        ledger = SqliteLedger(at.ledger, _CHAIN, clock)
        try:
            ledger.record(drill_held(request))
        finally:
            ledger.close()
    finally:
        os.close(lock)
    return "in the ledger"
