"""The table of a chain, and how its file is opened for writing and for reading.

Write-ahead logging lets readers read while the one writer writes; ``synchronous = FULL`` makes
every commit a sync (sqlite.org/pragma.html), which is what ``record`` promises.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
)
from sqlalchemy.pool import QueuePool

from lightbox.domain.errors import LedgerError
from lightbox.ledger.chain import Row

_SUFFIX = ".sqlite"
_CHAIN = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_BUSY_SECONDS = 10.0
_PRIVATE = 0o600  # SQLite gives the log and the index beside it the same mode

METADATA = MetaData()

ROWS = Table(
    "ledger",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("key", String, nullable=False),
    Column("study", String, nullable=False),
    Column("body", String, nullable=False),
    Column("digest", String, nullable=False),
    Index("ledger_key", "key", unique=True),
    Index("ledger_study", "study"),
)

# The newest row once more, so that a chain whose last rows were removed does not look complete.
HEAD = Table(
    "head",
    METADATA,
    Column("chain", String, primary_key=True),
    Column("sequence", Integer, nullable=False),
    Column("digest", String, nullable=False),
)


def row_of(found: Sequence[Any]) -> Row:
    """Return what a query for all columns of the table found, by place: names cost time."""
    return Row(found[0], found[1], found[2], found[3], found[4], found[5])


def chain_file(folder: Path, chain: str) -> Path:
    """Return the file of a chain.

    Raises
    ------
    LedgerError
        If the name could be anything else than a plain file name.
    """
    if not _CHAIN.fullmatch(chain):
        raise LedgerError(
            f"ledger chain {chain!r}", "is not a plain lower-case name", "name it such as receive"
        )
    return folder / f"{chain}{_SUFFIX}"


def chain_files(folder: Path) -> dict[str, Path]:
    """Return the chains in the folder by name; none where there is no folder yet."""
    return {path.stem: path for path in sorted(folder.glob(f"*{_SUFFIX}"))}


def writing_engine(path: Path) -> Engine:
    """Open for writing; file (for us alone) and tables are made where they are missing."""
    path.touch(mode=_PRIVATE)
    engine = _engine(lambda: _connect(path, "rwc"), begin="BEGIN IMMEDIATE")
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        raw.execute("PRAGMA journal_mode = WAL")
    with engine.begin() as connection:
        METADATA.create_all(connection)
    return engine


def reading_engine(path: Path) -> Engine:
    """Open for reading only; the connection can neither write nor block the writer."""
    return _engine(lambda: _connect(path, "ro"), begin="BEGIN")


def read_only(path: Path) -> sqlite3.Connection:
    """Open a chain's file for reading, without SQLAlchemy: for a million rows, names cost time."""
    return _connect(path, "ro")


def copy_chains(folder: Path, to: Path, ending: str) -> dict[str, Path]:
    """Copy all chains as they are at one moment; return the copies by chain.

    Beside a running service too: a row that comes between the first chain's moment and the last
    one's, a millisecond later, is found by a proof of the copies. ``ending`` is added to each
    file's name, so that a copy that was cut short is never taken for a chain.

    Raises
    ------
    LedgerError
        If one cannot be read, or a copy not written.
    """
    chains = chain_files(folder)
    copies = {name: to / f"{path.name}{ending}" for name, path in chains.items()}
    try:
        with ExitStack() as stack:
            opened = {
                name: stack.enter_context(closing(read_only(chains[name]))) for name in chains
            }
            for connection in opened.values():
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM sqlite_master")  # from here on it stands
            for name, connection in opened.items():
                copies[name].unlink(missing_ok=True)
                copies[name].touch(mode=_PRIVATE)
                with closing(sqlite3.connect(copies[name])) as copy:
                    connection.backup(copy)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(
            f"ledger in {folder}", f"cannot be copied to {to}: {error}", "make room there"
        ) from error
    return copies


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,  # transactions begin where we say, not where the driver guesses
        check_same_thread=False,
    )
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _engine(connect: Callable[[], sqlite3.Connection], begin: str) -> Engine:
    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)

    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "begin", begin_transaction)
    return engine
