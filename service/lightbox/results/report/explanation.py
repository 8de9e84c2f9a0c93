"""The groups of what is explained: an outline of where the model looked, else findings alone.

Viewers draw groups with an outline on the right image and turn black on any other mixture. A
negative result has no outline; it states the absence (TID 1501) for the systems that read it.
"""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from lightbox.domain.explained import Explained
from lightbox.domain.identity import derived_uid
from lightbox.results import codes
from lightbox.results.header.source import Source
from lightbox.results.mask import region_mask
from lightbox.results.outline import outlines
from lightbox.results.report import tree
from lightbox.results.report.items import Said, coded, group, probability
from lightbox.results.wording import explained_confidence


def outlined(explained: Explained, source: Source) -> list[Dataset]:
    """Return a group per part of the region where the model looked; none for negative findings."""
    finding = explained.package.finding(explained.attribution.target)
    polygons = [] if finding.negative else outlines(region_mask(explained.attribution))
    return [
        _group(
            explained,
            f"{number} of {len(polygons)}",
            [tree.code("CONTAINS", coded(finding), _verdict(explained))],
            tree.outline(polygon, source),
        )
        for number, polygon in enumerate(polygons, start=1)
    ]


def without_outline(explained: Explained, source: Source) -> Dataset:
    """Return a TID 1501 group: every finding that the model knows, and that it is absent."""
    finding = explained.package.finding(explained.attribution.target)
    if finding.negative:
        others = [f for f in explained.package.findings if not f.negative]
        said = [tree.code("CONTAINS", coded(f), codes.ABSENT) for f in others]
    else:
        said = [tree.code("CONTAINS", coded(finding), _verdict(explained))]
    where = tree.image("CONTAINS", codes.SOURCE_OF_MEASUREMENT, source)
    return _group(explained, "1 of 1", said, where)


def _group(explained: Explained, which: str, said: list[Dataset], where: Dataset) -> Dataset:
    finding = explained.package.finding(explained.attribution.target)
    method = explained.attribution.method
    tracking = (
        f"{finding.name} {method} {which}",
        derived_uid("tracking", explained.job.job_id, which),
    )
    shown = codes.visual_explanation(method)
    number = probability(explained_confidence(explained))
    return group(explained, Said(tracking, finding, shown, [number], said, where))


def _verdict(explained: Explained) -> Code:
    finding = explained.package.finding(explained.attribution.target)
    is_present = explained_confidence(explained) >= explained.prediction.threshold(finding)
    return codes.PRESENT if is_present else codes.UNDETERMINED
