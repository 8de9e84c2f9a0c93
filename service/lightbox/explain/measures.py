"""Every quality metric on one page: what an attribution may carry, and what it means."""

from __future__ import annotations

from lightbox.domain.quality import QualityMetric
from lightbox.explain.quality import (
    agreement,
    border,
    completeness,
    complexity,
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
)
"""Those of ``localisation`` come with a mask, the others with the attribution."""
