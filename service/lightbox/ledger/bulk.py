"""Whole chains at once, for benchmarks and what is rebuilt: thousands of rows in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lightbox.domain.errors import LedgerError
from lightbox.domain.events import Event, to_json
from lightbox.ledger.chain import Row, digest, genesis
from lightbox.ledger.tables import chain_file, writing_engine

_APPEND = "INSERT INTO ledger (sequence, at, key, study, body, digest) VALUES (?, ?, ?, ?, ?, ?)"
_HEAD = "INSERT INTO head (chain, sequence, digest) VALUES (?, ?, ?)"
_KNOWN = "SELECT 1 FROM ledger WHERE key = ?"


class NewChain:
    """Writes a chain from its first row, with the digests that its writer would have given.

    Parameters
    ----------
    folder : Path
        Holds the chains; this one must not exist there.
    chain : str
        Its name.

    Raises
    ------
    LedgerError
        If the chain exists.
    """

    def __init__(self, folder: Path, chain: str) -> None:
        path = chain_file(folder, chain)
        if path.exists():
            raise LedgerError(f"ledger {path}", "exists", "name an empty folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._chain = chain
        self._engine = writing_engine(path)
        self._digest = genesis(chain)
        self.rows = 0

    def extend(self, events: Iterable[tuple[float, Event]]) -> None:
        """Append events, each with its time (seconds since 1970), in one transaction."""
        rows = []
        for at, event in events:
            self.rows += 1
            key, study, body = event.key, event.study, to_json(event)
            self._digest = digest(self._digest, self.rows, at, (key, study, body))
            rows.append((self.rows, at, key, study, body, self._digest))
        self._append(rows)

    def keep(self, rows: Iterable[Row]) -> None:
        """Append rows of an older file as they are; each follows the one before it."""
        kept = [(r.sequence, r.at, r.key, r.study, r.body, r.digest) for r in rows]
        if kept:
            self.rows, *_, self._digest = kept[-1]
        self._append(kept)

    def knows(self, key: str) -> bool:
        """Say whether a row with this key was written."""
        with self._engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            return raw.cursor().execute(_KNOWN, (key,)).fetchone() is not None

    def close(self) -> None:
        """State the head, close the file."""
        self._execute(_HEAD, [(self._chain, self.rows, self._digest)])
        self._engine.dispose()

    def _append(self, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            self._execute(_APPEND, rows)

    def _execute(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self._engine.begin() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            raw.cursor().executemany(statement, rows)
