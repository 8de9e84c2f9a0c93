"""A picture of each further key slice, like the one of the key frame and in the same series."""

from __future__ import annotations

from lightbox.domain.explained import Explained
from lightbox.domain.result import ResultKind
from lightbox.results.header.source import key_source
from lightbox.results.picture.render import render
from lightbox.results.picture.slice_words import further_slice_line
from lightbox.results.secondary_capture import Capture, capture


class OneSlice:
    """Makes the picture of one further key slice (``Explained.of_slice``)."""

    kind = ResultKind.SLICE

    def write(self, explained: Explained) -> bytes | None:
        """Return the picture as a DICOM file; None for the key frame, which has its own kind.

        Raises
        ------
        ResultError
            If the slice is not among the sources.
        """
        if explained.unit is None:
            return None
        source = key_source(explained)
        picture = render(explained, source)
        words = further_slice_line(explained)
        return capture(explained, Capture(self.kind, picture, (source,), {self.kind}, words))
