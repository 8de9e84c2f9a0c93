"""A picture of ours as browsers show it, made when somebody asks: most are looked at in the PACS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import dcmread

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
    """
    if file.suffix == _PNG:
        return file.read_bytes()
    dataset = dcmread(file)
    shape = (int(dataset.Rows), int(dataset.Columns), 3)
    # Never pixel_array: what we keep is plain RGB, whatever a destination is sent.
    return png(np.frombuffer(dataset.PixelData, np.uint8, int(np.prod(shape))).reshape(shape))
