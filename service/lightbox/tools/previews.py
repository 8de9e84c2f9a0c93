"""A PNG of every result: the picture as it is, a region as an outline over its source."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

from lightbox.domain.arrays import Mask, Picture
from lightbox.domain.result import Result, ResultKind

_OUTLINE = (255, 140, 0)


def write_previews(
    root: Path, results: tuple[Result, ...], picture: Picture | None, out: Path, stem: str
) -> dict[str, Path]:
    """Write one PNG per result that can be shown.

    Parameters
    ----------
    root : Path
        Data directory of the results.
    picture : array or None
        The source frame, for outlines; None: the region alone.
    out : Path
        Folder of the PNG files.
    stem : str
        Their names begin with it.

    Returns
    -------
    dict
        SOP Instance UID → file.
    """
    made: dict[str, Path] = {}
    for result in results:
        target = out / f"{stem}_{result.kind}.png"
        if result.preview:
            target.write_bytes((root / result.preview).read_bytes())
        elif result.kind is ResultKind.SEGMENTATION:
            outlined(segmented(root / result.path), picture).save(target)
        else:
            continue
        made[result.sop_instance_uid] = target
    return made


def segmented(file: Path) -> Mask:
    """Return the union of all frames of a binary segmentation, shape (rows, columns)."""
    frames = pydicom.dcmread(file).pixel_array
    union: Mask = np.atleast_3d(frames if frames.ndim == 3 else frames[None]).max(axis=0) > 0
    return union


def outlined(mask: Mask, picture: Picture | None) -> Image.Image:
    """Draw the edge of a mask over a picture of the same shape."""
    base = np.zeros(mask.shape, np.uint8) if picture is None else picture
    canvas = np.repeat(base[..., None], 3, axis=2) if base.ndim == 2 else base.copy()
    inner = mask.copy()
    inner[1:-1, 1:-1] &= mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    inner[[0, -1], :] = False
    inner[:, [0, -1]] = False
    canvas[mask & ~inner] = _OUTLINE
    return Image.fromarray(canvas)


def source_picture(file: bytes) -> Picture | None:
    """Return an 8-bit picture of a simple source, for outlines; None where it takes more."""
    try:
        frames = pydicom.dcmread(io.BytesIO(file)).pixel_array.astype(np.float64)
    except (AttributeError, ValueError, RuntimeError, NotImplementedError):
        return None
    if frames.ndim != 2:
        return None
    low, high = np.percentile(frames, (0.5, 99.5))
    scaled: Picture = (255 * np.clip((frames - low) / max(high - low, 1e-9), 0, 1)).astype(np.uint8)
    return scaled
