"""A rejection note: Key Object Selection (PS3.3 A.35.4, TID 2010) that names the replaced objects.

Archives that follow IHE Imaging Object Change Management hide what such a note rejects. Others show
it as one more object, so a destination gets it only if it is configured to.
"""

from __future__ import annotations

from lightbox.domain.explained import Explained
from lightbox.domain.result import ResultKind
from lightbox.results import codes
from lightbox.results.header.source import key_source
from lightbox.results.pointing.key_object import Selection, key_object
from lightbox.results.replacing.references import IMAGES, replaced_objects
from lightbox.results.replacing.sentence import replaces_sentence

_REJECTABLE = IMAGES | {
    ResultKind.STRUCTURED_REPORT,
    ResultKind.PRESENTATION_STATE,
    ResultKind.KEY_IMAGES,
}


class Rejection:
    """Makes the note; none where a result replaces nothing."""

    kind = ResultKind.KEY_OBJECT

    def write(self, explained: Explained) -> bytes | None:
        """Return the note as a DICOM file, or None where nothing is replaced.

        Raises
        ------
        ResultError
            If the key frame is not among the sources.
        """
        if explained.replaces is None:
            return None
        source = key_source(explained)
        found = tuple(replaced_objects(explained, source, _REJECTABLE))
        if not found:
            return None
        words = f"Replaced by a newer result: {replaces_sentence(explained)}"
        selection = Selection(self.kind, codes.REJECTED_FOR_QUALITY, words, found)
        return key_object(explained, source, selection)
