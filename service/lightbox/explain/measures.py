"""Every quality metric on one page: what an attribution may carry, and what it means."""

from __future__ import annotations

from collections.abc import Mapping

from lightbox.domain.quality import Block, QualityMetric
from lightbox.explain.quality import (
    agreement,
    border,
    completeness,
    complexity,
    cost,
    deletion_insertion,
    localisation,
    sensitivity_n,
    stability,
)

METRICS: tuple[QualityMetric, ...] = (
    completeness.METRIC,
    *deletion_insertion.METRICS,
    sensitivity_n.METRIC,
    *complexity.METRICS,
    border.METRIC,
    *localisation.METRICS,
    *agreement.METRICS,
    *stability.METRICS,
    *cost.METRICS,
)
"""Those of ``localisation`` come with a mask, those of ``cost`` stand in the record itself."""


def in_blocks(
    quality: Mapping[str, float], evaluations: int, seconds: float
) -> dict[Block, list[tuple[QualityMetric, float]]]:
    """Sort what is known of an attribution into the four blocks, in the order of this page."""
    known = {**quality, "evaluations": evaluations, "seconds": seconds}
    found: dict[Block, list[tuple[QualityMetric, float]]] = {block: [] for block in Block}
    for metric in METRICS:
        if metric.name in known:
            found[metric.block].append((metric, known[metric.name]))
    return {block: measured for block, measured in found.items() if measured}
