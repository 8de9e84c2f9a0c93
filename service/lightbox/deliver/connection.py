"""Below an association: what pynetdicom 3.0.4 does not do with its connection and its file."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import cast

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dsutils import split_dataset
from pynetdicom.transport import AddressInformation, AssociationSocket

from lightbox.deliver.access.tls import handshake, speaks_tls
from lightbox.deliver.status import Network

# What pynetdicom says on the way out we say ourselves, with the cause and the mend; at its lower
# levels it quotes data sets.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)

_log = logging.getLogger(__name__)


_LOOK_AGAIN = 0.05
"""Seconds after which whoever waits for a reactor looks whether it has ended."""


class Turns:
    """Whose turn it is to take what a peer says: the reactor's, or that of who sends and waits.

    pynetdicom has a reactor for each association, which takes what the peer says, and ``send_*``
    methods, which take their answer themselves and so have to stop the reactor. They clear an
    event and then look at a mark; but the reactor sets that mark *before* it waits for the event
    and takes it back when it goes on. Whoever looks in that moment sends, the reactor takes the
    answer away, and it is waited for until the time for answers is over: 5 of 2,000 C-ECHO to a
    quick peer, each 30 s late. This stands where pynetdicom has the event: the reactor calls
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


def take_turns(association: Association) -> None:
    """Let the reactor and the senders of an association that has not begun yet take turns."""
    association._reactor_checkpoint = cast("threading.Event", Turns(association))  # noqa: SLF001  # there is no public way


class RequestingEntity(AE):
    """An application entity that keeps hold of the socket of its one association.

    pynetdicom 3.0.4 does not close the socket of a connection that was refused or lost, and
    loses answers (:class:`Turns`).
    """

    _raw: socket.socket | None = None

    def _keep(self, made: socket.socket) -> None:
        self._raw = made

    def _create_socket(
        self,
        assoc: Association,
        address: AddressInformation,
        tls_args: tuple[ssl.SSLContext, str] | None,
    ) -> AssociationSocket:
        if tls_args is not None:
            wrapping = _Wrapping(tls_args[0], self._keep)
            tls_args = cast("ssl.SSLContext", wrapping), tls_args[1]
        take_turns(assoc)
        made = super()._create_socket(assoc, address, tls_args)
        self._raw = made.socket
        return made

    def cut(self) -> None:
        """End the connection; a thread that waits for an answer finds out at once."""
        if self._raw is not None:
            with suppress(OSError):  # it has ended
                self._raw.shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Close the socket."""
        if self._raw is not None:
            self._raw.close()


class _Wrapping:
    """Wraps a socket as its context does, and tells what came out.

    pynetdicom replaces its socket by that, and drops it unclosed where the handshake fails.
    """

    def __init__(self, context: ssl.SSLContext, made: Callable[[socket.socket], object]) -> None:
        self._context = context
        self._made = made

    def wrap_socket(self, plain: socket.socket, **how: object) -> ssl.SSLSocket:
        """Do what :meth:`ssl.SSLContext.wrap_socket` does."""
        wrapped = self._context.wrap_socket(plain, server_hostname=str(how["server_hostname"]))
        self._made(wrapped)
        return wrapped


def bound_reading(event: evt.Event, seconds: float) -> None:
    """Let no reading from the connection of an event take longer."""
    wire = event.assoc.dul.socket
    if wire is not None and wire.socket is not None:
        wire.socket.settimeout(seconds)


def set_option(event: evt.Event, option: int) -> None:
    """Switch an option of TCP on for the connection of an event."""
    wire = event.assoc.dul.socket
    if wire is not None and wire.socket is not None:
        with suppress(OSError):  # it was closed meanwhile: whoever reads from it finds out
            wire.socket.setsockopt(socket.IPPROTO_TCP, option, 1)


@contextmanager
def even_length(file: Path) -> Iterator[Path]:
    """Give a file whose data set has an even length, as every fragment on the wire must have.

    A deflated one may have been stored without its padding byte (PS3.5 A.5); Orthanc answers an
    odd fragment with silence.
    """
    _, offset = split_dataset(file)
    if (file.stat().st_size - offset) % 2 == 0:
        yield file
        return
    with NamedTemporaryFile(prefix="lightbox-", suffix=".dcm") as padded:
        padded.write(file.read_bytes() + b"\0")
        padded.flush()
        yield Path(padded.name)


@dataclass(frozen=True, slots=True)
class Tls:
    """How to speak TLS with a peer: the context, and the name of its certificate."""

    context: ssl.SSLContext
    name: str


def why_none(address: str, port: int, seconds: float, tls: Tls | None = None) -> Network:
    """Return why there is no connection, by trying once more: pynetdicom only logs the cause."""
    try:
        if tls is not None:
            return handshake((address, port), tls.context, tls.name, seconds) or Network.LOST
        socket.create_connection((address, port), timeout=seconds).close()
    except ConnectionRefusedError:
        return Network.REFUSED
    except TimeoutError:
        return Network.CONNECT_TIMEOUT
    except OSError as error:
        _log.debug("no connection to %s:%d: %s", address, port, error)
        return Network.NO_ROUTE
    return Network.LOST


def why_hung_up(address: str, port: int, seconds: float, tls: Tls | None) -> Network:
    """Return why a peer ended a connection at the request: it may be about TLS."""
    if tls is None:
        return Network.TLS_WANTED if speaks_tls((address, port), seconds) else Network.NOT_DICOM
    found = why_none(address, port, seconds, tls)
    return Network.NOT_DICOM if found is Network.LOST else found
