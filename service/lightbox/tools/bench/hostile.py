"""A hostile peer: what it does to a listener, and how that ended, in words."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
)

from lightbox.app.clock import SystemClock
from lightbox.domain.errors import UnreadableError
from lightbox.domain.model_package import Preprocessing
from lightbox.infer.decode import DecodePool
from lightbox.infer.decode_wire import FramesRequest
from lightbox.tools.bench import sender
from lightbox.tools.bench.listener import CALLED, Line, Listener, fragment, small

_MEBIBYTE = 2**20
_MOST_DECLARED = 1500 * _MEBIBYTE
_MOST_FRAGMENTS = 600 * _MEBIBYTE
_LONG_PDU = 8 * _MEBIBYTE
_HALF_WAY = 90.0
_PATHS = ("../elsewhere/evil", "/tmp/evil", "evil/../../evil", "1.2\\evil", "1.2.3 evil")  # noqa: S108  # names that must not be made
_NESTED = 200
_CONTEXTS, _SYNTAXES = 128, 3000
_SIDE = 2**15
_ABORT = 7


def declares_too_much(on: Listener, held: ExitStack) -> str:
    """Declare an A-ASSOCIATE-RQ of 4 GiB and send it."""
    line = held.enter_context(Line(on.port))
    line.socket.sendall(struct.pack(">BBL", 1, 0, 0xFFFF_FFF0))
    sent = _pump(line, bytes(_MEBIBYTE), _MOST_DECLARED)
    return f"closed after {sent / _MEBIBYTE:.1f} MiB"


def never_ends(on: Listener, held: ExitStack) -> str:
    """Store an instance whose last fragment never comes; then send one PDU that is too long."""
    line = held.enter_context(Line(on.port))
    line.associate(CTImageStorage)
    uid = sender.uid_of(7, 0)
    line.socket.sendall(
        sender.p_data(sender.store_rq(CTImageStorage, uid), command=True, longest=2**14)
    )
    head = small(uid) + b"\xe0\x7f\x10\x00OW\x00\x00\xff\xff\xff\xff"
    line.socket.sendall(fragment(head, is_last=False))
    sent = _pump(line, fragment(bytes(2**14), is_last=False) * 64, _MOST_FRAGMENTS)
    line.socket.close()
    other = held.enter_context(Line(on.port))
    other.associate(CTImageStorage)
    with suppress(OSError):
        other.socket.sendall(fragment(bytes(_LONG_PDU), is_last=False))
    return (
        f"{sent / _MEBIBYTE:.0f} MiB went to a file, not to memory; a PDU of 8 MiB: {_end(other)}"
    )


def is_silent(on: Listener, held: ExitStack, count: int) -> str:
    """Connect, and say nothing."""
    port = on.tls_port if on.tls is not None else on.port
    for _ in range(count):
        held.enter_context(socket.create_connection(("127.0.0.1", port)))
    return f"{count} held in silence"


def stops_half_way(on: Listener, held: ExitStack) -> str:
    """Send half a PDU, and wait for what the other side does."""
    clock = SystemClock()
    line = held.enter_context(Line(on.port))
    line.associate(CTImageStorage)
    command = sender.store_rq(CTImageStorage, sender.uid_of(4, 0))
    line.socket.sendall(sender.p_data(command, command=True, longest=2**14)[:60])
    line.socket.settimeout(_HALF_WAY)
    began = clock.monotonic()
    end = _end(line)
    return f"{end} after {clock.monotonic() - began:.0f} s"


def names_paths(on: Listener, held: ExitStack) -> str:
    """Store instances whose UIDs are paths."""
    line = held.enter_context(Line(on.port))
    line.associate(CTImageStorage)
    statuses = set()
    for path in _PATHS:
        stand_in = "1." + "2" * (len(path) - 2)
        data_set = small(stand_in).replace(stand_in.encode(), path.encode())
        statuses.add(line.command(sender.store_rq(CTImageStorage, path), data_set))
    made = [found for found in on.data.parent.rglob("*") if "evil" in found.name]
    refused = ", ".join(f"0x{status:04X}" for status in sorted(statuses))
    return f"answered {refused}; {len(made)} files named by it"


def deflates(on: Listener, held: ExitStack) -> str:
    """Propose a transfer syntax in which a few bytes become a thousand times as many."""
    line = held.enter_context(Line(on.port))
    request = _request([(CTImageStorage, [DeflatedExplicitVRLittleEndian])])
    line.socket.sendall(request)
    kind, body = line.pdu()
    accepted = kind == 2 and sender.accepted_length(body)
    return "accepted" if accepted else "its presentation context is refused"


def nests(on: Listener, held: ExitStack) -> str:
    """Store an instance whose sequences are nested deep."""
    line = held.enter_context(Line(on.port))
    line.associate(CTImageStorage)
    uid = sender.uid_of(10, 0)
    data_set = small(uid)
    study = data_set.index(b"\x20\x00\x0d\x00UI")
    begin = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    nested = data_set[:study] + begin * _NESTED + end * _NESTED + data_set[study:]
    return f"answered 0x{line.command(sender.store_rq(CTImageStorage, uid), nested):04X}"


def expands(on: Listener, held: ExitStack) -> str:
    """Have a picture decoded that is sixty-four times its file."""
    clock, file = SystemClock(), on.data.parent / "bomb.dcm"
    _bomb(file)
    pool = held.enter_context(DecodePool(processes=1))
    request = FramesRequest(str(file), sender.uid_of(11, 0), Preprocessing(size=(64, 64)))
    began = clock.monotonic()
    try:
        for _ in pool.frames(request):
            return "decoded"
    except UnreadableError as error:
        return f"refused after {clock.monotonic() - began:.2f} s: {error.reason}"
    return "no frame"


def proposes_too_much(on: Listener, held: ExitStack) -> str:
    """Ask for an association with more transfer syntaxes than there are."""
    clock = SystemClock()
    request = _request(
        (CTImageStorage, [f"1.2.3.4.5.{n:06d}"] * _SYNTAXES) for n in range(_CONTEXTS)
    )
    line = held.enter_context(Line(on.port))
    began = clock.monotonic()
    with suppress(OSError):
        line.socket.sendall(request)
    return f"{_end(line)} after {clock.monotonic() - began:.2f} s"


def _request(contexts: Iterable[tuple[str, list[str]]]) -> bytes:
    """Return an A-ASSOCIATE-RQ that proposes these SOP classes and transfer syntaxes."""
    items = b""
    for number, (sop_class, syntaxes) in enumerate(contexts):
        inside = _item(0x30, sop_class.encode())
        inside += b"".join(_item(0x40, syntax.encode()) for syntax in syntaxes)
        items += _item(0x20, bytes((2 * number + 1 & 0xFF, 0, 0, 0)) + inside)
    whole = sender.associate_rq(CALLED, CTImageStorage)
    at = whole.index(b"\x20\x00")
    end = whole.index(b"\x50\x00", at)
    body = whole[6:at] + items + whole[end:]
    return struct.pack(">BBL", 1, 0, len(body)) + body


def _item(kind: int, data: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(data)) + data


def _pump(line: Line, piece: bytes, most: int) -> int:
    """Send a piece again and again until nobody takes it; return the bytes that were taken."""
    sent = 0
    with suppress(OSError):
        while sent < most:
            line.socket.sendall(piece)
            sent += len(piece)
    return sent


def _end(line: Line) -> str:
    """Say how the other side ended a connection."""
    try:
        kind, _ = line.pdu()
    except TimeoutError:
        return "still held"
    except OSError:
        return "closed"
    return "aborted" if kind == _ABORT else f"answered by a PDU of type {kind}"


def _bomb(file: Path) -> None:
    """Write a picture of 1 GiB whose every row is one run of the same byte (PS3.5 G)."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, sender.uid_of(11, 0)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = _SIDE
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    runs = b"\x81\x00" * (_SIDE * _SIDE // 128)
    dataset.PixelData = encapsulate([struct.pack("<16L", 1, 64, *[0] * 14) + runs])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dcmwrite(file, dataset, enforce_file_format=True)
