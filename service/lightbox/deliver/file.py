"""The file of a result, proven to be the one that was written down."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from lightbox.deliver.status import Action, DestinationError
from lightbox.domain.result import Result


def unchanged(root: Path, result: Result) -> bytes:
    """Return the bytes of a result.

    Raises
    ------
    DestinationError
        If the file is gone or is not what the ledger says: it must not reach a PACS.
    """
    path = root / result.path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DestinationError(
            Action.DEAD_LETTER,
            f"result {result.path}",
            f"cannot be read: {error.strerror or error}",
            "see `lightbox studies` on whether it was removed; compute it again with `lightbox replay`",
        ) from error
    if sha256(data).hexdigest() != result.sha256:
        raise DestinationError(
            Action.DEAD_LETTER,
            f"result {result.path}",
            "changed on disk since it was written",
            "check the disk, then compute it again with `lightbox replay`",
        )
    return data
