"""What a fault showed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one fault.

    Attributes
    ----------
    words : str
        A sentence with the figures in it.
    passed : bool
        Whether that is what was expected.
    figures : mapping of str to float
        The same as numbers, with the unit in the name.
    """

    words: str
    passed: bool
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: what was done, what was expected, what was seen.

    Attributes
    ----------
    seconds : float
        How long it took.
    """

    fault: str
    name: str
    did: str
    expected: str
    seen: Seen
    seconds: float

    @property
    def verdict(self) -> str:
        """Passed or failed."""
        return "passed" if self.seen.passed else "failed"
