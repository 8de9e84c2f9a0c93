"""Why a study took as long as it did: its events as stages, and one sentence for people.

Works on what ``studies UID --json`` gives, so a page says nothing that the JSON does not hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lightbox.console.sources import Record

_STAGES = (
    ("study_ready", "waiting until the study was complete"),
    ("job_placed", "being placed"),
    ("job_started", "waiting for the device"),
    ("predicted", "the model"),
    ("attributed", "the explanation"),
    ("results_written", "writing the results"),
)
"""Event that ends a stage, and what the time before it went into."""
_DELIVERY = "delivery"
_ENDS = frozenset({"delivered", "dead_lettered", "not_taken"})
_FAILURES = frozenset({"delivery_delayed", "dead_lettered"})


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the way: when it began (seconds since the last byte), and how long it took."""

    name: str
    began: float
    seconds: float
    is_longest: bool = False


@dataclass(frozen=True, slots=True)
class Story:
    """What the page says first.

    Attributes
    ----------
    is_late : bool
        The deadline was missed, or has passed while the study is open.
    verdict : str
        One sentence: by how much, what took longest.
    causes : tuple of str
        What the ledger says went wrong on the way, each once, in order.
    stages : tuple of Stage
        Of the fast job that decides, up to now or to its end; they add up to the turnaround.
    allowed : float
        Seconds of the deadline, 0 where there is none.
    """

    is_late: bool
    verdict: str
    causes: tuple[str, ...]
    stages: tuple[Stage, ...]
    allowed: float

    @property
    def seconds(self) -> float:
        """From the last byte to the end of the last stage."""
        return sum(stage.seconds for stage in self.stages)


def story_of(study: Record, now: float) -> Story:
    """Tell a study's story from its events.

    Parameters
    ----------
    now : float
        Seconds since 1970, for a study that is still open.
    """
    events = [e for e in _list(study.get("events")) if isinstance(e, Mapping)]
    allowed = _number(study.get("deadline_s"))
    job = _deciding(events)
    if job is None:
        return Story(is_late=False, verdict="", causes=(), stages=(), allowed=allowed)
    mine = [e for e in events if _job_of(e) == job["job_id"] or e["kind"] == "study_ready"]
    received = _number(job.get("received_at"))
    stages = _stages(mine, received, None if study.get("met") is not None else now)
    took = sum(stage.seconds for stage in stages)
    is_late = study.get("met") is False or (study.get("met") is None and took > allowed > 0)
    causes = tuple(dict.fromkeys(_causes(events, str(job["job_id"]))))
    verdict = _verdict(study, stages, took, allowed, is_late=is_late)
    return Story(is_late, verdict, causes, stages, allowed)


def _deciding(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the fast job whose results came last, newest revision only."""
    fast: dict[str, Mapping[str, Any]] = {
        e["values"]["job"]["job_id"]: e["values"]["job"]
        for e in events
        if e["kind"] == "job_placed" and e["values"]["job"]["path"] == "fast"
    }
    for job in list(fast.values()):
        fast.pop(job.get("supersedes", ""), None)
    ended = {_job_of(e): e["at"] for e in events if e["kind"] in _ENDS}
    open_ones = [job for name, job in fast.items() if name not in ended]
    if open_ones:
        return open_ones[0]
    return max(fast.values(), key=lambda job: ended[job["job_id"]], default=None)


def _stages(
    events: Sequence[Mapping[str, Any]], received: float, now: float | None
) -> tuple[Stage, ...]:
    at: dict[str, float] = {}
    for event in events:
        kind = _DELIVERY if event["kind"] in _ENDS else event["kind"]
        # what was done again counts from its last time, what came before from its first
        at[kind] = max(at.get(kind, 0.0), event["at"]) if kind == _DELIVERY else event["at"]
    names = [*_STAGES, (_DELIVERY, _DELIVERY)]
    marks = [("", received)]
    for kind, name in names:
        if kind in at:
            marks.append((name, max(at[kind], marks[-1][1])))
    if now is not None and _DELIVERY not in at:
        reached = [number for number, (kind, _) in enumerate(names) if kind in at]
        following = names[reached[-1] + 1 if reached else 0][1]
        marks.append((following, max(now, marks[-1][1])))
    spans = [(name, before, after) for (_, before), (name, after) in pairwise(marks)]
    longest = max((after - before for _, before, after in spans), default=0.0)
    return tuple(
        Stage(name, before - received, after - before, is_longest=after - before == longest > 0)
        for name, before, after in spans
    )


def _causes(events: Sequence[Mapping[str, Any]], job_id: str) -> Iterator[str]:
    for event in events:
        kind, values = event["kind"], event["values"]
        if kind == "job_failed" and _job_of(event) == job_id:
            yield f"the job failed: {values['detail'] or values['reason']}"
        elif kind in _FAILURES and _job_of(event) == job_id:
            yield str(values["reason"])
        elif kind == "operator_acted":
            yield f"{values['by']} asked for: {values['action']}"


def _verdict(
    study: Record, stages: Sequence[Stage], took: float, allowed: float, *, is_late: bool
) -> str:
    if not stages:
        return ""
    where = _where(stages)
    if study.get("met") is True:
        return f"In time: {_span(took)} of {_span(allowed)}."
    if not is_late:
        return f"Open for {_span(took)} of {_span(allowed)}, now in {stages[-1].name}."
    if study.get("met") is None:
        over = _span(took - allowed)
        return f"Overdue by {over}, now in {stages[-1].name}: {where}."
    if study.get("turnaround_s") is None:
        return f"The deadline of {_span(allowed)} was missed: it was given up; {where}."
    return f"Late by {_span(took - allowed)}: {_span(took)} where {_span(allowed)} were allowed; {where}."


def _where(stages: Sequence[Stage]) -> str:
    """Name the longest stage, and another that took at least half as long."""
    first, *others = sorted(stages, key=lambda stage: stage.seconds, reverse=True)
    named = [first, *(stage for stage in others[:1] if stage.seconds >= first.seconds / 2)]
    parts = [f"{each.name} ({_span(each.seconds)})" for each in named]
    return (
        f"the longest part was {' and '.join(parts)}"
        if len(parts) == 1
        else (f"the longest parts were {' and '.join(parts)}")
    )


def _span(seconds: float) -> str:
    from lightbox.console.render import span

    return span(seconds)


def _job_of(event: Mapping[str, Any]) -> str:
    values = event["values"]
    job = values.get("job")
    return str(job["job_id"] if isinstance(job, Mapping) else values.get("job_id", ""))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()
