"""What is so at one moment, for those who watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lightbox.domain.condition import Condition


@dataclass(frozen=True, slots=True)
class Levels:
    """What is so at one moment; the rest of the metrics follows from events.

    Attributes
    ----------
    storage_free_bytes : int
        What can still be written.
    condition : Condition
        What the worker says of itself.
    """

    associations_active: int
    storage_free_bytes: int
    jobs_waiting: Mapping[str, int]
    jobs_running: Mapping[str, int]
    dead_letters: int
    condition: Condition = field(default_factory=Condition)
