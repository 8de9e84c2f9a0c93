"""Outline and words over the source image itself: Grayscale Softcopy Presentation State.

Diagnostic viewers apply it on the radiologist's own monitor, at full resolution, and switch it off
with one key; others list it as unsupported, so a destination gets it only if it asks for "pr". It
refers to the exact source frame, repeats how that frame is displayed, and changes nothing of it.
"""

from __future__ import annotations

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset

from lightbox.domain.explained import Explained
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, ResultKind
from lightbox.results import codes, provenance
from lightbox.results.header.cleaning import put_uid
from lightbox.results.header.display import Display, display_of
from lightbox.results.header.source import Source, key_header, key_source
from lightbox.results.header.text import SHORT_TEXT, ascii_text
from lightbox.results.mask import RULE, region_mask
from lightbox.results.outline import Polygon, outlines
from lightbox.results.secondary_capture import carry_side
from lightbox.results.segmentation import region_colour
from lightbox.results.wording import headline, is_negative, method_name

_OUTLINE_LAYER = "AI_OUTLINE"
_TEXT_LAYER = "AI_TEXT"
_WORDS_COLOUR = (255, 196, 61)
_BOX = ((0.2, 0.01), (0.8, 0.13))
"""Top left and bottom right of the words, share of the displayed area: no corner is covered."""


class PresentationState:
    """Makes the state of one key frame; none where there is nothing to outline."""

    kind = ResultKind.PRESENTATION_STATE

    def write(self, explained: Explained) -> bytes | None:
        """Return the state as a DICOM file, or None where it does not apply.

        It does not apply to negative findings, to sources in colour, and to sources that do not
        state how they are displayed (see ``header/display.py``).

        Raises
        ------
        ResultError
            If the key frame is not among the sources.
        """
        if is_negative(explained):
            return None
        polygons = outlines(region_mask(explained.attribution))
        source = key_source(explained)
        display = display_of(key_header(explained), source.frame)
        if not polygons or display is None:
            return None
        dataset = Dataset()
        dataset.SOPClassUID = codes.GRAYSCALE_PRESENTATION_STATE
        dataset.Modality = "PR"
        provenance.stamp(dataset, explained, source, self.kind)
        _identify(dataset)
        carry_side(dataset, source)
        reference = _reference(source)
        series = Dataset()
        put_uid(series, "SeriesInstanceUID", source.series_instance_uid)
        series.ReferencedImageSequence = [Dataset(reference)]
        dataset.ReferencedSeriesSequence = [series]
        _show(dataset, source, display)
        _annotate(dataset, explained, reference, polygons)
        return provenance.to_file(dataset)


def _identify(dataset: Dataset) -> None:
    """Name the state (PS3.3 C.11.10); its content has no date but that of its making."""
    dataset.ContentLabel = _OUTLINE_LAYER
    dataset.ContentDescription = NOT_FOR_DIAGNOSIS
    dataset.ContentCreatorName = None
    dataset.PresentationCreationDate = dataset.ContentDate
    dataset.PresentationCreationTime = dataset.ContentTime
    for keyword in ("ContentDate", "ContentTime"):
        dataset.pop(keyword, None)


def _reference(source: Source) -> Dataset:
    item = Dataset()
    put_uid(item, "ReferencedSOPClassUID", source.sop_class_uid)
    put_uid(item, "ReferencedSOPInstanceUID", source.sop_instance_uid)
    if source.has_frames:
        item.ReferencedFrameNumber = source.frame
    return item


def _show(dataset: Dataset, source: Source, display: Display) -> None:
    """Show the whole frame as the source does (PS3.3 C.10.4, C.11.1, C.11.8, C.11.6)."""
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [source.shape[1], source.shape[0]]
    area.PresentationSizeMode = "SCALE TO FIT"
    area.update(display.pixel)
    dataset.DisplayedAreaSelectionSequence = [area]
    if len(display.rescale):
        dataset.update(display.rescale)
        if not dataset.get("RescaleType"):
            dataset.RescaleType = "HU" if source.text("Modality") == "CT" else "US"
    if len(display.window):
        dataset.SoftcopyVOILUTSequence = [display.window]
    dataset.PresentationLUTShape = "INVERSE" if display.is_inverse else "IDENTITY"


def _annotate(
    dataset: Dataset, explained: Explained, reference: Dataset, polygons: list[Polygon]
) -> None:
    """Put the outlines and the words, each on a layer that can be hidden (PS3.3 C.10.5, C.10.7)."""
    drawn, said = Dataset(), Dataset()
    drawn.GraphicLayer, said.GraphicLayer = _OUTLINE_LAYER, _TEXT_LAYER
    for item in (drawn, said):
        item.ReferencedImageSequence = [Dataset(reference)]
    drawn.GraphicObjectSequence = [_polyline(polygon) for polygon in polygons]
    said.TextObjectSequence = [_words(explained)]
    dataset.GraphicAnnotationSequence = [drawn, said]
    name = method_name(explained.attribution.method)
    dataset.GraphicLayerSequence = [
        _layer(_OUTLINE_LAYER, 1, region_colour(explained.attribution), f"{name}: {RULE}"),
        _layer(_TEXT_LAYER, 2, _WORDS_COLOUR, NOT_FOR_DIAGNOSIS),
    ]


def _polyline(polygon: Polygon) -> Dataset:
    closed = np.vstack([polygon, polygon[:1]])
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(closed)
    item.GraphicData = [float(v) for v in closed.ravel()]
    item.GraphicType = "POLYLINE"
    item.GraphicFilled = "N"
    return item


def _words(explained: Explained) -> Dataset:
    name = method_name(explained.attribution.method)
    lines = (
        NOT_FOR_DIAGNOSIS,
        headline(explained),
        f"{name}: where the model looked, not the outline of a lesion",
    )
    item = Dataset()
    item.BoundingBoxAnnotationUnits = "DISPLAY"
    item.BoundingBoxTopLeftHandCorner, item.BoundingBoxBottomRightHandCorner = map(list, _BOX)
    item.BoundingBoxTextHorizontalJustification = "CENTER"
    item.UnformattedTextValue = "\r\n".join(ascii_text(line, SHORT_TEXT // 4) for line in lines)
    return item


def _layer(name: str, order: int, rgb: tuple[int, int, int], words: str) -> Dataset:
    item = Dataset()
    item.GraphicLayer = name
    item.GraphicLayerOrder = order
    item.GraphicLayerRecommendedDisplayCIELabValue = list(hd.color.CIELabColor.from_rgb(*rgb).value)
    item.GraphicLayerDescription = ascii_text(words)
    return item
