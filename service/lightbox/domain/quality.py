"""What a quality metric is: its name, which way is better, and which question it answers.

The metrics themselves stand in ``explain/quality/``, one file each. Four blocks, after the
evaluation frameworks of the field (Nauta et al. 2023, ACM Computing Surveys 55:295).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Block(StrEnum):
    """Which question a metric answers."""

    FAITHFULNESS = "faithfulness"
    """Does the map say what the model does?"""
    PLAUSIBILITY = "plausibility"
    """Does the map lie where a reader would look?"""
    ROBUSTNESS = "robustness"
    """Does the map, or another method, say the same again?"""
    COST = "cost"
    """What did it take?"""


class Direction(StrEnum):
    """Which way is better."""

    HIGHER = "higher"
    LOWER = "lower"
    DESCRIBES = "describes"
    """Neither: the number describes the map."""


@dataclass(frozen=True, slots=True)
class QualityMetric:
    """One metric as it stands in ledger, metrics and reports.

    Attributes
    ----------
    name : str
        Lower case, underscores; the key in ``Attribution.quality``.
    meaning : str
        One sentence for people.
    source : str
        Paper, or "" where the definition is ours.
    """

    name: str
    block: Block
    direction: Direction
    meaning: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Plausibility:
    """How a map lies to a mask that a reader drew.

    Attributes
    ----------
    pointing_game : float
        1 where the map's maximum is inside the mask, 0 elsewhere.
    iou : float
        Intersection over union of the mask and the map's highest pixels, as many as the mask has.
    mass : float
        Share of the positive attribution that is inside the mask, 0 to 1.
    """

    pointing_game: float
    iou: float
    mass: float
