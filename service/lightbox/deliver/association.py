"""An association as SCU whose failures have a cause in words.

pynetdicom logs why an association failed and tells the caller only that it did; here the cause
becomes a row of ``status.py``.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pynetdicom import _config as pynetdicom_settings
from pynetdicom import build_role, evt
from pynetdicom.association import Association as PynetdicomAssociation
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RJ
from pynetdicom.presentation import build_context

from lightbox.deliver.access.tls import client_context
from lightbox.deliver.connection import (
    RequestingEntity,
    Tls,
    bound_length,
    even_length,
    why_hung_up,
    why_none,
)
from lightbox.deliver.status import (
    NETWORK,
    Action,
    Answer,
    DestinationError,
    Network,
    of_rejection,
)
from lightbox.domain.errors import ConfigurationError
from lightbox.settings import DestinationSettings, DestinationTls

# Files are sent as they are, in pieces: never decoded, never encoded again, never whole in memory.
pynetdicom_settings.STORE_SEND_CHUNKED_DATASET = True

VERIFICATION = ("1.2.840.10008.1.1", "1.2.840.10008.1.2")
"""(SOP class, transfer syntax) of C-ECHO, PS3.4 A."""

MOST_CONTEXTS = 128
"""Presentation contexts in one association, PS3.8 9.3.2.2: odd identifiers from 1 to 255."""

_END_SECONDS = 2.0
_LAST_WORD_SECONDS = 0.2
_PLAIN = DestinationTls()


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom to call, as whom, and how long to wait.

    Attributes
    ----------
    name : str
        How people call it, for errors.
    connect_seconds, answer_seconds : float
        For the TCP connection; for each answer of the peer.
    tls : DestinationTls
        TLS is spoken where its ``ca`` is set.
    """

    name: str
    ae_title: str
    host: str
    port: int
    calling_ae: str
    connect_seconds: float = 5.0
    answer_seconds: float = 30.0
    tls: DestinationTls = _PLAIN

    @property
    def address(self) -> str:
        """Name, AE title, host and port, as an administrator writes them."""
        return f"{self.name} ({self.ae_title}@{self.host}:{self.port})"


def peer_of(given: DestinationSettings, our_ae_title: str) -> Peer:
    """Return whom to call for a destination, as whom; ``our_ae_title`` where it has none for us."""
    return Peer(
        given.name,
        given.ae_title,
        given.host,
        given.port,
        given.calling_ae or our_ae_title,
        given.connect_within,
        given.answer_within,
        given.tls,
    )


@dataclass(frozen=True, slots=True)
class Response:
    """Status (0000,0900) and Error Comment (0000,0902) of a response."""

    status: int
    comment: str = ""


class Association:
    """One association; it is open when the constructor returns.

    Parameters
    ----------
    peer : Peer
        Whom to call.
    contexts : iterable of (str, str)
        SOP class and transfer syntax of each presentation context to propose, at most 128.
    as_scp_of : str
        SOP class that we are the SCP of although we call (PS3.7 D.3.3.4); "": of none.
    reported : callable or None
        Called with the data set of each N-EVENT-REPORT of the peer, from a thread of the
        association; returns the status.

    Raises
    ------
    DestinationError
        If there is none: with the cause.
    """

    def __init__(
        self,
        peer: Peer,
        contexts: Iterable[tuple[str, str]],
        *,
        as_scp_of: str = "",
        reported: Callable[[Dataset], int] | None = None,
    ) -> None:
        self._peer = peer
        self._reported = reported
        self._messages = itertools.cycle(range(1, 65536))
        self._connected = False
        self._abort_received = False
        self._rejected: tuple[int, int] | None = None
        address, tls = _resolve(peer), _tls(peer)
        ae = self._entity = RequestingEntity(ae_title=peer.calling_ae)
        ae.connection_timeout = peer.connect_seconds
        ae.acse_timeout = peer.answer_seconds
        ae.dimse_timeout = peer.answer_seconds
        ae.network_timeout = None
        began = time.monotonic()
        self._wire: PynetdicomAssociation = ae.associate(
            address,
            peer.port,
            contexts=[build_context(sop_class, syntax) for sop_class, syntax in contexts],
            ae_title=peer.ae_title,
            ext_neg=[build_role(as_scp_of, scp_role=True)] if as_scp_of else None,
            tls_args=(tls.context, tls.name) if tls else None,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, self._on_open),
                (evt.EVT_ACCEPTED, bound_length),
                (evt.EVT_PDU_RECV, self._on_pdu),
                *([(evt.EVT_N_EVENT_REPORT, self._on_report)] if reported else []),
            ],
        )
        if not self._wire.is_established:
            ae.hang_up()
            raise self._why_not(address, tls, time.monotonic() - began)
        self._accepted = {
            (str(context.abstract_syntax), str(context.transfer_syntax[0]))
            for context in self._wire.accepted_contexts
        }

    @property
    def is_open(self) -> bool:
        """Whether the peer still holds the association."""
        return bool(self._wire.is_established)

    @property
    def accepted(self) -> frozenset[tuple[str, str]]:
        """SOP class and transfer syntax of each accepted presentation context."""
        return frozenset(self._accepted)

    def store(self, instance: Path | Dataset) -> Response:
        """Send one instance by C-STORE.

        Parameters
        ----------
        instance : Path or Dataset
            A file (PS3.10) is sent as it is, its own context must have been accepted; a data set
            is encoded as an accepted context wants it.

        Raises
        ------
        DestinationError
            If no answer came.
        OSError
            If the file cannot be read.
        """
        began = time.monotonic()
        even = even_length(instance) if isinstance(instance, Path) else nullcontext(instance)
        try:
            with even as data_set:
                answer = self._wire.send_c_store(data_set, msg_id=next(self._messages))
        except RuntimeError as error:
            raise self._error(NETWORK[Network.LOST]) from error
        except OSError:
            self.cut()  # the file: part of it may be on its way, and nothing can follow that
            raise
        return self._response(answer, time.monotonic() - began)

    def action(self, data_set: Dataset, sop_class: str, sop_instance: str) -> Response:
        """Send N-ACTION of type 1 (PS3.7 10.1.4).

        Raises
        ------
        DestinationError
            If no answer came.
        """
        return self._normalised(self._wire.send_n_action, data_set, 1, (sop_class, sop_instance))

    def event_report(
        self, data_set: Dataset, event_type: int, sop_class: str, sop_instance: str
    ) -> Response:
        """Send N-EVENT-REPORT (PS3.7 10.1.1), in the role of ``as_scp_of``.

        Raises
        ------
        DestinationError
            If no answer came.
        """
        about = (sop_class, sop_instance)
        return self._normalised(self._wire.send_n_event_report, data_set, event_type, about)

    def _normalised(
        self,
        send: Callable[..., tuple[Dataset, Dataset | None]],
        data_set: Dataset,
        kind: int,
        about: tuple[str, str],
    ) -> Response:
        began = time.monotonic()
        try:
            answer, _ = send(data_set, kind, *about, msg_id=next(self._messages))
        except (RuntimeError, ValueError) as error:  # it has ended, or has no such context or role
            raise self._error(NETWORK[Network.LOST]) from error
        return self._response(answer, time.monotonic() - began)

    def echo(self) -> None:
        """Send C-ECHO where verification was accepted; the open association proves life else.

        Raises
        ------
        DestinationError
            If no answer came, or another than success.
        """
        if VERIFICATION not in self._accepted:
            return
        began = time.monotonic()
        try:
            answer = self._wire.send_c_echo(msg_id=next(self._messages))
        except RuntimeError as error:
            raise self._error(NETWORK[Network.LOST]) from error
        response = self._response(answer, time.monotonic() - began)
        if response.status:
            refused = Answer(Action.UNREACHABLE, f"answered C-ECHO with 0x{response.status:04X}")
            raise self._error(refused)

    def close(self) -> None:
        """Release the association; where the peer has ended it, only let go of the socket."""
        if self._wire.is_established:
            self._wire.acse_timeout = _END_SECONDS  # there is nothing left to lose
            self._wire.release()
        self._wire.join(_LAST_WORD_SECONDS)
        self._entity.cut()  # a thread may still wait for the rest of something
        self._wire.join(_END_SECONDS)
        self._entity.hang_up()

    def cut(self) -> None:
        """End it without waiting, from any thread: an answer that is waited for is lost."""
        self._entity.cut()

    def _on_open(self, _: evt.Event) -> None:
        self._connected = True

    def _on_report(self, event: evt.Event) -> tuple[int, None]:
        assert self._reported is not None
        return self._reported(event.event_information), None

    def _on_pdu(self, event: evt.Event) -> None:
        # pynetdicom closes a rejected connection so soon that it may forget why: we remember.
        pdu = event.pdu
        self._abort_received |= isinstance(pdu, A_ABORT_RQ)
        if isinstance(pdu, A_ASSOCIATE_RJ):
            self._rejected = (pdu.source or 0, pdu.reason_diagnostic or 0)

    def _response(self, answer: Dataset, seconds: float) -> Response:
        if "Status" in answer:
            return Response(int(answer.Status), str(answer.get("ErrorComment", "") or ""))
        raise self._error(NETWORK[self._lost(seconds, Network.LOST)])

    def _lost(self, seconds: float, otherwise: Network) -> Network:
        if self._abort_received:
            return Network.ABORTED
        return Network.NO_ANSWER if seconds >= self._peer.answer_seconds else otherwise

    def _why_not(self, address: str, tls: Tls | None, seconds: float) -> DestinationError:
        port, connect = self._peer.port, self._peer.connect_seconds
        if not self._connected:
            return self._error(NETWORK[why_none(address, port, connect, tls)])
        if self._rejected is not None:
            return self._error(of_rejection(*self._rejected))
        if self._wire.acceptor.primitive is None:
            found = self._lost(seconds, Network.NOT_DICOM)
            if found is Network.NOT_DICOM:
                found = why_hung_up(address, port, connect, tls)
            return self._error(NETWORK[found])
        return self._error(NETWORK[Network.NO_CONTEXTS])

    def _error(self, answer: Answer) -> DestinationError:
        mend = answer.mend
        if "our AE title" in mend:
            mend = mend.replace("our AE title", f"our AE title {self._peer.calling_ae}")
        return DestinationError(answer.action, self._peer.address, answer.meaning, mend)


def _resolve(peer: Peer) -> str:
    try:
        found = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        row = NETWORK[Network.NAME_UNKNOWN]
        raise DestinationError(row.action, peer.address, row.meaning, row.mend) from error
    return str(found[0][4][0])


def _tls(peer: Peer) -> Tls | None:
    """Return how to speak TLS, from the files as they are now: they may have been renewed."""
    if not peer.tls.ca:
        return None
    try:
        context = client_context(peer.tls, f"destinations.{peer.name}.tls")
    except ConfigurationError as error:
        raise DestinationError(Action.UNREACHABLE, error.thing, error.reason, error.mend) from error
    return Tls(context, peer.tls.name or peer.host)
