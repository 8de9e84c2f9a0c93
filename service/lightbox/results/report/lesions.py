"""The groups of lesions: the outline where it is longest, probability and sizes (TID 1410).

Planar groups, a volume among their numbers, because viewers turn black on volumetric ones
(TID 1411); the segmentation of its own series holds every plane.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.domain.jobs import JobPath
from lightbox.domain.lesion import Lesion
from lightbox.results import codes
from lightbox.results.header.source import Source, source_of
from lightbox.results.lesion.size import Size, size_of
from lightbox.results.outline import outlines
from lightbox.results.report import tree
from lightbox.results.report.items import Said, coded, group, probability


def lesion_groups(explained: Explained) -> list[tuple[Dataset, Source]]:
    """Return a group per lesion, with the source that its outline lies on.

    None for an audit: it explains, and outlines nothing anew.
    """
    if explained.job.path is JobPath.AUDIT:
        return []
    return [
        _group(explained, lesion, number)
        for number, lesion in enumerate(explained.lesions, start=1)
    ]


def _group(explained: Explained, lesion: Lesion, number: int) -> tuple[Dataset, Source]:
    size = size_of(explained, lesion)
    source = source_of(explained, size.widest.ref)
    finding = explained.package.finding(lesion.target)
    (polygon,) = outlines(size.widest.mask, most=1)
    said = Said(
        tracking=(
            f"{finding.name} lesion {number} of {len(explained.lesions)}",
            derived_uid("tracking", explained.job.job_id, "lesion", str(number)),
        ),
        finding=finding,
        category=codes.ABNORMAL_STRUCTURE,
        method=codes.SEGMENTATION_DERIVATION,
        numbers=[probability(lesion.probability), *_sizes(size)],
        evaluations=[tree.code("CONTAINS", coded(finding), codes.PRESENT)],
        where=tree.outline(polygon, source),
    )
    return group(explained, said), source


def _sizes(size: Size) -> Iterator[Dataset]:
    every = (
        (codes.LONG_AXIS, size.longest, codes.MILLIMETRE),
        (codes.AREA, size.area, codes.SQUARE_MILLIMETRE),
        (codes.VOLUME, size.volume, codes.CUBIC_MILLIMETRE),
    )
    for name, value, unit in every:
        if value is not None:
            yield tree.number(name, float(f"{value:.4g}"), unit)
