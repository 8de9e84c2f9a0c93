"""Names of things: AE titles, and identifiers that are derived, never drawn.

A derived identifier is a function of what it names, so doing the same thing twice makes the same
name: placing a job twice is placing it once, and a retried result is the same object.
"""

from __future__ import annotations

import re
from typing import NewType
from uuid import UUID, uuid5

from lightbox.domain.errors import ConfigurationError

AETitle = NewType("AETitle", str)
JobId = NewType("JobId", str)
Uid = NewType("Uid", str)

_NAMESPACE = UUID("6f3c1d1e-9a2b-5c4d-8e7f-1b2c3d4e5f60")
_AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")
_UID = re.compile(r"[0-9.]{1,64}")


def ae_title(text: str) -> AETitle:
    """Check an AE title (PS3.5 6.2, VR AE) and strip its padding.

    Raises
    ------
    ConfigurationError
        If it is empty, longer than 16 characters or not printable ASCII.
    """
    stripped = text.strip()
    if not stripped or not _AE_TITLE.fullmatch(stripped):
        raise ConfigurationError(
            f"AE title {text!r}", "is not 1 to 16 printable characters", "shorten or rename it"
        )
    return AETitle(stripped)


STANDARD_ROOT = "1.2.840.10008."
"""UIDs that begin so are defined by DICOM (PS3.5 9.1); all others are private."""


def is_uid(text: str) -> bool:
    """Say whether ``text`` has the characters and length of a UID (PS3.5 9.1), nothing more."""
    return bool(_UID.fullmatch(text))


def _derived(*parts: str) -> UUID:
    return uuid5(_NAMESPACE, "\x1f".join(parts))


def derived_uid(*parts: str) -> Uid:
    """Return the UID ``2.25.…`` (PS3.5 B.2) that these parts always give."""
    return Uid(f"2.25.{_derived('uid', *parts).int}")


def derived_id(*parts: str) -> JobId:
    """Return the identifier (a UUID's text) that these parts always give."""
    return JobId(str(_derived("job", *parts)))
