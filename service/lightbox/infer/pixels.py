"""Stored pixels of one DICOM file to values and to a picture (runs in a decoding child).

Values are what the network may see: after the modality LUT (PS3.3 C.11.1), larger is brighter; no
window and no bit depth in them. The picture is what a viewer would show: the first VOI LUT or
window (C.11.2), else a stretch between percentiles.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from lightbox.domain.arrays import FloatMap, Picture
from lightbox.domain.errors import UnreadableError
from lightbox.infer.decoders.plain_file import Plain, plain_image, says_plain
from lightbox.infer.decoders.second_opinion import SecondOpinion
from lightbox.infer.preprocess import percentiles

_PERCENTILES = (0.5, 99.5)
_WHITE = 255.0
_SMALL = 16 * 2**20
"""Bytes of a file up to which one plain frame is read with its header; else both are read apart."""
_HEAD = 1024
"""Bytes of a file in which its syntax is looked for."""
_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)


@dataclass(frozen=True)
class Decoded:
    """One frame; its picture is drawn when it is first asked for.

    Attributes
    ----------
    number : int
        From 1.
    values : array, shape (rows, columns) or (rows, columns, 3), float32
        After the modality LUT; MONOCHROME1 is negated.
    spacing : tuple of two floats, or None
        Millimetres between rows and between columns.
    draw : callable () → array
        Draws the picture.
    last : bool
        No other frame follows.
    """

    number: int
    values: FloatMap
    spacing: tuple[float, float] | None
    draw: Callable[[], Picture]
    last: bool = False

    @cached_property
    def picture(self) -> Picture:
        """The picture, of the shape of the values, uint8."""
        return self.draw()


def decoded(
    path: Path,
    numbers: Sequence[int] | None,
    most_samples: int,
    opinions: SecondOpinion | None = None,
) -> Iterator[Decoded]:
    """Decode frames of a file, one at a time.

    Parameters
    ----------
    path : Path
        A DICOM file (PS3.10).
    numbers : sequence of int, or None
        Frame numbers from 1; None: all.
    most_samples : int
        Rows x Columns x Samples per Pixel that are decoded at most.
    opinions : SecondOpinion or None
        Compares two decoders where it is time to; None: one is believed.

    Raises
    ------
    UnreadableError
        If the file is no image, asks for more than it may, or decoders differ about it.
    """
    header, plain = _header(path)
    frames = _checked(header, path, numbers, most_samples)
    if plain is not None:
        arrays: Iterable[np.ndarray] = (plain for _ in frames)
    else:
        arrays = iter_pixels(_source(header, path), indices=[number - 1 for number in frames])
    for left, number, stored in zip(reversed(range(len(frames))), frames, arrays, strict=True):
        if opinions is not None and plain is None:
            opinions.check(path, header, number)
        groups = _functional_groups(header, number)
        yield replace(_frame(header, groups, number, stored), last=not left)


def _source(header: Dataset, path: Path) -> Dataset | Path:
    """Return what pydicom reads pixels of."""
    # A deflated file cannot be read frame by frame: it is read as a whole.
    if header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return dcmread(path)
    return header if "PixelData" in header else path


def _header(path: Path) -> Plain:
    """Read what stands before the pixel data, and with it one frame that is stored as it is."""
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size <= _SMALL and says_plain(os.pread(stream.fileno(), _HEAD, 0)):
                plain = plain_image(os.pread(stream.fileno(), size, 0))
                if plain is not None:
                    return plain
            header = dcmread(stream, stop_before_pixels=True)
            if size <= _SMALL and _is_plain(header):
                header.update(read_dataset(stream, *header.original_encoding))
            return Plain(header)
    except InvalidDicomError as error:
        raise UnreadableError(
            path.name, "is not a DICOM file (PS3.10)", "send it by C-STORE or add the file header"
        ) from error


def _is_plain(header: Dataset) -> bool:
    frames = int(header.get("NumberOfFrames") or 1)
    return header.file_meta.get("TransferSyntaxUID") in _PLAIN and frames == 1


def _checked(
    header: Dataset, path: Path, numbers: Sequence[int] | None, most_samples: int
) -> list[int]:
    rows, columns = header.get("Rows") or 0, header.get("Columns") or 0
    samples = header.get("SamplesPerPixel") or 1
    if not rows or not columns:
        raise UnreadableError(path.name, "is not an image: it has no Rows or Columns")
    if rows * columns * samples > most_samples:
        raise UnreadableError(
            path.name,
            f"a frame has {rows} x {columns} x {samples} samples, {most_samples} are allowed",
            "raise dicom.limits.pixels if such images are meant to be analysed",
        )
    there = max(1, int(header.get("NumberOfFrames") or 1))
    if there > 1 and there > 8 * path.stat().st_size:  # each has one bit at least
        raise UnreadableError(path.name, f"says that it has {there} frames, which it cannot hold")
    wanted = list(range(1, there + 1)) if numbers is None else list(numbers)
    if any(not 1 <= number <= there for number in wanted):
        raise UnreadableError(path.name, f"has {there} frames, frame {max(wanted)} was asked for")
    return wanted


def _functional_groups(header: Dataset, number: int) -> tuple[Dataset, ...]:
    """Where attributes of a frame may stand, nearest first (PS3.3 C.7.6.16)."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or ()
    shared = header.get("SharedFunctionalGroupsSequence") or ()
    own = (per_frame[number - 1],) if number <= len(per_frame) else ()
    return (*own, *shared[:1])


def _macro(header: Dataset, groups: tuple[Dataset, ...], sequence: str) -> Dataset:
    """Return the first item of a functional group, or the header itself in classic objects."""
    for group in groups:
        items = group.get(sequence)
        if items:
            found: Dataset = items[0]
            return found
    return header


def _frame(
    header: Dataset, groups: tuple[Dataset, ...], number: int, stored: np.ndarray
) -> Decoded:
    photometric = str(header.get("PhotometricInterpretation", "MONOCHROME2")).strip()
    spacing = _spacing(header, groups)
    if photometric == "PALETTE COLOR":
        stored = apply_color_lut(stored, header)
        return _coloured(number, stored, 8 * stored.dtype.itemsize, spacing)
    if stored.ndim == 3:
        return _coloured(number, stored, int(header.get("BitsStored") or 8), spacing)
    values = _modality(header, groups, stored)
    draw = partial(_display, _macro(header, groups, "FrameVOILUTSequence"), values)
    if photometric == "MONOCHROME1":
        return Decoded(number, -values, spacing, lambda: 255 - draw())
    return Decoded(number, values, spacing, draw)


def _coloured(
    number: int, stored: np.ndarray, bits: int, spacing: tuple[float, float] | None
) -> Decoded:
    values = stored[..., :3].astype(np.float32) * np.float32(_WHITE / (2**bits - 1))
    return Decoded(number, values, spacing, lambda: _grey_levels(values / _WHITE))


def _modality(header: Dataset, groups: tuple[Dataset, ...], stored: np.ndarray) -> FloatMap:
    if "ModalityLUTSequence" in header:
        looked_up: FloatMap = apply_modality_lut(stored, header).astype(np.float32)
        return looked_up
    macro = _macro(header, groups, "PixelValueTransformationSequence")
    slope, intercept = _number(macro, "RescaleSlope"), _number(macro, "RescaleIntercept")
    if slope in {None, 0.0, 1.0} and not intercept:
        return stored.astype(np.float32)
    values: FloatMap = (stored.astype(np.float64) * (slope or 1.0) + (intercept or 0.0)).astype(
        np.float32
    )
    return values


def _display(voi: Dataset, values: FloatMap) -> Picture:
    """Apply the first VOI LUT or window; where that shows nothing, stretch."""
    unit = _voi_lut(voi, values)
    if unit is None:
        unit = _windowed(voi, values)
    if unit is not None:
        picture = _grey_levels(unit)
        if picture.min() < picture.max() or values.min() == values.max():
            return picture
    return _grey_levels(_stretched(values))


def _voi_lut(voi: Dataset, values: FloatMap) -> FloatMap | None:
    items = voi.get("VOILUTSequence")
    if not items or "LUTDescriptor" not in items[0] or "LUTData" not in items[0]:
        return None
    entries, first, bits = (int(number) for number in items[0].LUTDescriptor)
    data = items[0].LUTData
    table = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.atleast_1d(data)
    if len(table) < (entries or 65536) or not 1 <= bits <= 16:
        return None
    place = np.clip(np.rint(values) - first, 0, (entries or 65536) - 1).astype(np.int64)
    unit: FloatMap = table[place].astype(np.float32) / np.float32(2**bits - 1)
    return unit


def _windowed(voi: Dataset, values: FloatMap) -> FloatMap | None:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, to 0..1."""
    centre, width = _number(voi, "WindowCenter"), _number(voi, "WindowWidth")
    if centre is None or width is None or width <= 0:
        return None
    function = str(voi.get("VOILUTFunction") or "LINEAR").strip()
    if function == "SIGMOID":
        steps = np.clip(-4.0 * (values - centre) / width, -80.0, 80.0)
        curve: FloatMap = 1.0 / (1.0 + np.exp(steps))
        return curve
    if function == "LINEAR" and width > 1:
        centre, width = centre - 0.5, width - 1.0
    line: FloatMap = values - centre
    line /= width
    line += 0.5
    return line


def _stretched(values: FloatMap) -> FloatMap:
    finite = values[np.isfinite(values)]
    low, high = percentiles(finite, _PERCENTILES) if finite.size else (0.0, 0.0)
    if high <= low and finite.size:
        low, high = float(finite.min()), float(finite.max())
    if high <= low:
        return np.zeros_like(values)
    unit: FloatMap = values - low
    unit /= high - low
    return unit


def _grey_levels(unit: FloatMap) -> Picture:
    """Bring 0 to 1 to levels of grey; the array is used up."""
    np.clip(unit, 0.0, 1.0, out=unit)
    if np.isnan(unit.max()):
        np.nan_to_num(unit, copy=False)
    unit *= _WHITE
    picture: Picture = np.rint(unit, out=unit).astype(np.uint8)
    return picture


def _spacing(header: Dataset, groups: tuple[Dataset, ...]) -> tuple[float, float] | None:
    macro = _macro(header, groups, "PixelMeasuresSequence")
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        found = macro.get(keyword)
        if found is None or isinstance(found, str) or len(found) != 2:
            continue
        rows, columns = float(found[0]), float(found[1])
        if rows > 0 and columns > 0 and math.isfinite(rows) and math.isfinite(columns):
            return rows, columns
    return None


def _number(source: Dataset, keyword: str) -> float | None:
    """Return the first value of an attribute, or None where it is absent or no number."""
    found = source.get(keyword)
    if found is None or found == "":
        return None
    first = found if isinstance(found, str | int | float) else found[0]
    number = float(first)
    return number if math.isfinite(number) else None
