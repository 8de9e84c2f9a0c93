"""How a source says that it is to be seen: rescale, window, polarity, shape of a pixel (PS3.3 C.11).

A presentation state takes the place of all of these in the image, so it must repeat them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from pydicom.dataset import Dataset

from lightbox.results.header.cleaning import copy_clean

_RESCALE = ("RescaleIntercept", "RescaleSlope", "RescaleType")
_WINDOW = ("WindowCenter", "WindowWidth", "VOILUTFunction")
_TABLES = ("ModalityLUTSequence", "VOILUTSequence")
_SPACING = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


@dataclass(frozen=True, slots=True)
class Display:
    """What a viewer would do with the stored values of one frame.

    Attributes
    ----------
    rescale : Dataset
        Rescale Intercept, Slope and Type, or nothing.
    window : Dataset
        Window Center, Width and VOI LUT Function, or nothing: the whole range is shown.
    is_inverse : bool
        The smallest value is shown white (MONOCHROME1).
    pixel : Dataset
        Presentation Pixel Spacing, else Presentation Pixel Aspect Ratio.
    """

    rescale: Dataset
    window: Dataset
    is_inverse: bool
    pixel: Dataset


def display_of(header: Dataset, frame: int) -> Display | None:
    """Return how a grey frame is displayed; None where the header does not say it in full.

    That is a source in colour, one whose values go through a table, and one of more than 8 bits
    without a window: no two viewers show that alike.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        polarity = str(header.get("PhotometricInterpretation") or "").strip(" \0")
        if polarity not in ("MONOCHROME1", "MONOCHROME2"):
            return None
        groups = _groups(header, frame)
        if any(keyword in group for group in groups for keyword in _TABLES):
            return None
        rescale, window = _first(groups, _RESCALE, 2), _window(groups, header)
    if window is None:
        return None
    return Display(rescale, window, polarity == "MONOCHROME1", _pixel(groups))


def _groups(header: Dataset, frame: int) -> list[Dataset]:
    """Return where display attributes may stand: the frame's groups, shared ones, top level."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    found = list(per_frame[frame - 1 : frame])
    found.extend(header.get("SharedFunctionalGroupsSequence") or [])
    inside = [
        item
        for group in found
        for keyword in (
            "PixelValueTransformationSequence",
            "FrameVOILUTSequence",
            "PixelMeasuresSequence",
        )
        for item in group.get(keyword) or []
    ]
    return [*inside, header]


def _first(groups: list[Dataset], keywords: tuple[str, ...], needed: int) -> Dataset:
    """Return valid copies from the first place that states the first ``needed`` keywords."""
    for group in groups:
        copied = copy_clean(group, keywords)
        if all(keyword in copied and not copied[keyword].is_empty for keyword in keywords[:needed]):
            return copied
    return Dataset()


def _window(groups: list[Dataset], header: Dataset) -> Dataset | None:
    """Return the first window that is stated; None where none is and one is needed."""
    window = _first(groups, _WINDOW, 2)
    for keyword in _WINDOW[:2]:
        if keyword in window and window[keyword].VM > 1:  # the first of several is the default
            window[keyword].value = window[keyword].value[0]
    if "WindowWidth" in window and float(window.WindowWidth) >= 1:
        if not window.get("VOILUTFunction"):
            window.pop("VOILUTFunction", None)
        return window
    return Dataset() if int(header.get("BitsStored") or 16) <= 8 else None


def _pixel(groups: list[Dataset]) -> Dataset:
    found = Dataset()
    for keyword in _SPACING:
        spacing = _first(groups, (keyword,), 1).get(keyword)
        if spacing and len(spacing) == 2 and min(float(v) for v in spacing) > 0:
            found.PresentationPixelSpacing = list(spacing)
            return found
    ratio = _first(groups, ("PixelAspectRatio",), 1).get("PixelAspectRatio")
    usable = ratio and len(ratio) == 2 and min(int(v) for v in ratio) > 0
    found.PresentationPixelAspectRatio = [int(v) for v in ratio] if usable else [1, 1]
    return found
