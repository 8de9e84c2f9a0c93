"""The picture that a person sees: Secondary Capture Image (PS3.3 A.8.1), single frame, RGB."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pydicom.dataset import Dataset

from lightbox.domain.arrays import Picture
from lightbox.domain.explained import Explained
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, ResultKind
from lightbox.results import codes, provenance
from lightbox.results.header.source import Source, key_source
from lightbox.results.header.text import LONG_TEXT, SHORT_TEXT, ascii_text
from lightbox.results.picture.render import render
from lightbox.results.replacing.references import IMAGES, refer_to_replaced
from lightbox.results.replacing.sentence import replaces_sentence
from lightbox.results.wording import (
    confidence_remark,
    demonstration_remark,
    headline,
    reason_line,
    site_line,
    source_line,
    taken_line,
    target_remark,
    trust_line,
)

_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


class SecondaryCapture:
    """Makes the picture of one key frame."""

    kind = ResultKind.SECONDARY_CAPTURE

    def write(self, explained: Explained) -> bytes | None:
        """Return the picture as a DICOM file.

        Raises
        ------
        ResultError
            If the key frame is not among the sources.
        """
        source = key_source(explained)
        made = Capture(self.kind, render(explained, source), (source,), IMAGES)
        return capture(explained, made)


@dataclass(frozen=True, slots=True)
class Capture:
    """What one picture shows.

    Attributes
    ----------
    picture : array, shape (rows, columns, 3), uint8
    shown : tuple of Source
        The frames in it; the key frame's gives the picture its name and place.
    replaces : collection of ResultKind
        Which kinds of an earlier result it takes the place of.
    words : str
        What is to be said of it beside what is said of every picture, or "".
    """

    kind: ResultKind
    picture: Picture
    shown: tuple[Source, ...]
    replaces: Collection[ResultKind]
    words: str = ""


def capture(explained: Explained, made: Capture) -> bytes:
    """Return a picture as a DICOM file.

    Raises
    ------
    ResultError
        If the key frame is not among the sources.
    """
    source = key_source(explained)
    dataset = Dataset()
    dataset.SOPClassUID = codes.SECONDARY_CAPTURE
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    provenance.stamp(dataset, explained, source, made.kind)
    _describe(dataset, explained, made)
    carry_over(dataset, source, *made.shown)
    refer_to_replaced(dataset, explained, source, made.replaces)
    put_pixels(dataset, made.picture)
    return provenance.to_file(dataset)


def _describe(dataset: Dataset, explained: Explained, made: Capture) -> None:
    """Say what it is, in codes and in words."""
    method, source = explained.attribution.method, key_source(explained)
    dataset.DerivationDescription = ascii_text(provenance.derivation(explained), SHORT_TEXT)
    dataset.DerivationCodeSequence = [codes.code_item(codes.visual_explanation(method))]
    dataset.SourceImageSequence = [
        provenance.source_reference(each, same_pixels=False) for each in made.shown
    ]
    dataset.ReferencedSeriesSequence = [provenance.referenced_series(*made.shown)]
    parts = [
        NOT_FOR_DIAGNOSIS,
        headline(explained),
        made.words,
        demonstration_remark(explained),
        target_remark(explained),
        confidence_remark(explained),
        site_line(explained),
        provenance.derivation(explained),
        f"Source: {source_line(source)}, {source.sop_instance_uid}",
        reason_line(explained),
        taken_line(explained.attribution),
        trust_line(explained.attribution),
        explained.job.caveat,
        *explained.attribution.warnings,
        f"REPLACES: {replaces_sentence(explained)}" if explained.replaces else "",
    ]
    comments = ". ".join(part for part in parts if part)
    dataset.ImageComments = ascii_text(comments, LONG_TEXT)


def carry_over(dataset: Dataset, source: Source, *shown: Source) -> None:
    """Copy what stays true of a picture of the source, and of the others in it."""
    dataset.PatientOrientation = None  # a composite has none
    carry_side(dataset, source)
    sources = (source, *shown)
    for keyword in ("BurnedInAnnotation", "RecognizableVisualFeatures"):
        said = {each.text(keyword) for each in sources}
        setattr(dataset, keyword, "YES" if "YES" in said else "NO")
    lossy = next((s for s in sources if s.text("LossyImageCompression") == "01"), None)
    if lossy is not None:
        for keyword in _LOSSY:
            if keyword in lossy.image:
                dataset.add(lossy.image[keyword])


def carry_side(dataset: Dataset, source: Source) -> None:
    """Copy Laterality, type 2C: empty is unknown, and what there is one of has none."""
    side = source.text("Laterality")
    if side or dataset.get("BodyPartExamined") not in codes.UNPAIRED:
        dataset.Laterality = side or None


def put_pixels(dataset: Dataset, picture: Picture) -> None:
    """Put a picture, shape (rows, columns, 3), into an object."""
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = picture.shape[:2]
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    data = picture.tobytes()
    dataset.PixelData = data if len(data) % 2 == 0 else data + b"\0"
