"""A peer that we call and that answers PDU by PDU, as a test wants it (PS3.8 9.3)."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from raw_peer import PATIENCE, RawPeer, command, item, p_data, pdu, pdv, us

CLASS = str(SecondaryCaptureImageStorage)
SYNTAX = str(ExplicitVRLittleEndian)

TAKES_16_KB = item(0x51, struct.pack(">L", 2**14))
"""Maximum Length (PS3.8 D.1)."""


class Called(RawPeer):
    """The other side of a connection that we opened; it accepts one context."""

    def __init__(self, caller: socket.socket, ended: threading.Event) -> None:
        self.socket = caller
        self.context = 1
        self._ended = ended
        caller.settimeout(PATIENCE)

    def accept(self, longest: bytes = TAKES_16_KB) -> None:
        """Answer the request for an association."""
        self.send(self.acceptance(longest))

    def acceptance(self, longest: bytes = TAKES_16_KB) -> bytes:
        kind, body = self.read()
        assert kind == 1
        context = item(0x21, bytes((self.context, 0, 0, 0)) + item(0x40, SYNTAX.encode()))
        user = item(0x50, longest + item(0x52, b"1.2.3.4.5"))
        titles = body[4:36] + bytes(32)
        application = item(0x10, b"1.2.840.10008.3.1.1.1")
        return pdu(2, struct.pack(">Hxx", 1) + titles + application + context + user)

    def request(self) -> int:
        """Read a message to its end; return its number."""
        found = self.response()
        while found[0x0800] != 0x0101:
            _, body = self.read()
            if body[5] & 2:
                break
        return found.get(0x0110, 0)

    def wait(self) -> None:
        """Say nothing to the end of the test, and read nothing."""
        self._ended.wait(60.0)


def answer(message: int, status: int = 0, kind: int = 0x8001) -> bytes:
    return p_data(
        pdv(
            1,
            3,
            command(
                _0002=CLASS.encode(),
                _0100=us(kind),
                _0120=us(message),
                _0800=us(0x0101),
                _0900=us(status),
            ),
        )
    )


Play = Callable[[Called], object]


@contextmanager
def playing(*plays: Play) -> Iterator[int]:
    """Answer one connection after another like these."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for play in plays:
                caller, _ = listener.accept()
                with caller, suppress(OSError):
                    play(Called(caller, ended))

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            ended.set()
