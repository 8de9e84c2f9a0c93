"""A file that is posted to us, held in memory without a name: nothing of it is ever on a disk.

Takes a form (``multipart/form-data``, RFC 7578) as browsers send it, or the bare file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import HTTPException, Request

MOST_BYTES = 64 * 2**20
"""A larger file is for ``lightbox rules test``."""

_MOST_PARTS = 16
_LONGEST_VALUE = 256
_BOUNDARY = re.compile(r'boundary="?([0-9A-Za-z\'()+_,./:=? -]{1,70})"?')
_NAME = re.compile(rb'\bname="([^"]*)"')
_FILE = re.compile(rb'\bfilename="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Upload:
    """What was posted.

    Attributes
    ----------
    name : str
        What the sender calls the file; for showing only.
    """

    name: str = ""
    data: bytes = b""
    fields: Mapping[str, str] = field(default_factory=dict)


async def uploaded(request: Request) -> Upload:
    """Read a request's body.

    Raises
    ------
    HTTPException
        413 if it is too long, 422 if it is no form of ours.
    """
    said = request.headers.get("content-length", "0")
    body = bytearray()
    if said.isascii() and said.isdigit() and int(said) > MOST_BYTES:
        raise _too_long()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise _too_long()
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        return Upload(data=bytes(body))
    boundary = _BOUNDARY.search(kind)
    if boundary is None:
        raise HTTPException(422, "the form names no boundary")
    return read_form(bytes(body), boundary[1].encode())


def read_form(body: bytes, boundary: bytes) -> Upload:
    """Take a form apart; the last part that has a file name is the file.

    Raises
    ------
    HTTPException
        422 if it is cut off or has too many parts.
    """
    name, data, fields = "", b"", {}
    for header, value in _parts(body, b"\r\n--" + boundary):
        found, file = _NAME.search(header), _FILE.search(header)
        if file is not None:
            name, data = file[1].decode("utf-8", "replace")[-_LONGEST_VALUE:], value
        elif found is not None:
            fields[found[1].decode("ascii", "replace")] = value[:_LONGEST_VALUE].decode(
                "utf-8", "replace"
            )
    return Upload(name, data, fields)


@contextmanager
def nameless(data: bytes) -> Iterator[Path]:
    """Hold bytes as a file that exists in memory only, for as long as it is looked at."""
    descriptor = os.memfd_create("upload")
    with os.fdopen(descriptor, "wb") as held:
        held.write(data)
        held.flush()
        yield Path(f"/proc/self/fd/{descriptor}")


def _parts(body: bytes, mark: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = (b"\r\n" + body[: len(mark)]).find(mark)  # the first mark has no line before it
    if at != 0:
        raise HTTPException(422, "the form does not begin with its boundary")
    start = len(mark) - 2
    for _ in range(_MOST_PARTS):
        if body.startswith(b"--", start):
            return
        head = body.find(b"\r\n\r\n", start)
        end = body.find(mark, head + 2) if head >= 0 else -1
        if end < 0:
            raise HTTPException(422, "the form is cut off")
        yield body[start:head], body[head + 4 : end]
        start = end + len(mark)
    raise HTTPException(422, f"the form has more than {_MOST_PARTS} parts")


def _too_long() -> HTTPException:
    most = MOST_BYTES // 2**20
    return HTTPException(413, f"more than {most} MiB: use lightbox rules test FILE")
