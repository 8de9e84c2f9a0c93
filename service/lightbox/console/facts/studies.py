"""Studies by what people look for: words, a missed deadline, what is open or was not analysed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path

from lightbox.console.sources import Punctuality, Show, StudyPage, StudyQuery
from lightbox.domain.standing import StudyStanding, StudyState
from lightbox.domain.urgency import Urgency
from lightbox.ledger.report import study_json

DAY = 86400.0


def page_of(
    studies: Iterable[StudyStanding], query: StudyQuery, now: float, root: Path
) -> StudyPage:
    """Return the page of those that match; ``studies`` come newest first."""
    words = query.search.strip().lower()
    wanted = (s for s in studies if _matches(s, query, words, now))
    start = (query.page - 1) * query.limit
    found = list(islice(wanted, start, start + query.limit + 1))
    return StudyPage(
        [study_json(study, root) for study in found[: query.limit]], len(found) > query.limit
    )


def punctuality(studies: Iterable[StudyStanding], now: float) -> dict[str, Punctuality]:
    """Count the last day's studies by urgency and deadline; what can still be met is neither."""
    met: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for study in studies:
        if study.received_at < now - DAY:
            break  # newest first
        if is_late(study, now):
            missed[study.urgency] += 1
        elif study.is_met:
            met[study.urgency] += 1
    return {name: Punctuality(met[name], missed[name]) for name in Urgency}


def is_late(study: StudyStanding, now: float) -> bool:
    """Say whether its deadline was missed, or has passed while it is still open."""
    return study.is_met is False or (study.is_met is None and 0 < study.deadline < now)


def _matches(study: StudyStanding, query: StudyQuery, words: str, now: float) -> bool:
    if query.urgency and study.urgency != query.urgency:
        return False
    if words and not any(words in text.lower() for text in _texts(study)):
        return False
    return _SHOWN[query.show](study, now)


_SHOWN: Mapping[Show, Callable[[StudyStanding, float], bool]] = {
    "all": lambda _study, _now: True,
    "late": is_late,
    "open": lambda study, _now: study.state is StudyState.IN_PROGRESS,
    "unanalysed": lambda study, _now: study.state is StudyState.LISTED,
    "failed": lambda study, _now: study.state in {StudyState.FAILED, StudyState.DEAD_LETTER},
}


def _texts(study: StudyStanding) -> tuple[str, ...]:
    found = (study.study_instance_uid, study.finding, study.model, study.urgency, study.modality)
    return (*found, study.rule, *(one.verdict.reason for one in study.instances))
