"""The region that a viewer overlays: Segmentation (PS3.3 A.51), BINARY, one frame.

Never FRACTIONAL or LABELMAP: viewers hang on the one, archives refuse the other.
"""

from __future__ import annotations

from lightbox.domain.attribution import Attribution
from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, ResultKind
from lightbox.results import codes, provenance
from lightbox.results.header.source import key_source
from lightbox.results.header.text import ascii_text
from lightbox.results.mask import RULE, region_mask
from lightbox.results.replacing.references import refer_to_replaced
from lightbox.results.segments.binary import Segments, segmentation
from lightbox.results.segments.segment import Segment
from lightbox.results.wording import is_negative, method_name

_FAST_COLOUR = (240, 228, 66)
_AUDIT_COLOUR = (230, 120, 0)


class Segmentation:
    """Makes the region of one key frame; none for a negative finding or an empty mask."""

    kind = ResultKind.SEGMENTATION

    def write(self, explained: Explained) -> bytes | None:
        """Return the region as a DICOM file, or None where there is none.

        Raises
        ------
        ResultError
            If the key frame is not among the sources.
        """
        if is_negative(explained):
            return None
        mask = region_mask(explained.attribution)
        if not mask.any():
            return None
        source = key_source(explained)
        name = provenance.name_of(explained, source, self.kind)
        content = Segments(
            "AI_REGION", [source], mask[None, :, :, None], [_segment(explained, name)]
        )
        dataset = segmentation(explained, name, content)
        provenance.stamp(dataset, explained, source, self.kind)
        refer_to_replaced(dataset, explained, source, {self.kind})
        dataset.pop("Laterality", None)
        if not source.plane.is_real:
            dataset.PatientOrientation = source.image.get("PatientOrientation")
        return provenance.to_file(dataset)


def region_colour(attribution: Attribution) -> tuple[int, int, int]:
    """Return the colour, RGB, in which viewers are asked to show the region."""
    return _FAST_COLOUR if attribution.estimate.values is None else _AUDIT_COLOUR


def _segment(explained: Explained, name: provenance.Name) -> Segment:
    attribution = explained.attribution
    finding = explained.package.finding(attribution.target)
    words = f"Where the model looked ({RULE}), not the outline of a lesion. {NOT_FOR_DIAGNOSIS}"
    return Segment(
        label=ascii_text(f"{method_name(attribution.method)}: {finding.words}"),
        words=words,
        category=codes.SPATIAL_CONCEPT,
        type=codes.visual_explanation(attribution.method),
        tracking=(
            ascii_text(f"{finding.name} {attribution.method}"),
            derived_uid("tracking", name.sop_instance_uid),
        ),
        colour=region_colour(attribution),
    )
