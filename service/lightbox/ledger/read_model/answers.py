"""What is asked of the read model, and the values that it answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lightbox.domain.events import Recorded
from lightbox.domain.standing import StudyStanding
from lightbox.ledger.report import Json


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; "" and None mean any.

    Attributes
    ----------
    text : str
        Letters in a UID, finding, model, urgency, modality, calling AE or reason.
    state : str
        A ``StudyState``.
    urgency : str
        An ``Urgency``.
    missed_at : float or None
        Only studies whose deadline was missed, or has passed at this moment and is still open.
    page, size : int
        Which page, from 0, of how many studies.
    """

    text: str = ""
    state: str = ""
    urgency: str = ""
    missed_at: float | None = None
    page: int = 0
    size: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Studies as in ``studies --json``, newest first.

    Attributes
    ----------
    has_more : bool
        Whether there is another page.
    """

    studies: Sequence[dict[str, Json]]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are.

    Attributes
    ----------
    states : mapping of str to int
        Studies by ``StudyState``.
    missed : int
        Studies whose deadline was missed.
    """

    studies: int = 0
    accepted: int = 0
    delivered: int = 0
    listed: int = 0
    in_progress: int = 0
    dead_letters: int = 0
    missed: int = 0
    states: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tally:
    """How one urgency does.

    Attributes
    ----------
    open_jobs : int
        Without an end.
    next_deadline : float
        The earliest of these, seconds since 1970; 0 where there is none.
    met, missed : int
        Studies that were judged; a deadline that has passed while the study is open is missed.
    """

    open_jobs: int = 0
    next_deadline: float = 0.0
    met: int = 0
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Study:
    """One study and the rows that it was folded from, by time."""

    standing: StudyStanding
    rows: tuple[Recorded, ...]
