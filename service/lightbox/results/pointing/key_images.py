"""Which images a person should open first: a Key Object Selection of the key frame and our picture."""

from __future__ import annotations

from pydicom.dataset import Dataset

from lightbox.domain.explained import Explained
from lightbox.domain.result import ResultKind
from lightbox.results import codes, provenance
from lightbox.results.header.cleaning import put_uid
from lightbox.results.header.source import Source, key_source
from lightbox.results.pointing.key_object import Selection, key_object
from lightbox.results.wording import headline, is_negative, source_line


class KeyImages:
    """Makes the note; none for a negative finding, which has no image to look at first.

    Parameters
    ----------
    picture : bool
        Whether the site makes the picture that the note then names beside the source image.
    """

    kind = ResultKind.KEY_IMAGES

    def __init__(self, *, picture: bool = True) -> None:
        self._picture = picture

    def write(self, explained: Explained) -> bytes | None:
        """Return the note as a DICOM file, or None for a negative finding.

        Raises
        ------
        ResultError
            If the key frame is not among the sources.
        """
        if is_negative(explained):
            return None
        source = key_source(explained)
        references = [(source.series_instance_uid, _key_frame(source))]
        if self._picture:
            references.append(_our_picture(explained, source))
        words = f"{headline(explained)}. {provenance.derivation(explained)}. {source_line(source)}"
        selection = Selection(self.kind, codes.OF_INTEREST, words, tuple(references))
        return key_object(explained, source, selection)


def _key_frame(source: Source) -> Dataset:
    item = Dataset()
    put_uid(item, "ReferencedSOPClassUID", source.sop_class_uid)
    put_uid(item, "ReferencedSOPInstanceUID", source.sop_instance_uid)
    if source.has_frames:
        item.ReferencedFrameNumber = source.frame
    return item


def _our_picture(explained: Explained, source: Source) -> tuple[str, Dataset]:
    name = provenance.name_of(explained, source, ResultKind.SECONDARY_CAPTURE)
    item = Dataset()
    item.ReferencedSOPClassUID = codes.SECONDARY_CAPTURE
    item.ReferencedSOPInstanceUID = name.sop_instance_uid
    return name.series_instance_uid, item
