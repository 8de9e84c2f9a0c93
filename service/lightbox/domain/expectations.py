"""What a site expects of every study."""

from __future__ import annotations

from dataclasses import dataclass, field

from lightbox.domain.urgency import Deadlines


@dataclass(frozen=True, slots=True)
class Expectations:
    """What is expected of every study: who gets its results, and by when.

    Attributes
    ----------
    destinations : tuple of str
        Names of those that get results; where there is none, a result that is written is done.
    deadlines : Deadlines
        For units that are ready but have no job yet.
    assemble_within : float
        Seconds after its arrival by which an instance must belong to a unit or be listed.
    commits : frozenset of str
        Names of destinations that are asked for storage commitment.
    """

    destinations: tuple[str, ...] = ()
    deadlines: Deadlines = field(default_factory=Deadlines)
    assemble_within: float = 60.0
    commits: frozenset[str] = frozenset()
