"""Studies by what people look for, as a question to the read model; and what is left of one."""

from __future__ import annotations

from pathlib import Path

from lightbox.console.sources import Record, StudyQuery
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


def as_it_is(study: Record) -> Record:
    """Return a study (``studies UID --json``) without pictures that have gone since."""
    results = study["results"]
    assert isinstance(results, list)
    there = [
        {**each, "preview": each["preview"] if Path(each["file"]).exists() else None}
        for each in results
    ]
    return {**study, "results": there}
