"""``lightbox bench memory``: the most that our listener ever needs, for what is large.

Each case meets a listener of its own. Held against are 256 MiB; what is sent is never whole in the
sender's memory either.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)

from lightbox.domain.errors import UsageError
from lightbox.tools.bench import sender
from lightbox.tools.bench.listener import Line, Listener, fragment, listener, small
from lightbox.tools.bench.report import Case

_MEBIBYTE = 2**20
_DATA = 4
_BAR = 256.0
_FRAME = 512 * 512 * 2
_PIECE = 2**17
_LIMITS = "max_associations = 80\n[dicom.limits]\nassociations_per_peer = 80\n"


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """How much is sent.

    Attributes
    ----------
    associations : int
        At the same time, an instance of 512 KB each after the other.
    images, frames : int
        Of a CT series; of an enhanced CT.
    largest : int
        Bytes of pixels of the largest instance.
    """

    associations: int = 64
    images: int = 2000
    frames: int = 200
    largest: int = 2**30


def bench_memory(plan: MemoryPlan, said: Callable[[str], None]) -> list[Case]:
    """Measure each case.

    Raises
    ------
    UsageError
        If something is not stored.
    """
    each = plan.associations
    cases = {
        f"{each} associations at once": lambda to: _together(to, each),
        f"CT of {plan.images} images": lambda to: _series(to, 1, plan.images),
        f"enhanced CT of {plan.frames} frames": lambda to: _one(
            to, EnhancedCTImageStorage, plan.frames * _FRAME
        ),
        f"multi-frame of {plan.largest / _MEBIBYTE:.0f} MiB": lambda to: _one(
            to, MultiFrameGrayscaleWordSecondaryCaptureImageStorage, plan.largest
        ),
    }
    return [_measured(name, work, said) for name, work in cases.items()]


def _measured(name: str, work: Callable[[Listener], int], said: Callable[[str], None]) -> Case:
    said(name)
    with (
        TemporaryDirectory(prefix="lightbox-bench-") as folder,
        listener(Path(folder) / "site", _LIMITS) as ours,
    ):
        before = ours.memory()
        sent = work(ours)
        note = f"{sent / _MEBIBYTE:.0f} MiB sent; {before:.0f} MiB at the start"
        return Case(f"listener, {name}", ours.memory(), "MiB", {"bar": _BAR}, note=note)


def _together(to: Listener, associations: int) -> int:
    """Let everybody send at the same time; return the bytes."""
    with ThreadPoolExecutor(associations) as pool:
        work = [pool.submit(_series, to, number, 8) for number in range(associations)]
        return sum(each.result() for each in work)


def _series(to: Listener, number: int, images: int) -> int:
    """Send a series by one association; return its bytes."""
    with Line(to.port) as line:
        line.associate(CTImageStorage)
        return sum(
            _store(line, CTImageStorage, sender.uid_of(number, image), _FRAME)
            for image in range(images)
        )


def _one(to: Listener, sop_class_uid: str, pixels: int) -> int:
    with Line(to.port) as line:
        line.associate(sop_class_uid)
        return _store(line, sop_class_uid, sender.uid_of(3, 0), pixels)


def _store(line: Line, sop_class_uid: str, uid: str, pixels: int) -> int:
    """Store one instance of so many bytes of pixels, in pieces; return its bytes."""
    command = sender.store_rq(sop_class_uid, uid)
    line.socket.sendall(sender.p_data(command, command=True, longest=_PIECE))
    sent = 0
    for piece in _pieces(small(uid, sop_class_uid), pixels):
        line.socket.sendall(piece)
        sent += len(piece)
    kind, body = line.pdu()
    status = sender.status_of(body) if kind == _DATA else 0xFFFF
    if status:
        raise UsageError(
            f"instance of {pixels} bytes", f"was answered 0x{status:04X}", "see its log"
        )
    return sent


def _pieces(head: bytes, pixels: int) -> Iterator[bytes]:
    """Yield the PDUs of a data set whose pixels are zeros."""
    yield fragment(head + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<L", pixels), is_last=False)
    whole = fragment(bytes(_PIECE - 6), is_last=False)
    for _ in range(pixels // (_PIECE - 6)):
        yield whole
    yield fragment(bytes(pixels % (_PIECE - 6)), is_last=True)
