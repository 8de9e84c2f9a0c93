"""A PNG of every result: the picture as it is, a region as an outline over its source."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image, ImageDraw, ImageFont

from lightbox.domain.arrays import Mask, Picture
from lightbox.domain.result import Result, ResultKind
from lightbox.results.picture.preview import preview

_OUTLINE = (255, 140, 0)


def write_previews(
    root: Path, results: tuple[Result, ...], picture: Picture | None, out: Path, stem: str
) -> dict[str, Path]:
    """Write one PNG per result.

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
    many = Counter(result.kind for result in results)
    seen: Counter[ResultKind] = Counter()
    for result in results:
        seen[result.kind] += 1
        number = f"_{seen[result.kind]}" if many[result.kind] > 1 else ""
        target = out / f"{stem}_{result.kind}{number}.png"
        if result.shown_in:
            target.write_bytes(preview(root / result.shown_in))
        elif result.kind in {ResultKind.SEGMENTATION, ResultKind.LESION}:
            outlined(segmented(root / result.path), picture).save(target)
        elif result.kind is ResultKind.PARAMETRIC_MAP:
            mapped(root / result.path).save(target)
        else:
            written_out(root / result.path).save(target)
        made[result.sop_instance_uid] = target
    return made


def segmented(file: Path) -> Mask:
    """Return the union of all frames of a binary segmentation, shape (rows, columns)."""
    frames = pydicom.dcmread(file).pixel_array
    union: Mask = (frames if frames.ndim == 3 else frames[None]).max(axis=0) > 0
    return union


def outlined(mask: Mask, picture: Picture | None) -> Image.Image:
    """Draw the edge of a mask over a picture of the same shape."""
    base = np.zeros(mask.shape, np.uint8)
    if picture is not None and picture.shape[:2] == mask.shape:
        base = picture
    canvas = np.repeat(base[..., None], 3, axis=2) if base.ndim == 2 else base.copy()
    inner = mask.copy()
    inner[1:-1, 1:-1] &= mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    inner[[0, -1], :] = False
    inner[:, [0, -1]] = False
    canvas[mask & ~inner] = _OUTLINE
    return Image.fromarray(canvas)


def mapped(file: Path) -> Image.Image:
    """Return the frame of a parametric map with the largest value, blue below 0, orange above."""
    frames = pydicom.dcmread(file).pixel_array
    frames = frames if frames.ndim == 3 else frames[None]
    values = frames[np.abs(frames).max(axis=(1, 2)).argmax()]
    share = values / max(float(np.abs(values).max()), 1e-12)
    ends = np.where(share[..., None] < 0, np.array([60, 130, 255]), np.array([255, 150, 30]))
    return Image.fromarray((np.abs(share)[..., None] * ends).astype(np.uint8))


def written_out(file: Path) -> Image.Image:
    """Return the content of a structured report as lines of text."""
    lines: list[str] = []
    _lines_of(pydicom.dcmread(file), 0, lines)
    font = ImageFont.load_default(15)
    canvas = Image.new("RGB", (900, 24 * len(lines) + 24), (17, 18, 22))
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        pen.text((16, 12 + 24 * number), line[:110], (230, 230, 230), font)
    return canvas


def _lines_of(item: pydicom.Dataset, depth: int, lines: list[str]) -> None:
    """Walk the content tree (PS3.3 C.17.3)."""
    name = item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""
    value = ""
    if "ConceptCodeSequence" in item:
        value = item.ConceptCodeSequence[0].CodeMeaning
    elif "MeasuredValueSequence" in item:
        measured = item.MeasuredValueSequence[0]
        unit = measured.MeasurementUnitsCodeSequence[0].CodeValue
        value = f"{measured.NumericValue} {unit}"
    else:
        value = str(item.get("TextValue", item.get("UID", "")))
    if item.get("ValueType") == "SCOORD":
        value = f"{item.GraphicType}, {len(item.GraphicData) // 2} points"
    lines.append("    " * depth + (f"{name}: {value}" if value else name))
    for child in item.get("ContentSequence", ()):
        _lines_of(child, depth + 1, lines)


def source_picture(file: bytes, frame: int) -> Picture | None:
    """Return an 8-bit picture of a grey frame (from 1), for outlines; None where it takes more."""
    try:
        frames = pydicom.dcmread(io.BytesIO(file)).pixel_array.astype(np.float64)
    except (AttributeError, ValueError, RuntimeError, NotImplementedError):
        return None
    if frames.ndim == 3 and frame <= len(frames):
        frames = frames[frame - 1]
    if frames.ndim != 2:
        return None
    low, high = np.percentile(frames, (0.5, 99.5))
    scaled: Picture = (255 * np.clip((frames - low) / max(high - low, 1e-9), 0, 1)).astype(np.uint8)
    return scaled
