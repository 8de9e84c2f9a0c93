"""A peer that can do everything wrong: PDUs by hand, after PS3.8 9.3, on a bare socket."""

from __future__ import annotations

import socket
import struct
from typing import Self

VERIFICATION = "1.2.840.10008.1.1"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
STUDY = "1.2.3.4.1"
SERIES = "1.2.3.4.1.1"
INSTANCE = "1.2.3.4.1.1.1"

PATIENCE = 10.0


def item(kind: int, data: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(data)) + data


def pdu(kind: int, data: bytes) -> bytes:
    return struct.pack(">BxL", kind, len(data)) + data


def context_item(identifier: int, abstract: str, *syntaxes: str) -> bytes:
    inside = item(0x30, abstract.encode()) + b"".join(item(0x40, s.encode()) for s in syntaxes)
    return item(0x20, bytes((identifier, 0, 0, 0)) + inside)


def associate_rq(
    *contexts: bytes,
    called: str = "LIGHTBOX",
    calling: str = "RAW",
    version: int = 1,
    user: bytes = b"",
    longest: int = 0,
) -> bytes:
    names = called.ljust(16).encode() + calling.ljust(16).encode()
    fixed = struct.pack(">Hxx", version) + names + bytes(32)
    user_items = item(0x51, struct.pack(">L", longest)) + item(0x52, b"1.2.3.4.5") + user
    application = item(0x10, b"1.2.840.10008.3.1.1.1")
    return pdu(1, fixed + application + b"".join(contexts) + item(0x50, user_items))


DEFAULT_CONTEXTS = (
    context_item(1, VERIFICATION, IMPLICIT),
    context_item(3, CT_IMAGE, IMPLICIT),
    context_item(5, CT_IMAGE, EXPLICIT),
)


def pdv(context: int, flags: int, data: bytes) -> bytes:
    return struct.pack(">LBB", len(data) + 2, context, flags) + data


def p_data(*pdvs: bytes) -> bytes:
    return pdu(4, b"".join(pdvs))


def command(**values: bytes) -> bytes:
    """Encode a command set; names are hexadecimal elements after an underscore."""
    body = b""
    for name, value in values.items():
        padded = value + b"\0" * (len(value) % 2)
        body += struct.pack("<HHL", 0, int(name[1:], 16), len(padded)) + padded
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def us(value: int) -> bytes:
    return struct.pack("<H", value)


def c_echo(message: int = 1) -> bytes:
    return command(_0002=VERIFICATION.encode(), _0100=us(0x30), _0110=us(message), _0800=us(0x0101))


def c_store(
    message: int = 1, instance: str = INSTANCE, sop_class: str = CT_IMAGE, data_set: int = 1
) -> bytes:
    return command(
        _0002=sop_class.encode(),
        _0100=us(1),
        _0110=us(message),
        _0700=us(1),
        _0800=us(data_set),
        _1000=instance.encode(),
    )


def implicit(tag: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def data_set(
    instance: str = INSTANCE,
    sop_class: str = CT_IMAGE,
    study: str = STUDY,
    series: str = SERIES,
    tail: bytes = b"",
) -> bytes:
    """Return a small data set, Implicit VR Little Endian."""
    return (
        implicit(0x00080016, sop_class.encode())
        + implicit(0x00080018, instance.encode())
        + implicit(0x0020000D, study.encode())
        + implicit(0x0020000E, series.encode())
        + tail
    )


class RawPeer:
    """A connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            piece = self.socket.recv(count - len(found))
            if not piece:
                raise ConnectionError("closed")
            found += piece
        return found

    def read(self) -> tuple[int, bytes]:
        """Return type and body of the next PDU."""
        kind, length = struct.unpack(">BxL", self.exactly(6))
        return kind, self.exactly(length)

    def is_closed(self) -> bool:
        """Wait until the other side closes; say whether it did so without another word."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def associate(self, *contexts: bytes, called: str = "LIGHTBOX", calling: str = "RAW") -> None:
        """Get an association, or fail."""
        self.send(associate_rq(*(contexts or DEFAULT_CONTEXTS), called=called, calling=calling))
        kind, body = self.read()
        assert kind == 2, (kind, body)

    def status(self) -> int:
        """Return the status of the next response."""
        return self.response()[0x0900]

    def response(self) -> dict[int, int]:
        """Return the numbers of the next response."""
        whole = b""
        while True:
            kind, body = self.read()
            assert kind == 4, (kind, body)
            flags = body[5]
            whole += body[6:]
            if flags & 2:
                break
        found: dict[int, int] = {}
        at = 0
        while at < len(whole):
            _, element, length = struct.unpack_from("<HHL", whole, at)
            if length == 2:
                found[element] = struct.unpack_from("<H", whole, at + 8)[0]
            at += 8 + length
        return found

    def echo(self) -> int:
        """C-ECHO; return the status."""
        self.send(p_data(pdv(1, 3, c_echo())))
        return self.status()

    def store(
        self,
        data: bytes,
        context: int = 3,
        instance: str = INSTANCE,
        sop_class: str = CT_IMAGE,
        fragment: int = 2**16,
    ) -> int:
        """C-STORE of a data set; return the status."""
        self.send(p_data(pdv(context, 3, c_store(instance=instance, sop_class=sop_class))))
        for at in range(0, len(data), fragment):
            self.send(p_data(pdv(context, 0, data[at : at + fragment])))
        self.send(p_data(pdv(context, 2, b"")))
        return self.status()

    def release(self) -> None:
        """Release; fail if the answer is another."""
        self.send(pdu(5, bytes(4)))
        assert self.read() == (6, bytes(4))

    def abort_reason(self) -> tuple[int, int]:
        """Return source and reason of the A-ABORT that comes next."""
        kind, body = self.read()
        assert kind == 7, (kind, body)
        return body[2], body[3]
