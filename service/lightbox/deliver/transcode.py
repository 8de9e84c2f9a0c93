"""In which transfer syntax a result goes out: lossless compression of pictures, never of the rest.

The SOP Instance UID stays: only lossy compression makes another image (PS3.3 C.7.6.1.1.5). The same
picture always makes the same bytes, so sending it again makes no second object.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import UID, JPEGLSLossless, RLELossless

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

_COMPRESSED = {"rle": str(RLELossless), "jpeg_ls": str(JPEGLSLossless)}
_PLAIN = {"explicit": EXPLICIT, "implicit": IMPLICIT}


def offered(syntaxes: Iterable[str], sop_class_uid: str) -> tuple[str, ...]:
    """Return the transfer syntaxes to offer for a class, the preferred first.

    Parameters
    ----------
    syntaxes : iterable of str
        Names as in the configuration.
    sop_class_uid : str
        Only pictures are compressed; both uncompressed syntaxes are always offered.
    """
    known = _PLAIN | (_COMPRESSED if sop_class_uid == SECONDARY_CAPTURE else {})
    wanted = (known[name] for name in syntaxes if name in known)
    return tuple(dict.fromkeys((*wanted, *_PLAIN.values())))


def is_plain(syntax: str) -> bool:
    """Say whether a syntax is one of the two uncompressed ones."""
    return syntax in _PLAIN.values()


def to_try(syntaxes: Iterable[str], sop_class_uid: str, accepted: Container[str]) -> Iterator[str]:
    """Yield what to send a result in: the preferred, then what is left if that is refused.

    One uncompressed syntax at most: who refuses the one for its class refuses the other as well.
    """
    was_plain = False
    for syntax in offered(syntaxes, sop_class_uid):
        if syntax in accepted and not (was_plain and is_plain(syntax)):
            was_plain = was_plain or is_plain(syntax)
            yield syntax


def reencoded(file: Path, syntax: str) -> Dataset:
    """Return an uncompressed object in the other uncompressed transfer syntax."""
    data_set, made = dcmread(file), BytesIO()
    data_set.file_meta.TransferSyntaxUID = UID(syntax)
    data_set.save_as(made, enforce_file_format=True)
    made.seek(0)
    return dcmread(made)


def encoded(file: Path, syntax: str) -> Dataset:
    """Return a picture in a compressed transfer syntax, its pixels and its UID unchanged.

    Raises
    ------
    ValueError
        If it has no pixels that could be compressed.
    """
    data_set = dcmread(file)
    if "PixelData" not in data_set:
        raise ValueError(f"{file.name} has no pixel data")
    data_set.compress(syntax, generate_instance_uid=False)
    return data_set
