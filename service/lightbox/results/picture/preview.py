"""A picture of ours as browsers show it, made when somebody asks: most are looked at in the PACS."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from lightbox.domain.errors import ResultError
from lightbox.results.picture.png import png

_PNG = ".png"


def preview(file: Path) -> bytes:
    """Return the PNG of a Secondary Capture that we wrote.

    Parameters
    ----------
    file : Path
        ``Result.shown_in``: the object, or the PNG which 0.1 wrote beside it.

    Raises
    ------
    OSError
        If it is not there any more.
    ResultError
        If it is damaged.
    """
    if file.suffix == _PNG:
        return file.read_bytes()
    try:
        # Plain RGB, whatever a destination is sent.
        return png(dcmread(file).pixel_array)
    except (InvalidDicomError, AttributeError, ValueError, EOFError) as error:
        name, mend = file.name, "see lightbox ledger check"
        raise ResultError(f"result {name}", "is damaged on disk", mend) from error
