"""Turns on the device, for as long as the process goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

from lightbox.domain.errors import StoppingError
from lightbox.domain.urgency import Urgency

Turn: TypeAlias = Callable[[Urgency, float], AbstractContextManager[object]]
"""(urgency, deadline) → the device, when it is ours."""


def until_stopped(turn: Turn, stopping: threading.Event) -> Turn:
    """Let nobody begin a turn once the process stops: the job goes on at the next start."""

    @contextmanager
    def guarded(urgency: Urgency, deadline: float) -> Iterator[None]:
        if stopping.is_set():
            raise StoppingError
        with turn(urgency, deadline):
            yield

    return guarded
