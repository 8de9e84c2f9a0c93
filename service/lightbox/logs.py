"""Logs on stderr: JSON in a pipe, colours on a terminal, and never a patient in them.

One canonical line per association (:func:`log_association`) and per job (:func:`log_job`) says all
that an operator asks about it; other lines are rare. Attributes of the patient are dropped
whatever the level; UIDs appear as keyed hashes unless configured, so that two lines about the same
study can be joined by whoever has the key, and by nobody else.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TextIO

import structlog

from lightbox.domain.errors import LightboxError
from lightbox.domain.events import AssociationReleased
from lightbox.domain.jobs import Job

_PATIENT = re.compile(
    r"patient|birth|accession|physician|address|telephone|ethnic|operators_?name|person_?name"
    r"|institution|occupation|military|medical_?record|insurance|comments",
    re.IGNORECASE,
)
"""Names of fields that may say who the patient is (PS3.15 table E.1-1, by family)."""

_UID = re.compile(r"(?<![\d.])(?!1\.2\.840\.10008\.)(?:2\.25\.\d+|[012](?:\.\d+){4,})(?![\d.]*\d)")
"""UIDs, but not those of the standard itself, which name classes; nor IP addresses, versions."""

_PERSON = re.compile(r"\w[\w'. -]*\^[\w'. -]*(?:\^[\w'. -]*)*")
"""A person's name as DICOM writes it (PS3.5 6.2, VR PN): components parted by carets."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_KEY_BYTES = 32
_FRAMES = 6
_INDISCREET = ("pydicom", "py.warnings")
"""Loggers whose messages quote values of the data set; what matters of them we say ourselves."""

EventDict = MutableMapping[str, object]


class Choices(Protocol):
    """The section ``[logging]`` of the configuration, as far as it is needed here."""

    @property
    def format(self) -> str:
        """Auto, json or console."""
        ...

    @property
    def level(self) -> str:
        """Least severe level that is written."""
        ...

    @property
    def uids(self) -> str:
        """Hashed or plain."""
        ...


class Logger(Protocol):
    """What the rest of the service writes to."""

    def debug(self, event: str, **values: object) -> None:
        """Write what only a developer needs."""
        ...

    def info(self, event: str, **values: object) -> None:
        """Write what an operator may want to read later."""
        ...

    def warning(self, event: str, **values: object) -> None:
        """Write what an operator should look at."""
        ...

    def error(self, event: str, **values: object) -> None:
        """Write what an operator must mend."""
        ...


def key_of(folder: Path) -> bytes:
    """Return the key that this data directory's hashes are made with; the first call makes it."""
    path = folder / "log.key"
    if not path.exists():
        draft = folder / f"log.key.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_bytes(secrets.token_bytes(_KEY_BYTES))
        with suppress(FileExistsError):  # another process was first: its key is the key
            os.link(draft, path)
        draft.unlink()
    return path.read_bytes()


def hashed(uid: str, key: bytes) -> str:
    """Return the keyed hash that stands for ``uid`` in logs: ``uid:`` and 12 hex digits."""
    return f"uid:{hmac.new(key, uid.encode(), hashlib.sha256).hexdigest()[:12]}"


def configure(
    settings: Choices, role: str, key: bytes | None = None, stream: TextIO | None = None
) -> None:
    """Set up logging of this process; foreign libraries' warnings go the same way.

    Parameters
    ----------
    settings : Choices
        The section of the configuration.
    role : str
        Stands in every line: receive, control, work …
    key : bytes or None
        Of the keyed hashes (:func:`key_of`); None: one of this process only.
    stream : TextIO or None
        Where lines go; None: stderr.
    """
    out = stream or sys.stderr
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    console = settings.format == "console" or (settings.format == "auto" and out.isatty())
    ends = (
        structlog.dev.ConsoleRenderer(colors=out.isatty())
        if console
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _adder(role),
        _tell_exception,
        cleaner(key or secrets.token_bytes(_KEY_BYTES), hide_uids=settings.uids == "hashed"),
    ]
    structlog.configure(
        processors=[*before, ends],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, ends],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("lightbox").setLevel(level)
    logging.captureWarnings(capture=True)
    for name in _INDISCREET:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def logger() -> Logger:
    """Return the logger; it does what :func:`configure` said last."""
    found: Logger = structlog.get_logger()
    return found


def _adder(role: str) -> structlog.typing.Processor:
    def add(_logger: object, _name: str, event: EventDict) -> EventDict:
        event["role"] = role
        return event

    return add


def _tell_exception(_logger: object, _name: str, event: EventDict) -> EventDict:
    """Say what was raised and where; only our own errors are quoted, others may quote a patient."""
    given = event.pop("exc_info", None)
    raised = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(raised, BaseException):
        frames = traceback.extract_tb(raised.__traceback__)[-_FRAMES:]
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
        said = f": {raised}" if isinstance(raised, LightboxError) else ""
        event["exception"] = f"{type(raised).__name__}{said}"
        event["where"] = where
    return event


def cleaner(key: bytes, *, hide_uids: bool) -> Callable[[object, str, EventDict], EventDict]:
    """Return the processor that drops patients, hashes UIDs and keeps a line one line."""

    def text(value: str) -> str:
        shown = _PERSON.sub("[name]", value)
        shown = _UID.sub(lambda found: hashed(found[0], key), shown) if hide_uids else shown
        return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", shown)

    def clean(value: object) -> object:
        if isinstance(value, Mapping):
            return {k: clean(v) for k, v in value.items() if not _PATIENT.search(str(k))}
        if isinstance(value, list | tuple | set | frozenset):
            return [clean(each) for each in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return text(str(value))

    def process(_logger: object, _name: str, event: EventDict) -> EventDict:
        return {
            name: text(value) if name == "event" and isinstance(value, str) else clean(value)
            for name, value in event.items()
            if name.startswith("_") or not _PATIENT.search(name)
        }

    return process


def log_association(
    event: AssociationReleased, *, calling_ae: str, called_ae: str, peer: str, seconds: float
) -> None:
    """Write the canonical line of an association.

    Parameters
    ----------
    event : AssociationReleased
        How it ended and what it brought.
    calling_ae, called_ae, peer : str
        Who talked to whom, from which address.
    seconds : float
        From connection to end.
    """
    write = logger().info if event.how == "released" else logger().warning
    write(
        "association",
        association=event.association,
        calling_ae=calling_ae,
        called_ae=called_ae,
        peer=peer,
        instances=event.instances,
        how=event.how,
        seconds=round(seconds, 3),
    )


def log_job(job: Job, outcome: str, at: float, **values: object) -> None:
    """Write the canonical line of a job that is over.

    Parameters
    ----------
    job : Job
        The job.
    outcome : str
        delivered, failed, withheld, dead letter …
    at : float
        When it was over, seconds since 1970.
    **values : object
        What else is known: finding, confidence, seconds of stages.
    """
    write = logger().info if outcome == "delivered" else logger().warning
    write(
        "job",
        job=job.job_id,
        outcome=outcome,
        path=job.path.value,
        urgency=job.urgency.value,
        rule=job.rule,
        model=job.model,
        method=job.method,
        study=job.study_instance_uid,
        instances=len(job.instances),
        turnaround=round(at - job.received_at, 3),
        met=at <= job.deadline,
        **values,
    )
