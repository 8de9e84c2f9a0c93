"""What ``lightbox explain`` is given: files, series of files, masks of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lightbox.app.instance_file import instance_of
from lightbox.domain.arrays import Mask
from lightbox.domain.errors import UsageError
from lightbox.results.header.header_bytes import header_of
from lightbox.results.header.source import read_header


def files_of(paths: tuple[Path, ...]) -> Iterator[Path]:
    """Yield files; folders are searched for ``.dcm`` files.

    Raises
    ------
    UsageError
        If a folder holds none.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(path.rglob("*.dcm"))
        if not found:
            raise UsageError(f"folder {path}", "holds no .dcm file", "name DICOM files")
        yield from found


def series_of(files: Sequence[Path]) -> tuple[tuple[Path, ...], ...]:
    """Return the files series by series, each in the order in which the service reads it.

    Raises
    ------
    UnreadableError
        If one is no DICOM file.
    """
    found: dict[tuple[str, str], list[tuple[tuple[int, str], Path]]] = {}
    for file in files:
        instance, number = instance_of(file), read_header(header_of(file)).get("InstanceNumber")
        place = int(number) if str(number or "").strip().isdigit() else sys.maxsize
        series = instance.study_instance_uid, instance.series_instance_uid
        found.setdefault(series, []).append(((place, instance.sop_instance_uid), file))
    return tuple(tuple(file for _, file in sorted(each)) for each in found.values())


def read_mask(path: Path) -> Mask:
    """Read a mask: every pixel that is not 0 is inside.

    Raises
    ------
    UsageError
        If it is no picture.
    """
    try:
        with Image.open(path) as image:
            mask: Mask = np.asarray(image.convert("L")) > 0
    except OSError as error:
        raise UsageError(f"mask {path}", str(error), "give a PNG of the source's size") from error
    return mask


def mask_for(file: Path, masks: Path | None) -> Mask | None:
    """Return the mask of one file: ``masks`` itself, or ``NAME.mask.png`` where it is a folder.

    A folder need not have one of every file.
    """
    if masks is None or not masks.is_dir():
        return None if masks is None else read_mask(masks)
    drawn = masks / f"{file.stem}.mask.png"
    return read_mask(drawn) if drawn.is_file() else None
