"""Questions about the ledger, answered in milliseconds however long it is.

For the console and for commands; beside a running service or without one; nothing here writes or
blocks a writer. Every answer is as of now: what the chains got after the read model was last
written is folded and put over it. One ``ReadModel`` may be used by many threads.

===================  ==============================================================================
``search(Search)``   a ``Page`` of studies: text, state, urgency, missed deadline; newest first
``study(uid)``       one study and its events, folded from its own rows (None: not known)
``counts()``         ``Counts``: accepted = delivered + listed + in progress, by state, missed, dead
``tally(since, now)``  each urgency: open jobs, next deadline, met and missed
``dead_letters()``   results that were given up, newest first: what, where to, why
``queue()``          jobs without an end, in the order of their turn
``study_of(uid)``    the study that a UID of a study, an instance or a result belongs to
``account_of(...)``  the folded account of some studies, for whoever acts on them
``needing_person()`` studies with a failed job, a dead letter or a broken promise
``settled(...)``     settled studies that still have files, for ``storage.retention``
``preview(uid)``     file of a result's picture, relative to the data directory ("": none)
``instances()``      every accepted instance and what became of it, a study at a time
===================  ==============================================================================

None of them proves anything: ``prove.py`` does, from the chains alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from lightbox.domain.account import Account
from lightbox.domain.standing import StudyState
from lightbox.domain.study_account import Expectations
from lightbox.domain.urgency import Urgency
from lightbox.ledger.read_model.answers import Counts, Page, Search, Study, Tally
from lightbox.ledger.read_model.entry import Entry, Values, counts_of
from lightbox.ledger.read_model.newer import Newer
from lightbox.ledger.read_model.project import opened_for_reading, totals
from lightbox.ledger.read_model.tables import (
    DEAD_LETTERS,
    JOBS,
    LINES,
    RESULTS,
    STUDIES,
)
from lightbox.ledger.read_model.tally import tally
from lightbox.ledger.report import Json
from lightbox.ledger.timeline import LedgerReader

_AT_ONCE = 500
_EVERYTHING = 10**9
_DISPOSITIONS = ("delivered", "listed", "in_progress")


class ReadModel:
    """Reads the read model and what the chains got since; without a fitting one, makes its own.

    Parameters
    ----------
    folder : Path
        Holds the chains; its parent is the data directory.
    expected : Expectations
        The site's.
    """

    def __init__(self, folder: Path, expected: Expectations) -> None:
        self._root = folder.parent
        self._expected = expected
        self._reader = LedgerReader(folder)
        self._base = opened_for_reading(folder, expected, self._reader)
        self._newer = Newer(self._reader, expected)

    def close(self) -> None:
        """Close all files."""
        self._base.close()
        self._reader.close()

    # --------------------------------------------------------------------------------- studies
    def search(self, wanted: Search) -> Page:
        """Return the studies that are looked for, newest first."""
        first, end = wanted.page * wanted.size, (wanted.page + 1) * wanted.size
        with self._now() as (connection, newer):
            found = self._keys(connection, newer, wanted, end + 1)
            lines = _lines(connection, newer, [uid for _, uid in found[first:end]])
            studies = [self._absolute(json.loads(str(line["line"]))) for line in lines]
        return Page(studies, has_more=len(found) > end)

    def study(self, study_instance_uid: str) -> Study | None:
        """Return one study, folded from its own rows; None where nothing of it was accepted."""
        rows = self._reader.timeline(study_instance_uid)
        account = Account.expecting(self._expected)
        for row in rows:
            account.apply(row)
        standing = account.study(study_instance_uid)
        return Study(standing, rows) if standing.instances else None

    def instances(self) -> Iterator[dict[str, Json]]:
        """Yield every accepted instance as in ``ledger list --json``, study by study."""
        with self._now() as (connection, newer):
            keys = self._keys(connection, newer, Search(), _EVERYTHING)
            for start in range(0, len(keys), _AT_ONCE):
                names = [uid for _, uid in keys[start : start + _AT_ONCE]]
                for line in _lines(connection, newer, names):
                    for each in json.loads(str(line["instances"])):
                        yield {**each, "path": str(self._root / each["path"])}

    def study_of(self, uid: str) -> str:
        """Return the study that a UID of a study, an instance or a result belongs to, or ""."""
        if self._reader.timeline(uid):
            return uid
        for instance in self._reader.instances_of(uid):
            return instance.study_instance_uid
        return str(self._result(uid).get("study", ""))

    def account_of(self, studies: Collection[str]) -> Account:
        """Return the account of some studies, folded from their own rows."""
        account = Account.expecting(self._expected)
        for row in self._reader.timelines(studies):
            account.apply(row)
        return account

    def preview(self, sop_instance_uid: str) -> str:
        """Return the file of a result's picture, relative to the data directory; "": there is none."""
        return str(self._result(sop_instance_uid).get("preview", ""))

    # ---------------------------------------------------------------------------------- numbers
    def counts(self) -> Counts:
        """Return how many there are of everything."""
        with self._now() as (connection, newer):
            counts = Counter(totals(connection))
            for names in _batches(newer):
                old = connection.execute(select(STUDIES).where(STUDIES.c.study.in_(names)))
                for row in old:
                    counts.subtract(counts_of(row._asdict()))
            for entry in newer.values():
                for values in entry.studies:
                    counts.update(counts_of(values))
        return Counts(
            studies=counts["studies"],
            accepted=sum(counts[name] for name in _DISPOSITIONS),
            delivered=counts["delivered"],
            listed=counts["listed"],
            in_progress=counts["in_progress"],
            dead_letters=counts["dead_letters"],
            missed=counts["missed"],
            states={state: counts[f"state {state}"] for state in StudyState},
        )

    def tally(self, since: float, now: float) -> dict[Urgency, Tally]:
        """Return how each urgency does; studies that arrived before ``since`` are not judged."""
        with self._now() as (connection, newer):
            return tally(connection, newer, since, now)

    def dead_letters(self, size: int = 100, page: int = 0) -> list[dict[str, Json]]:
        """Return results that were given up, newest first.

        Each has ``sop_instance_uid, destination, study, at, kind, model, reason, attempt, stored``;
        ``stored``: it is there, and the destination did not promise to keep it.
        """
        end = (page + 1) * size
        with self._now() as (connection, newer):
            newest = select(DEAD_LETTERS).order_by(DEAD_LETTERS.c.at.desc())
            rows = (row._asdict() for row in connection.execute(newest))
            found = list(islice((row for row in rows if row["study"] not in newer), end))
        more = [row for entry in newer.values() for row in entry.dead_letters]
        both: list[Values] = sorted([*found, *more], key=_at, reverse=True)
        return [_spread(row) for row in both[page * size : end]]

    def queue(self, size: int = 100) -> list[dict[str, Json]]:
        """Return jobs without an end, in the order of their turn.

        Each has ``job_id, study, deadline, path, model, urgency, rule, state, owner, received_at,
        placed_at, attempt``.
        """
        with self._now() as (connection, newer):
            in_turn = select(JOBS).order_by(JOBS.c.rank, JOBS.c.deadline)
            rows = (row._asdict() for row in connection.execute(in_turn))
            found = list(islice((row for row in rows if row["study"] not in newer), size))
        more = [row for entry in newer.values() for row in entry.jobs]
        both: list[Values] = sorted([*found, *more], key=_turn)
        return [_spread(row) for row in both[:size]]

    def needing_person(self) -> tuple[str, ...]:
        """Return studies with a failed job, a dead letter or a promise that was not kept."""
        return self._flagged(STUDIES.c.needs_person)

    def undelivered(self) -> tuple[str, ...]:
        """Return studies of which something is open, or was given up on the way out."""
        return self._flagged(STUDIES.c.is_live)

    def settled(self, before: float, *, is_failure: bool, size: int) -> tuple[str, ...]:
        """Return studies that were settled before this time and still have files, oldest first.

        Those that changed since the read model was written are left out: they come later.
        """
        table = STUDIES.c
        wanted = select(table.study).where(
            table.is_failure == is_failure,
            table.settled_at.is_not(None),
            table.settled_at <= before,
        )
        with self._now() as (connection, newer):
            found = connection.execute(wanted.order_by(table.settled_at).limit(size + len(newer)))
            return tuple(uid for (uid,) in found if uid not in newer)[:size]

    def _flagged(self, flag: ColumnElement[bool]) -> tuple[str, ...]:
        with self._now() as (connection, newer):
            found = connection.execute(select(STUDIES.c.study).where(flag)).scalars().all()
        rows = [row for entry in newer.values() for row in entry.studies if row[str(flag.key)]]
        return (*(uid for uid in found if uid not in newer), *(str(row["study"]) for row in rows))

    # ------------------------------------------------------------------------------------ inside
    @contextmanager
    def _now(self) -> Iterator[tuple[Connection, Mapping[str, Entry]]]:
        """Give the read model as it was last written, and what is newer, by study."""
        with self._base.connection() as connection:
            yield connection, self._newer.over(connection)

    def _keys(
        self, connection: Connection, newer: Mapping[str, Entry], wanted: Search, most: int
    ) -> list[tuple[float, str]]:
        keys = select(STUDIES.c.received_at, STUDIES.c.study).where(*_conditions(wanted))
        keys = keys.order_by(STUDIES.c.received_at.desc()).limit(most + len(newer))
        found = [(at, uid) for at, uid in connection.execute(keys) if uid not in newer]
        more = [row for entry in newer.values() for row in entry.studies if _fits(row, wanted)]
        found += [(float(str(row["received_at"])), str(row["study"])) for row in more]
        return sorted(found, reverse=True)[:most]

    def _result(self, uid: str) -> Values:
        with self._now() as (connection, newer):
            for entry in newer.values():
                for row in entry.results:
                    if row["sop_instance_uid"] == uid:
                        return row
            wanted = select(RESULTS).where(RESULTS.c.sop_instance_uid == uid)
            return next((found._asdict() for found in connection.execute(wanted)), {})

    def _absolute(self, line: dict[str, Json]) -> dict[str, Json]:
        results = line["results"]
        assert isinstance(results, list)
        for result in results:
            assert isinstance(result, dict)
            result["file"] = str(self._root / str(result["file"]))
        return line


def _conditions(wanted: Search) -> list[ColumnElement[bool]]:
    table = STUDIES.c
    found = [table.received_at > 0.0]  # a transaction of storage commitment has no instance
    if wanted.text.strip():
        found.append(table.words.contains(wanted.text.strip().lower(), autoescape=True))
    if wanted.state:
        found.append(table.state == wanted.state)
    if wanted.urgency:
        found.append(table.urgency == wanted.urgency)
    if wanted.missed_at is not None:
        late = and_(table.met.is_(None), table.deadline.between(1.0, wanted.missed_at))
        found.append(or_(table.met.is_(False), late))
    return found


def _fits(row: Values, wanted: Search) -> bool:
    if not row["received_at"]:
        return False
    if wanted.text.strip().lower() not in str(row["words"]):
        return False
    if wanted.missed_at is not None and row["met"] is not False:
        deadline = float(str(row["deadline"]))
        if row["met"] or not 1.0 <= deadline <= wanted.missed_at:
            return False
    return row["state"] == (wanted.state or row["state"]) and row["urgency"] == (
        wanted.urgency or row["urgency"]
    )


def _lines(
    connection: Connection, newer: Mapping[str, Entry], studies: Sequence[str]
) -> list[Values]:
    known: dict[str, Values] = {
        uid: newer[uid].lines[0] for uid in studies if uid in newer and newer[uid].lines
    }
    for names in _batches([uid for uid in studies if uid not in newer]):
        wanted = select(LINES).where(LINES.c.study.in_(names))
        known.update((row.study, row._asdict()) for row in connection.execute(wanted))
    return [known[uid] for uid in studies if uid in known]


def _batches(names: Collection[str]) -> Iterator[list[str]]:
    all_of_them = list(names)
    for start in range(0, len(all_of_them), _AT_ONCE):
        yield all_of_them[start : start + _AT_ONCE]


def _spread(row: Values) -> dict[str, Json]:
    values = {str(name): value for name, value in row.items() if name not in {"body", "rank"}}
    return {**values, **json.loads(str(row["body"]))}


def _at(row: Values) -> float:
    return float(str(row["at"]))


def _turn(row: Values) -> tuple[int, float]:
    return int(str(row["rank"])), float(str(row["deadline"]))
