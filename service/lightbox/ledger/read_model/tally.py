"""How each urgency does: what is open, what is due next, what was in time lately."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

from sqlalchemy import Connection, Table, and_, func, or_, select

from lightbox.domain.urgency import Urgency
from lightbox.ledger.read_model.answers import Tally
from lightbox.ledger.read_model.entry import Entry, Values
from lightbox.ledger.read_model.tables import JOBS, STUDIES

_AT_ONCE = 500
_Judged = Counter[tuple[str, bool]]
"""(urgency, met) → how many."""


def tally(
    connection: Connection, newer: Mapping[str, Entry], since: float, now: float
) -> dict[Urgency, Tally]:
    """Count by urgency.

    Parameters
    ----------
    newer : mapping of str to Entry
        Studies whose rows in the file are out of date, as they are now.
    since : float
        Studies that arrived earlier are not judged; seconds since 1970.
    now : float
        A deadline before this that is still open is missed.
    """
    judged = _judged(connection, since, now)
    jobs: Counter[int] = Counter()
    for rank, count in connection.execute(select(JOBS.c.rank, func.count()).group_by(JOBS.c.rank)):
        jobs[rank] = count
    for row in _outdated(connection, newer, STUDIES):
        judged.subtract(_verdict(row, since, now))
    for row in _outdated(connection, newer, JOBS):
        jobs[int(str(row["rank"]))] -= 1
    for entry in newer.values():
        for row in entry.studies:
            judged.update(_verdict(row, since, now))
        jobs.update(int(str(row["rank"])) for row in entry.jobs)
    return {
        each: Tally(
            jobs[each.rank],
            _next(connection, newer, each.rank),
            judged[each.value, True],
            judged[each.value, False],
        )
        for each in Urgency
    }


def _judged(connection: Connection, since: float, now: float) -> _Judged:
    table = STUDIES.c
    overdue = and_(table.met.is_(None), table.deadline.between(1.0, now))
    wanted = (
        select(table.urgency, table.met, func.count())
        .where(table.received_at >= since, or_(table.met.is_not(None), overdue))
        .group_by(table.urgency, table.met)
    )
    found: _Judged = Counter()
    for urgency, met, count in connection.execute(wanted):
        found[urgency, bool(met)] += count
    return found


def _verdict(row: Values, since: float, now: float) -> _Judged:
    """Judge one study as :func:`_judged` does."""
    is_open = row["met"] is None
    is_overdue = is_open and 1.0 <= float(str(row["deadline"])) <= now
    if float(str(row["received_at"])) < since or (is_open and not is_overdue):
        return Counter()
    return Counter({(str(row["urgency"]), bool(row["met"])): 1})


def _next(connection: Connection, newer: Mapping[str, Entry], rank: int) -> float:
    """Return the earliest deadline of the open jobs of an urgency; 0 where there is none."""
    in_turn = (
        select(JOBS.c.study, JOBS.c.deadline).where(JOBS.c.rank == rank).order_by(JOBS.c.deadline)
    )
    rest = (at for study, at in connection.execute(in_turn) if study not in newer)
    found = list(islice(rest, 1))
    rows = (row for entry in newer.values() for row in entry.jobs if row["rank"] == rank)
    return min([*found, *(float(str(row["deadline"])) for row in rows)], default=0.0)


def _outdated(connection: Connection, newer: Mapping[str, Entry], table: Table) -> Iterator[Values]:
    names = list(newer)
    for start in range(0, len(names), _AT_ONCE):
        wanted = select(table).where(table.c.study.in_(names[start : start + _AT_ONCE]))
        yield from (row._asdict() for row in connection.execute(wanted))
