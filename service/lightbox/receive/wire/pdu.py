"""Bytes of a peer, cut into PDUs and PDVs; every length is checked before it is used (PS3.8 9.3)."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

_HEADER = struct.Struct(">BxL")
_PDV = struct.Struct(">LBB")
_TIMEVAL = struct.Struct("@ll")  # seconds and microseconds, as the kernel has them
_COMMAND_BIT = 1
_LAST_BIT = 2
_LINGER_BYTES = 16 * 2**20
_NARROW = 4096
_WIDE = 2**18

RELEASE_RP = b"\x06\0\0\0\0\x04\0\0\0\0"
"""PS3.8 9.3.7."""


class AbortReason(IntEnum):
    """PS3.8 9.3.8."""

    NOT_SPECIFIED = 0
    UNRECOGNISED_PDU = 1
    UNEXPECTED_PDU = 2
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class ProtocolError(Exception):
    """The peer broke the protocol and gets an A-ABORT with this reason."""

    def __init__(self, reason: AbortReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class ClosedError(Exception):
    """The peer closed the connection, or it broke."""


class SilentError(Exception):
    """The peer said nothing for too long."""


@dataclass(frozen=True, slots=True)
class Pdv:
    """Header of one presentation data value (PS3.8 9.3.5.1 and annex E).

    Attributes
    ----------
    length : int
        Bytes of the fragment itself.
    """

    context_id: int
    length: int
    is_command: bool
    is_last: bool


def abort(reason: AbortReason) -> bytes:
    """Return an A-ABORT of the service provider."""
    return b"\x07\0\0\0\0\x04\0\0\x02" + bytes([reason])


def p_data(
    context_id: int, command_set: bytes, longest: int, *, is_command: bool = True
) -> Iterator[bytes]:
    """Yield the P-DATA-TF PDUs that carry a command set, or a data set, to a peer.

    Parameters
    ----------
    longest : int
        Longest PDU that the peer takes; 0 is any (PS3.8 D.1).
    """
    room = max(longest - _PDV.size, 2) if longest else len(command_set)
    for at in range(0, len(command_set), room):
        piece = command_set[at : at + room]
        flags = (_COMMAND_BIT if is_command else 0) | (
            _LAST_BIT if at + room >= len(command_set) else 0
        )
        pdv = _PDV.pack(len(piece) + 2, context_id, flags) + piece
        yield _HEADER.pack(4, len(pdv)) + pdv


class Wire:
    """One connection: a buffer in front of a blocking socket.

    Parameters
    ----------
    connection : socket
        Connected; TLS or not.
    silence : float
        Seconds after which a peer that owes us bytes is given up.
    """

    def __init__(self, connection: socket.socket, silence: float) -> None:
        self._socket = connection
        self._silence = silence
        self._buffer = bytearray(_NARROW)
        self._view = memoryview(self._buffer)
        self._at = 0
        self._end = 0
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(silence))
        self._patience = 0.0
        self._is_woken = False
        self._wait_at_most(silence)

    def secure(self, context: ssl.SSLContext, seconds: float) -> None:
        """Do the TLS handshake, in the thread of this connection: a silent peer delays nobody.

        Raises
        ------
        ClosedError
            If there is no agreement; the text says why.
        """
        self._socket.settimeout(seconds)
        try:
            # in two steps, so that `wake` finds the socket while we wait for the peer's part
            secured = context.wrap_socket(
                self._socket, server_side=True, do_handshake_on_connect=False
            )
            self._socket, self._patience = secured, seconds
            if self._is_woken:
                raise ClosedError
            secured.do_handshake()
        except OSError as error:
            raise ClosedError(f"TLS: {error}") from error

    def peer_certificate(self) -> Mapping[str, object]:
        """Return what the peer's certificate says; empty where there is none that was checked."""
        if not isinstance(self._socket, ssl.SSLSocket):
            return {}
        return self._socket.getpeercert() or {}

    def widen(self) -> None:
        """Take a buffer for data; until there is an association, a connection is worth less."""
        left = bytes(self._view[self._at : self._end])
        self._buffer = bytearray(_WIDE)
        self._view = memoryview(self._buffer)
        self._view[: len(left)] = left
        self._at, self._end = 0, len(left)

    # ---- reading

    def header(self, silence: float) -> tuple[int, int]:
        """Wait for the next PDU; return its type and length.

        Parameters
        ----------
        silence : float
            Seconds that the peer may take to begin.
        """
        if self._end == self._at:
            self._fill(silence)
        return self._header()

    def first_header(self, deadline: float) -> tuple[int, int]:
        """Wait for the first PDU until a point of the monotonic clock, however it trickles."""
        while self._end - self._at < _HEADER.size:
            self._fill(deadline - time.monotonic())
        return self._header()

    def _header(self) -> tuple[int, int]:
        at = self._need(_HEADER.size)
        kind, length = _HEADER.unpack_from(self._buffer, at)
        return kind, length

    def body(self, length: int, deadline: float | None = None) -> bytes:
        """Return the next ``length`` bytes, copied; the caller has bounded them."""
        collected = bytearray()
        while len(collected) < length:
            if self._at == self._end:
                left = self._silence if deadline is None else deadline - time.monotonic()
                self._fill(left)
            take = min(length - len(collected), self._end - self._at)
            collected += self._view[self._at : self._at + take]
            self._at += take
        return bytes(collected)

    def pdv(self, left: int) -> Pdv:
        """Read the header of the next PDV in a P-DATA-TF of which ``left`` bytes are unread.

        Raises
        ------
        ProtocolError
            If it does not fit into the PDU.
        """
        if left < _PDV.size:
            raise ProtocolError(AbortReason.INVALID_PARAMETER, "a PDV header leads out of its PDU")
        at = self._need(_PDV.size)
        length, context_id, flags = _PDV.unpack_from(self._buffer, at)
        if not 2 <= length <= left - 4:
            raise ProtocolError(AbortReason.INVALID_PARAMETER, f"a PDV of {length} bytes")
        return Pdv(context_id, length - 2, bool(flags & _COMMAND_BIT), bool(flags & _LAST_BIT))

    def pieces(self, length: int) -> Iterator[memoryview]:
        """Yield the next ``length`` bytes as views, valid until the next one is asked for."""
        while length:
            if self._at == self._end:
                self._fill(self._silence)
            take = min(length, self._end - self._at)
            piece = self._view[self._at : self._at + take]
            self._at += take
            length -= take
            yield piece

    def _need(self, count: int) -> int:
        while self._end - self._at < count:
            self._fill(self._silence)
        at = self._at
        self._at += count
        return at

    def _fill(self, silence: float) -> None:
        """Receive once into the free tail of the buffer."""
        if self._at:
            left = self._end - self._at
            if left:
                self._view[:left] = bytes(self._view[self._at : self._end])
            self._at, self._end = 0, left
        if silence <= 0:
            raise SilentError
        self._wait_at_most(silence)
        try:
            count = self._socket.recv_into(self._view[self._end :])
            # A sender that waits for the acknowledgement of its last small packet (Nagle) would
            # wait 40 ms for each instance; the option lasts for one packet only.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except (TimeoutError, BlockingIOError) as error:
            raise SilentError from error
        except OSError as error:
            raise ClosedError from error
        if not count:
            raise ClosedError
        self._end += count

    def _wait_at_most(self, seconds: float) -> None:
        """Let the peer take so long for the next bytes.

        The kernel keeps the time where it can: Python's own way asks before each call whether the
        call would wait, which is a second one for each.
        """
        if seconds == self._patience:
            return
        self._patience = seconds
        if isinstance(self._socket, ssl.SSLSocket):
            self._socket.settimeout(seconds)
            return
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))

    # ---- writing and ending

    def send(self, data: bytes) -> None:
        """Send all of it.

        Raises
        ------
        ClosedError
            If the peer is gone, or takes nothing.
        """
        if isinstance(self._socket, ssl.SSLSocket):  # it has one time for both directions
            self._wait_at_most(self._silence)
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ClosedError from error

    def wake(self) -> None:
        """Let a thread that waits for bytes see the end of them."""
        self._is_woken = True  # in case that the socket is just being exchanged
        with suppress(OSError):  # it is gone already
            socket.socket.shutdown(self._socket, socket.SHUT_RD)  # TLS or not, the TCP below

    def linger(self, seconds: float) -> None:
        """Sta13: read on, keep nothing, until the peer closes or time is up.

        Closing at once would reset the connection, and the peer might not see what we said last.
        """
        deadline = time.monotonic() + seconds
        try:
            self._socket.shutdown(socket.SHUT_WR)
            for _ in range(_LINGER_BYTES // len(self._buffer)):
                self._wait_at_most(max(deadline - time.monotonic(), 0.001))
                if not self._socket.recv_into(self._view):
                    return
        except OSError:
            return

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _timeval(seconds: float) -> bytes:
    """Return a ``struct timeval``; at least a microsecond, because 0 would be for ever."""
    whole = int(seconds)
    return _TIMEVAL.pack(whole, max(int(1e6 * (seconds - whole)), 0 if whole else 1))
