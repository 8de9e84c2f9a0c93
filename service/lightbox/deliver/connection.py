"""Below an association: what pynetdicom 3.0.4 does not do with its connection and its file."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import cast

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dsutils import split_dataset
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from lightbox.deliver.access.answers import look_for_answers, take_turns
from lightbox.deliver.access.tls import handshake, speaks_tls
from lightbox.deliver.status import Network

# What pynetdicom says on the way out we say ourselves, with the cause and the mend; at its lower
# levels it quotes data sets.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)

_log = logging.getLogger(__name__)


_LONGEST_PDU = 2**18
_USUAL_PDU = 2**14
"""Bytes: what we send at most in one PDU; and where the peer does not say what it takes."""


class RequestingEntity(AE):
    """An application entity that keeps hold of the socket of its one association.

    pynetdicom 3.0.4 does not close the socket of a connection that was refused or lost. It loses
    answers and waits where none can come: see ``access/answers.py``.
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
        look_for_answers(assoc)
        assoc.dul.daemon = True  # an open association must not keep a process from ending
        made = _Wire(assoc, address=address)
        made.tls_args = tls_args
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


class _Wire(AssociationSocket):
    """A connection in which nothing stands still for ever, and nothing waits in the kernel."""

    def connect(self, primitive: T_CONNECT) -> None:
        """Connect, and bound each wait of what comes.

        pynetdicom's thread would stay in reading or writing where a peer is frozen or goes away
        inside of a PDU, and an abort waits for this thread. With TLS what TLS itself sends is
        enough: it makes the socket readable.
        """
        super().connect(primitive)
        if self.socket is not None:
            self.socket.settimeout(self.assoc.dimse_timeout)
            # A command and its data set are two small writes: Nagle's algorithm would hold back
            # the second one for the 40 ms of a delayed acknowledgement.
            self._set(socket.TCP_NODELAY)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, and acknowledge at once what has come.

        The peer's answer is two small writes as well (DCMTK, Orthanc), and the second one waits
        for this. The kernel forgets the option with each exchange.
        """
        self._set(getattr(socket, "TCP_QUICKACK", socket.TCP_NODELAY))
        return super().recv(nr_bytes)

    def _set(self, option: int) -> None:
        if self.socket is not None:
            with suppress(OSError):  # it was closed meanwhile: whoever reads from it finds out
                self.socket.setsockopt(socket.IPPROTO_TCP, option, 1)


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


def bound_length(event: evt.Event) -> None:
    """Let no PDU to a peer be longer than ``_LONGEST_PDU``, whatever it takes.

    Without a limit (0, PS3.8 D.1) a whole file would be one PDU, of whose way nothing is seen;
    pynetdicom cannot send at all to a peer that says nothing about it.
    """
    accepted = event.assoc.acceptor.primitive
    if accepted is not None:
        longest = accepted.maximum_length_received
        if longest is None:
            accepted.maximum_length_received = _USUAL_PDU
        elif not 0 < longest <= _LONGEST_PDU:
            accepted.maximum_length_received = _LONGEST_PDU


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
