"""The mosaic: the key slices of a series in one Secondary Capture."""

from __future__ import annotations

from lightbox.domain.explained import Explained
from lightbox.domain.result import ResultKind
from lightbox.results.header.source import source_of
from lightbox.results.header.stack import in_order, planes_of
from lightbox.results.picture.mosaic import Tile, mosaic
from lightbox.results.picture.slice_words import slices_line
from lightbox.results.secondary_capture import Capture, capture


class Mosaic:
    """Makes the mosaic; none where a series has one key slice only."""

    kind = ResultKind.MOSAIC

    def write(self, explained: Explained) -> bytes | None:
        """Return the mosaic as a DICOM file, or None where the key frame is the only key slice.

        Raises
        ------
        ResultError
            If a key slice is not among the sources.
        """
        if not explained.slices:
            return None
        tiles = tiles_of(explained)
        shown = tuple(tile.source for tile in tiles)
        words = slices_line(explained, shown)
        return capture(
            explained, Capture(self.kind, mosaic(explained, tiles), shown, {self.kind}, words)
        )


def tiles_of(explained: Explained) -> tuple[Tile, ...]:
    """Return the tiles in the order of the stack.

    Raises
    ------
    ResultError
        If a key slice is not among the sources.
    """
    each = {
        shown.prediction.key_frame: shown
        for shown in (explained, *(explained.of_slice(one) for one in explained.slices))
    }
    uids = {ref.sop_instance_uid for ref in each}
    pairs = zip(explained.job.instances, explained.sources, strict=True)
    instances, sources = zip(*(p for p in pairs if p[0].sop_instance_uid in uids), strict=True)
    order = in_order(planes_of(instances, sources, explained.frame.pixel_spacing))
    return tuple(Tile(each[ref], source_of(each[ref], ref)) for ref in order if ref in each)
