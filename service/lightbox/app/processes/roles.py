"""The processes of ``lightbox serve``, each built on one page; ``receive`` on this one.

receive   listener, files, its own chain of the ledger          never: networks, models, results
control   see ``controlling.py``                                never: pixel data
work      see ``working.py``                                    never: the socket
"""

from __future__ import annotations

import gc
import json
from dataclasses import asdict
from typing import Literal

from lightbox.app.clock import SystemClock
from lightbox.app.doorbell import Bell
from lightbox.app.layout import layout
from lightbox.app.processes.process import Process
from lightbox.domain.events import ServiceMarked
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.settings import Settings
from lightbox.version import __version__

_DRAIN_LISTENER = 8.0
_STORED = "0x0000"
_LOOK_AT_CONFIGURATION = 0.25


def mark(
    ledger: SqliteLedger, role: str, what: Literal["started", "stopped"], clock: SystemClock
) -> None:
    """Record a start or stop; the heads of all chains in it anchor them in this one."""
    ledger.record(ServiceMarked(role, what, __version__, clock.now(), dict(ledger.heads())))


def receive(settings: Settings) -> None:
    """Run the listener until told to stop."""
    from lightbox.app.commitments import judge_here
    from lightbox.app.reload.accepted import Watch
    from lightbox.app.reload.renewal import FollowUp
    from lightbox.receive.listener import Listener
    from lightbox.receive.store import Store
    from lightbox.receive.wire.observation import Observation
    from lightbox.storage.files import Files
    from lightbox.storage.reserve import Reserve

    clock, at = SystemClock(), layout(settings)
    process = Process(at.root, "receive")
    ledger = SqliteLedger(at.ledger, "receive", clock)

    control = Bell(at.root, "control")

    def observe(seen: Observation) -> None:
        # Of a stored instance all is in the ledger: to look there is all that is to be said.
        is_told = seen.status == _STORED
        control.ring(b"" if is_told else json.dumps(asdict(seen)).encode())

    reserve = Reserve(at.root, settings.storage.reserve)
    order = settings.storage.sync
    store = Store(at.root, Files(), ledger, clock, reserve, order=order)
    judged = judge_here(settings, at.root, ledger)
    listener = Listener(settings.dicom, store, ledger, clock, observe, judged)
    mark(ledger, "receive", "started", clock)
    gc.freeze()  # what is there now stays: no sender waits while the collector looks at it again
    listener.start()
    process.ready(dicom=f"{settings.dicom.ae_title}@{settings.dicom.host}:{listener.port}")

    def take(new: Settings) -> None:
        listener.configure(new.dicom, judge_here(new, at.root, ledger))
        reserve.configure(new.storage.reserve)

    watch = Watch(at.root, FollowUp("receive", settings, ledger, take).follow)
    while not process.stopping.wait(_LOOK_AT_CONFIGURATION):
        watch.look()
    listener.drain(_DRAIN_LISTENER)
    store.close()
    mark(ledger, "receive", "stopped", clock)
    ledger.close()
    control.close()
