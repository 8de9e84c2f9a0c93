"""A wire that breaks on purpose: the sender never hears the answer to its first C-STORE."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import Self

_P_DATA = 0x04
_HEADER = struct.Struct(">BxL")


class LostAnswer:
    """A port on loopback that leads to another one, until that one has answered a C-STORE.

    Everything reaches the service; its answer to the association request comes back, its first
    P-DATA (the C-STORE response) is swallowed and the connection is cut: the service has stored the
    instance and believes that it said so.

    Attributes
    ----------
    swallowed : int
        Answers that were swallowed.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.swallowed = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, what: object, *arguments: object) -> None:
        thread = threading.Thread(target=what, args=arguments, daemon=True)  # type: ignore[arg-type]  # one of ours
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sender, _ = self._listener.accept()
            except OSError:
                return
            service = socket.create_connection(("127.0.0.1", self._to))
            self._start(_copy, sender, service)
            self._start(self._answers, service, sender)

    def _answers(self, service: socket.socket, sender: socket.socket) -> None:
        """Pass PDUs back until the first P-DATA, then cut (PS3.8 9.3)."""
        with service, sender, suppress(OSError):
            while head := _exactly(service, _HEADER.size):
                kind, length = _HEADER.unpack(head)
                body = _exactly(service, length)
                if kind == _P_DATA:
                    self.swallowed += 1
                    break
                sender.sendall(head + body)
            for one in (sender, service):
                one.shutdown(socket.SHUT_RDWR)


def _copy(from_: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while data := from_.recv(65536):
            to.sendall(data)


def _exactly(source: socket.socket, length: int) -> bytes:
    """Return so many bytes, fewer where the other side has ended."""
    data = b""
    while len(data) < length:
        more = source.recv(length - len(data))
        if not more:
            break
        data += more
    return data
