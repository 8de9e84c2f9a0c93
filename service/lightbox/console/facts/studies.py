"""Studies by what people look for, as a question to the read model."""

from __future__ import annotations

from lightbox.console.sources import StudyQuery
from lightbox.domain.standing import StudyState
from lightbox.ledger.read_model.answers import Search

DAY = 86400.0

_STATES = {
    "open": StudyState.IN_PROGRESS,
    "unanalysed": StudyState.LISTED,
    "failed": StudyState.FAILED,
    "undelivered": StudyState.DEAD_LETTER,
}


def search_for(query: StudyQuery, now: float) -> Search:
    """Return the question; ``now`` is when an open study with an earlier deadline is late."""
    return Search(
        text=query.search,
        state=_STATES.get(query.show, ""),
        urgency=query.urgency,
        missed_at=now if query.show == "late" else None,
        page=query.page - 1,
        size=query.limit,
    )
