"""Who takes what a peer says, and what is an answer: where pynetdicom 3.0.4 loses some or waits."""

from __future__ import annotations

import logging
import threading
import time
from queue import Empty, Queue
from typing import cast

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import DimseServiceType
from pynetdicom.dul import DULServiceProvider

_log = logging.getLogger(__name__)

_LOOK_AGAIN = 0.05
"""Seconds after which whoever waits looks whether that for which he waits can still come."""

_OPEN = frozenset({"Sta5", "Sta6"})
"""States in which an answer can come (PS3.8 9.2.1): established, or about to enter that."""

_Message = tuple[int, DimseServiceType] | tuple[None, None]


class Turns:
    """Whose turn it is to take what a peer says: the reactor's, or that of who sends and waits.

    pynetdicom has a reactor for each association, which takes what the peer says, and ``send_*``
    methods, which take their answer themselves and so have to stop the reactor. They clear an
    event and then look at a mark; but the reactor sets that mark *before* it waits for the event
    and takes it back when it goes on. Whoever looks in that moment sends, the reactor takes the
    answer away, and it is waited for until the time for answers is over (``answer_within``): so it
    went with 5 of 2,000 C-ECHO to a quick peer. This stands where pynetdicom has the event: the reactor calls
    :meth:`wait` in each of its rounds, a sender :meth:`clear` before and :meth:`set` after.

    Parameters
    ----------
    reactor : threading.Thread
        The association.
    """

    def __init__(self, reactor: threading.Thread) -> None:
        self._reactor = reactor
        self._changed = threading.Condition()
        self._is_free = True
        self._is_held = False

    def is_set(self) -> bool:
        """Say whether the reactor may go on."""
        return self._is_free

    def set(self) -> None:
        """Let the reactor go on."""
        with self._changed:
            self._is_free = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Hold the reactor; it is held, or has ended, when this returns."""
        if threading.current_thread() is self._reactor:
            return  # what it calls itself cannot wait for it
        with self._changed:
            self._is_free = False
            while not (self._is_held or self._is_free) and self._reactor.is_alive():
                self._changed.wait(_LOOK_AGAIN)

    def wait(self, timeout: float | None = None) -> bool:
        """Be held here while it is another's turn."""
        with self._changed:
            self._is_held = not self._is_free
            if self._is_held:
                self._changed.notify_all()
                self._changed.wait_for(self.is_set, timeout)
                self._is_held = False
            return self._is_free


class _TakingTurns(Association):
    """An association without the mark that a sender looks at when it has held the reactor.

    Whoever serves a report of the peer takes that mark back, from a thread of its own; a reactor
    that is held does not set it again, and a sender would look for it for ever. Turns are enough.
    """

    @property
    def _is_paused(self) -> bool:
        return True

    @_is_paused.setter
    def _is_paused(self, _: bool) -> None:
        """Forget it."""


def take_turns(association: Association) -> None:
    """Let the reactor and the senders of an association that has not begun yet take turns."""
    association.__class__ = _TakingTurns
    association._reactor_checkpoint = cast("threading.Event", Turns(association))  # noqa: SLF001  # there is no public way


class Answers(Queue[_Message]):
    """The messages of a peer: to the reactor the next one, to who waits the answer to what he sent.

    pynetdicom's own queue gives any message as the answer, and nobody puts anything into it when
    the peer releases the association, breaks the protocol or says what cannot be read: then the
    whole time for answers is waited. It lets that time begin when a file lies in a queue for
    sending, so that a large one could never be sent over a slow line; here it begins again with
    each piece that has gone out.

    Parameters
    ----------
    provider : DULServiceProvider
        What sends and receives for the association.
    """

    def __init__(self, provider: DULServiceProvider) -> None:
        super().__init__()
        self._provider = provider
        self._awaited: int | None = None
        self._moved_at = 0.0

    def on_message(self, event: evt.Event) -> None:
        """Note which answer is awaited; an answer of ours to a report awaits none."""
        self._awaited = event.message.command_set.get("MessageID", self._awaited)

    def on_piece(self, _: evt.Event) -> None:
        """Note that a piece has gone out."""
        self._moved_at = time.monotonic()

    def get(self, block: bool = True, timeout: float | None = None) -> _Message:  # noqa: FBT001, FBT002  # queue.Queue's
        """Return the next message; with ``block`` the awaited answer.

        Raises
        ------
        queue.Empty
            If there is none: where it is waited for, once none can come or none came in time.
        """
        if not block or timeout is None:
            return super().get(block, timeout)
        self._moved_at = time.monotonic()
        while (left := self._moved_at + timeout - time.monotonic()) > 0.0:
            is_open = self._is_open()  # before the look: what came before the end lies there
            try:
                found = super().get(is_open, min(left, _LOOK_AGAIN))
            except Empty:
                if not is_open:
                    raise
                continue
            if found[1] is None or found[1].MessageIDBeingRespondedTo == self._awaited:
                return found
            _log.warning("a message that is not the answer to what we sent was passed over")
        raise Empty

    def _is_open(self) -> bool:
        return self._provider.is_alive() and self._provider.state_machine.current_state in _OPEN


def look_for_answers(association: Association) -> None:
    """Let the senders of an association that has not begun yet wait for their answers like this."""
    answers = Answers(association.dul)
    association.dimse.msg_queue = answers
    association.bind(evt.EVT_DIMSE_SENT, answers.on_message)
    association.bind(evt.EVT_DATA_SENT, answers.on_piece)
