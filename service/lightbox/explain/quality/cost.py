"""Cost: what an explanation took.

Both numbers stand in the record of an attribution itself, not in its ``quality``: they say nothing
of what the map is worth, and the seconds are others each time.
"""

from __future__ import annotations

from lightbox.domain.quality import Block, Direction, QualityMetric

METRICS = (
    QualityMetric(
        "evaluations",
        Block.COST,
        Direction.LOWER,
        "Different coalitions of regions that the network was asked about; 1 for a map of the "
        "prediction's own pass.",
    ),
    QualityMetric(
        "seconds",
        Block.COST,
        Direction.LOWER,
        "Time that explaining and measuring took, without waiting for the device.",
    ),
)
