"""The lesion that a viewer overlays: Segmentation (PS3.3 A.51), BINARY, a segment per lesion.

Its series, category, type and colours are others than those of the region where a model looked, so
that nobody takes the one for the other.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle

import numpy as np
from pydicom.sr.coding import Code

from lightbox.domain.errors import ResultError
from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.domain.jobs import JobPath
from lightbox.domain.lesion import Lesion
from lightbox.domain.result import NOT_FOR_DIAGNOSIS, ResultKind
from lightbox.results import codes, provenance
from lightbox.results.header.source import Source, key_source, read_header, read_source
from lightbox.results.header.text import ascii_text
from lightbox.results.lesion.colours import LESION_COLOURS
from lightbox.results.replacing.references import refer_to_replaced
from lightbox.results.segments.binary import Segments, segmentation
from lightbox.results.segments.segment import Segment


class LesionSegmentation:
    """Makes the segmentation of all lesions; none where there are none, and none for an audit."""

    kind = ResultKind.LESION

    def write(self, explained: Explained) -> bytes | None:
        """Return the lesions as a DICOM file, or None where there are none.

        The fast path's object holds them; an audit explains, and outlines nothing anew.

        Raises
        ------
        ResultError
            If a mask does not fit its frame, or its frame is not among the sources.
        """
        if not explained.lesions or explained.job.path is JobPath.AUDIT:
            return None
        key = key_source(explained)
        sources = _sources(explained, key)
        name = provenance.name_of(explained, key, self.kind)
        content = Segments(
            "AI_LESION", sources, _pixels(explained, sources), _segments(explained, name)
        )
        dataset = segmentation(explained, name, content)
        provenance.stamp(dataset, explained, key, self.kind)
        refer_to_replaced(dataset, explained, key, {self.kind})
        dataset.pop("Laterality", None)
        if not key.plane.is_real:
            dataset.PatientOrientation = key.image.get("PatientOrientation")
        return provenance.to_file(dataset)


def _sources(explained: Explained, key: Source) -> list[Source]:
    """Return the source of each frame that holds a lesion, in the order of the job.

    Frames without a plane in space are laid one behind the other in a frame of reference of ours.
    """
    wanted = {p.ref for lesion in explained.lesions for p in lesion.planes}
    shapes = {p.mask.shape for lesion in explained.lesions for p in lesion.planes}
    found = []
    for instance, data in zip(explained.job.instances, explained.sources, strict=True):
        frames = sorted(r.frame for r in wanted if r.sop_instance_uid == instance.sop_instance_uid)
        header = read_header(data) if frames else None
        for frame in frames:
            assert header is not None
            found.append(read_source(header, instance, frame, explained.frame.pixel_spacing))
    if len(found) != len(wanted) or shapes != {source.shape for source in found}:
        raise ResultError("lesion", "has a mask that fits no source frame", "report this fault")
    references = {source.plane.frame_of_reference_uid for source in found}
    if all(source.plane.is_real for source in found) and len(references) == 1:
        return found
    return [_nominal(source, key, place) for place, source in enumerate(found)]


def _nominal(source: Source, key: Source, place: int) -> Source:
    plane = replace(
        key.plane,
        position=(0.0, 0.0, place * key.plane.thickness),
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        frame_of_reference_uid=derived_uid("lesion planes", key.sop_instance_uid),
        is_real=False,
    )
    return replace(source, plane=plane)


def _pixels(explained: Explained, sources: list[Source]) -> np.ndarray:
    """Return the masks, shape (planes, rows, columns, segments), bool."""
    places = {(s.sop_instance_uid, s.frame): place for place, s in enumerate(sources)}
    pixels = np.zeros((len(sources), *sources[0].shape, len(explained.lesions)), dtype=np.bool_)
    for number, lesion in enumerate(explained.lesions):
        for plane in lesion.planes:
            place = places[plane.ref.sop_instance_uid, plane.ref.frame]
            pixels[place, :, :, number] = plane.mask
    return pixels


def _segments(explained: Explained, name: provenance.Name) -> list[Segment]:
    return [
        _segment(explained, lesion, number, name, colour)
        for number, (lesion, colour) in enumerate(
            zip(explained.lesions, cycle(LESION_COLOURS), strict=False), start=1
        )
    ]


def _segment(
    explained: Explained,
    lesion: Lesion,
    number: int,
    name: provenance.Name,
    colour: tuple[int, int, int],
) -> Segment:
    finding = explained.package.finding(lesion.target)
    code = finding.segment or finding.code
    share = f"probability {100 * lesion.probability:.0f} %"
    return Segment(
        label=ascii_text(f"Lesion {number}: {finding.words}"),
        words=f"Outlined by the model, {share}. {NOT_FOR_DIAGNOSIS}",
        category=codes.ABNORMAL_STRUCTURE,
        type=Code(code.value, code.scheme, ascii_text(code.meaning)),
        tracking=(
            ascii_text(f"{finding.name} lesion {number}"),
            derived_uid("tracking", name.sop_instance_uid, str(number)),
        ),
        colour=colour,
    )
