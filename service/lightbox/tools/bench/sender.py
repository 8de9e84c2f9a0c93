"""A C-STORE sender that costs next to nothing: one association, one pre-encoded stream of PDUs.

It is a program of its own (``python -m lightbox.tools.bench.sender``), so that what is measured is
the receiver and not the sender's interpreter: per instance it writes its SOP Instance UID into the
stream, sends, and waits for the response. It says ``ready`` when the association is open, begins
when it reads a line, and prints one line of JSON when it is done. Only the standard library is
imported. PDUs: PS3.8 9.3; C-STORE-RQ and C-STORE-RSP: PS3.7 9.3.1.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

UID_ROOT = "1.2.826.0.1.3680043.10.1511"
_APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
_EXPLICIT_LITTLE = b"1.2.840.10008.1.2.1"
_IMPLEMENTATION = UID_ROOT.encode()
_CONTEXT_ID = 1
_LONGEST_PDU = 131_072
_TIMEOUT = 60.0
_ASSOCIATE_RQ, _ASSOCIATE_AC, _DATA, _RELEASE_RQ = 1, 2, 4, 5
_STATUS = (0x0000, 0x0900)
_NO_STATUS = 0xFFFF


@dataclass(frozen=True, slots=True)
class Errand:
    """What one sender is to send to whom.

    Attributes
    ----------
    data_set : Path
        Explicit VR Little Endian, without preamble and file meta information.
    sop_instance_uid : str
        As it stands in the data set; each copy gets another one of the same length.
    count, number : int
        How many copies; number of the sender, 0 to 99999999, part of their UIDs.
    nagle : bool
        Write and acknowledge as DCMTK's storescu does: each PDU in two pieces, with Nagle's
        algorithm and delayed acknowledgements on.
    """

    port: int
    called: str
    data_set: Path
    sop_class_uid: str
    sop_instance_uid: str
    count: int
    number: int
    nagle: bool = False

    def arguments(self) -> list[str]:
        """Return the command line that :func:`main` reads."""
        return [
            str(self.port),
            self.called,
            str(self.data_set),
            self.sop_class_uid,
            self.sop_instance_uid,
            str(self.count),
            str(self.number),
            str(int(self.nagle)),
        ]


def uid_of(sender: int, copy: int) -> str:
    """Return the SOP Instance UID of a copy; all have the same length."""
    return f"{UID_ROOT}.1{sender:08d}.1{copy:08d}"


def associate_rq(called: str, sop_class_uid: str) -> bytes:
    """Return an A-ASSOCIATE-RQ with one presentation context (PS3.8 9.3.2)."""
    context = _item(0x30, sop_class_uid.encode()) + _item(0x40, _EXPLICIT_LITTLE)
    user = (
        _item(0x51, struct.pack(">L", _LONGEST_PDU))
        + _item(0x52, _IMPLEMENTATION)
        + _item(0x55, b"LIGHTBOX_BENCH")
    )
    body = (
        struct.pack(">HH", 1, 0)
        + called.ljust(16).encode("ascii")
        + b"LIGHTBOX_BENCH".ljust(16)
        + bytes(32)
        + _item(0x10, _APPLICATION_CONTEXT)
        + _item(0x20, bytes([_CONTEXT_ID, 0, 0, 0]) + context)
        + _item(0x50, user)
    )
    return struct.pack(">BBL", _ASSOCIATE_RQ, 0, len(body)) + body


def store_rq(sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Return the command set of a C-STORE-RQ, Implicit VR Little Endian (PS3.7 9.3.1.1)."""
    elements = (
        _element(0x0002, sop_class_uid.encode())
        + _element(0x0100, struct.pack("<H", 0x0001))
        + _element(0x0110, struct.pack("<H", 1))
        + _element(0x0700, struct.pack("<H", 0))
        + _element(0x0800, struct.pack("<H", 0))
        + _element(0x1000, sop_instance_uid.encode())
    )
    return _element(0x0000, struct.pack("<L", len(elements))) + elements


def p_data(data: bytes, *, command: bool, longest: int) -> bytes:
    """Cut a command or data set into P-DATA-TF PDUs of one fragment each (PS3.8 9.3.5, E.2)."""
    room, out = longest - 6, bytearray()
    for start in range(0, len(data), room):
        part = data[start : start + room]
        control = (1 if command else 0) | (2 if start + room >= len(data) else 0)
        out += struct.pack(">BBL", _DATA, 0, len(part) + 6)
        out += struct.pack(">LBB", len(part) + 2, _CONTEXT_ID, control) + part
    return bytes(out)


def accepted_length(body: bytes) -> int:
    """Return the longest PDU that an A-ASSOCIATE-AC allows; 0: the context was not accepted."""
    at, accepted, longest = 68, False, _LONGEST_PDU
    while at + 4 <= len(body):
        kind, _, length = struct.unpack_from(">BBH", body, at)
        if kind == 0x21:
            accepted = body[at + 6] == 0
        if kind == 0x50 and body[at + 4] == 0x51:
            longest = struct.unpack_from(">L", body, at + 8)[0] or _LONGEST_PDU
        at += 4 + length
    return min(longest, _LONGEST_PDU) if accepted else 0


def status_of(body: bytes) -> int:
    """Return the status of a response that came in one fragment (PS3.7 C)."""
    at = 6
    while at + 8 <= len(body):
        group, element, length = struct.unpack_from("<HHL", body, at)
        if (group, element) == _STATUS:
            return int(struct.unpack_from("<H", body, at + 8)[0])
        at += 8 + length
    return _NO_STATUS


class Stream:
    """The PDUs of one instance, in which the UIDs of each copy are written over the last ones."""

    def __init__(self, errand: Errand, longest: int) -> None:
        first = uid_of(errand.number, 0).encode()
        data_set = errand.data_set.read_bytes().replace(errand.sop_instance_uid.encode(), first)
        command = store_rq(errand.sop_class_uid, first.decode())
        head = p_data(command, command=True, longest=longest)
        self.data = bytearray(head + p_data(data_set, command=False, longest=longest))
        self._places = (self.data.index(first), self.data.index(first, len(head)))

    def copy(self, sender: int, number: int) -> bytearray:
        """Return the PDUs of a copy."""
        uid = uid_of(sender, number).encode()
        for place in self._places:
            self.data[place : place + len(uid)] = uid
        return self.data


def send(errand: Errand) -> dict[str, object]:
    """Do the errand; see the module's text for when it begins."""
    with socket.create_connection(("127.0.0.1", errand.port), _TIMEOUT) as peer:
        at_once = not errand.nagle
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, at_once)
        peer.sendall(associate_rq(errand.called, errand.sop_class_uid))
        kind, body = _pdu(peer, at_once=at_once)
        longest = accepted_length(body) if kind == _ASSOCIATE_AC else 0
        if not longest:
            return {"stored": 0, "seconds": [], "error": f"association refused (PDU {kind})"}
        stream = Stream(errand, longest)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        seconds, stored = [], 0
        first = last = time.monotonic()
        for copy in range(errand.count):
            data = stream.copy(errand.number, copy)
            began = time.monotonic()
            for piece in (data,) if at_once else in_pieces(data):
                peer.sendall(piece)
            kind, body = _pdu(peer, at_once=at_once)
            last = time.monotonic()
            seconds.append(last - began)
            stored += kind == _DATA and status_of(body) == 0
        peer.sendall(struct.pack(">BBLL", _RELEASE_RQ, 0, 4, 0))
        _pdu(peer, at_once=at_once)
    times = {"first": first, "last": last}  # of one clock for all processes of the machine
    return {"stored": stored, "seconds": seconds, **times, "error": ""}


def main(arguments: list[str]) -> int:
    """Run from the command line that :meth:`Errand.arguments` gives."""
    port, called, data_set, sop_class, sop_instance, count, number, nagle = arguments
    errand = Errand(
        int(port), called, Path(data_set), sop_class, sop_instance, int(count), int(number),
        nagle=bool(int(nagle)),
    )  # fmt: skip
    try:
        answer = send(errand)
    except OSError as error:
        answer = {"stored": 0, "seconds": [], "error": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 1 if answer["error"] else 0


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def _element(number: int, value: bytes) -> bytes:
    padded = value + b"\0" * (len(value) % 2)
    return struct.pack("<HHL", 0x0000, number, len(padded)) + padded


def _acknowledge_at_once(peer: socket.socket) -> None:
    """Keep the kernel from delaying acknowledgements.

    A receiver that writes its response in two pieces with Nagle's algorithm on (DCMTK, Orthanc)
    would wait 40 ms for each: a trait of the pair, which would be measured instead of its work.
    """
    if hasattr(socket, "TCP_QUICKACK"):  # Linux; it does not last, so it is asked for each time
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def in_pieces(stream: bytes | bytearray) -> Iterator[memoryview]:
    """Yield a stream of P-DATA-TF as DCMTK writes it: of each the headers, then the rest."""
    view, at = memoryview(stream), 0
    while at < len(view):
        end = at + 6 + int(struct.unpack_from(">L", view, at + 2)[0])
        yield view[at : at + 12]
        yield view[at + 12 : end]
        at = end


def _pdu(peer: socket.socket, *, at_once: bool) -> tuple[int, bytes]:
    kind, _, length = struct.unpack(">BBL", _exactly(peer, 6, at_once=at_once))
    return kind, _exactly(peer, length, at_once=at_once)


def _exactly(peer: socket.socket, length: int, *, at_once: bool) -> bytes:
    data = bytearray()
    while len(data) < length:
        if at_once:
            _acknowledge_at_once(peer)
        part = peer.recv(length - len(data))
        if not part:
            raise ConnectionError("the peer closed the connection")
        data += part
    return bytes(data)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
