"""The tables of the read model, and how its file is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
)
from sqlalchemy.pool import QueuePool

FILE = "read_model.db"
"""In the folder of the chains; not named as a chain is, so nobody takes it for one."""

SCHEMA = 6
"""Another number, another version of Lightbox or other destinations: the file is made anew."""

_BUSY_SECONDS = 10.0
_PRIVATE = 0o600

METADATA = MetaData()

# Narrow, because a search reads all of it; what a page shows of a study is in LINES.
STUDIES = Table(
    "studies",
    METADATA,
    Column("study", String, primary_key=True),
    Column("received_at", Float, nullable=False),
    Column("deadline", Float, nullable=False),
    Column("urgency", String, nullable=False),
    Column("state", String, nullable=False),
    Column("audit", String, nullable=False),
    Column("met", Boolean),
    Column("delivered", Integer, nullable=False),
    Column("listed", Integer, nullable=False),
    Column("in_progress", Integer, nullable=False),
    Column("dead_letters", Integer, nullable=False),
    Column("needs_person", Boolean, nullable=False),
    Column("is_live", Boolean, nullable=False),
    Column("settled_at", Float),
    Column("is_failure", Boolean, nullable=False),
    Column("words", String, nullable=False),
    Index("studies_state", "state", "received_at"),
    Index("studies_urgency", "urgency", "received_at"),
    Index("studies_met", "met", "received_at"),
    # All that a search asks, so that one which finds nothing reads this and not the table.
    Index(
        "studies_search",
        *("received_at", "words", "study", "state", "urgency", "met", "deadline"),
    ),
    Index("studies_judged", "received_at", "urgency", "met", "deadline"),
)
# What retention asks: studies that are settled and still have files (``domain/keeping.py``).
Index(
    "studies_kept",
    STUDIES.c.is_failure,
    STUDIES.c.settled_at,
    sqlite_where=STUDIES.c.settled_at.is_not(None),
)
for _flag in ("needs_person", "is_live"):
    Index(f"studies_{_flag}", STUDIES.c[_flag], sqlite_where=STUDIES.c[_flag])

LINES = Table(
    "lines",
    METADATA,
    Column("study", String, primary_key=True),
    Column("line", Text, nullable=False),
    Column("instances", Text, nullable=False),
)

RESULTS = Table(
    "results",
    METADATA,
    Column("sop_instance_uid", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("preview", String, nullable=False),
    Index("results_study", "study"),
)

DEAD_LETTERS = Table(
    "dead_letters",
    METADATA,
    Column("sop_instance_uid", String, primary_key=True),
    Column("destination", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("body", Text, nullable=False),
    Index("dead_letters_study", "study"),
    Index("dead_letters_at", "at"),
)

JOBS = Table(
    "jobs",
    METADATA,
    Column("job_id", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("deadline", Float, nullable=False),
    Column("body", Text, nullable=False),
    Index("jobs_study", "study"),
    Index("jobs_turn", "rank", "deadline"),
)

TOTALS = Table(
    "totals",
    METADATA,
    Column("name", String, primary_key=True),
    Column("count", Integer, nullable=False),
)

# Up to where each chain is laid out here, and the digest of that row: another one, and this file
# is not of this ledger.
POSITIONS = Table(
    "positions",
    METADATA,
    Column("chain", String, primary_key=True),
    Column("sequence", Integer, nullable=False),
    Column("digest", String, nullable=False),
)

MADE_FOR = Table("made_for", METADATA, Column("fingerprint", String, primary_key=True))

OF_A_STUDY = (STUDIES, LINES, RESULTS, DEAD_LETTERS, JOBS)
"""Tables whose rows belong to one study and are replaced together."""


def writing(path: Path) -> Engine:
    """Open for writing, made where it is missing. A crash may cost the newest rows, not the file."""
    path.touch(mode=_PRIVATE)
    engine = _engine(path, "rwc")
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        raw.execute("PRAGMA journal_mode = WAL")
    with engine.begin() as connection:
        METADATA.create_all(connection)
    return engine


def reading(path: Path) -> Engine:
    """Open for reading only; it can neither write nor block the writer."""
    return _engine(path, "ro")


def _engine(path: Path, mode: str) -> Engine:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if mode == "ro" else "BEGIN IMMEDIATE")

    event.listen(engine, "begin", begin)
    return engine
