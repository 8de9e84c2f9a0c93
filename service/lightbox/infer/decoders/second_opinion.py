"""Two decoders are compared on first sight of each manufacturer, transfer syntax and pixel format.

A decoder that is wrong raises no error: its pixels look like an image. Where two that share no
code agree on the first frame of a combination, the rest of it is decoded once. Where they differ
by more than the syntax allows, the image is refused, and from then on every frame of that
combination is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
)

from lightbox.domain.errors import UnreadableError

LOSSY: dict[str, int] = {
    JPEGBaseline8Bit: 2,
    JPEGExtended12Bit: 2,
    JPEG2000: 2,
    HTJ2K: 2,
}
"""Transfer syntax → how far two right decoders may differ in one sample.

The inverse transforms are specified to within one level of the exact value (ITU-T T.83 5.2, T.803).
All other syntaxes, near-lossless JPEG-LS too, say every bit.
"""

_REMEMBERED = 4096
_SHOWN = 40


class DecodersDifferError(UnreadableError):
    """Two decoders make different pixels of one frame."""

    def __init__(self, thing: str, combination: Combination, reason: str) -> None:
        super().__init__(thing, reason, "send it uncompressed, or ask for its compressor's version")
        self.combination = combination


@dataclass(frozen=True, slots=True)
class Combination:
    """What decoders are compared for, once.

    Attributes
    ----------
    manufacturer : str
        As the header says (0008,0070), in capitals and cut off.
    allocated, stored, samples : int
        Bits Allocated, Bits Stored, Samples per Pixel.
    """

    manufacturer: str
    syntax: str
    allocated: int
    stored: int
    samples: int

    @classmethod
    def of(cls, header: Dataset) -> Combination:
        """Read what a header says."""
        said = "".join(c for c in str(header.get("Manufacturer") or "") if c.isprintable())
        return cls(
            said.strip().upper()[:_SHOWN],
            str(header.file_meta.TransferSyntaxUID),
            int(header.get("BitsAllocated") or 0),
            int(header.get("BitsStored") or 0),
            int(header.get("SamplesPerPixel") or 1),
        )

    @property
    def words(self) -> str:
        """Name it, for people."""
        bits = f"{self.stored} of {self.allocated} bits"
        colour = "" if self.samples == 1 else f", {self.samples} samples"
        return f"{self.manufacturer or 'no manufacturer'}, {UID(self.syntax).name}, {bits}{colour}"


class SecondOpinion:
    """Remembers which combinations two decoders agreed on; lives as long as its process."""

    def __init__(self) -> None:
        self._seen: set[Combination] = set()
        self._doubtful: set[Combination] = set()

    def check(self, path: Path, header: Dataset, number: int) -> None:
        """Compare two decoders on a frame, where its combination asks for it.

        Parameters
        ----------
        number : int
            Of the frame, from 1.

        Raises
        ------
        DecodersDifferError
            If they make different pixels of it.
        """
        syntax = UID(str(header.file_meta.TransferSyntaxUID))
        if not syntax.is_encapsulated:
            return
        combination = Combination.of(header)
        if combination in self._seen and combination not in self._doubtful:
            return
        if len(self._seen) >= _REMEMBERED:  # a sender that makes up manufacturers
            self._seen.clear()
        self._seen.add(combination)
        reason = _difference(path, header, syntax, number)
        if reason:
            self._doubtful.add(combination)
            raise DecodersDifferError(path.name, combination, reason)


def _difference(path: Path, header: Dataset, syntax: UID, number: int) -> str:
    """Say how two decoders differ, "" where they do not or where there is only one."""
    (one, first), (other, second) = [*_opinions(path, syntax, number), ("", None), ("", None)][:2]
    if first is None or second is None:
        return ""
    tolerance = LOSSY.get(syntax, 0)
    photometric = str(header.get("PhotometricInterpretation") or "")
    if tolerance and first.ndim == 3 and photometric.startswith("YBR"):
        # Chrominance is stored coarser, and how it is made finer again is left to the decoder.
        first, second = first[..., 0], second[..., 0]
    if first.shape != second.shape:
        return f"two decoders differ: {one} gives {first.shape}, {other} {second.shape}"
    apart = np.abs(first.astype(np.int64) - second.astype(np.int64))
    wrong = int(np.count_nonzero(apart > tolerance))
    if not wrong:
        return ""
    share = f"{wrong} of {apart.size} samples, by up to {int(apart.max())}"
    return f"two decoders differ: {one} and {other} in {share}"


def _opinions(path: Path, syntax: UID, number: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what each decoder of a syntax makes of a frame; those that fail have no opinion."""
    for name in get_decoder(syntax).available_plugins:
        try:
            (found,) = iter_pixels(path, indices=[number - 1], raw=True, decoding_plugin=name)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001, S112  # decoders raise anything at all
            continue
        yield name, found
