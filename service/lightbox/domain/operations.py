"""What an operator may ask of the service, and what the service answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import TypeAdapter

from lightbox.domain.jobs import Job

Action: TypeAlias = Literal[
    "retry",
    "cancel",
    "audit",
    "urgency",
    "stop",
    "resume",
    "reload",
    "drill",
    "erase",
    "use",
    "rollback",
]

ALL = "all"
"""Every model, or everything that failed."""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing that a person wants.

    Attributes
    ----------
    subject : str
        For retry, cancel, audit and urgency the UID of a study, an instance or a result; for stop,
        resume, use and rollback the name of a model; ``all`` where it is everything (not for
        cancel, audit and urgency, always for reload).
    by : str
        Who asks: the name at the operating system, or the console with an address.
    at : float
        When, seconds since 1970.
    method : str
        For audit: the explanation method.
    urgency : str
        For urgency: STAT, HIGH or ROUTINE.
    detail : str
        For drill: the SHA-256 of its report; ``subject`` is the verdict. For erase: the reason. For
        use: the folder of the package.
    is_cancelling : bool
        For erase: whether what is in progress is cancelled.
    """

    action: Action
    subject: str
    by: str
    at: float
    method: str = "shapley"
    urgency: str = ""
    detail: str = ""
    is_cancelling: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: sentences for people, and whether anything was done."""

    is_done: bool
    lines: tuple[str, ...]


_REQUEST: TypeAdapter[Request] = TypeAdapter(Request)
_OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


def request_json(request: Request) -> bytes:
    """Write a request for the service to read."""
    return _REQUEST.dump_json(request)


def request_from(text: bytes) -> Request:
    """Read what :func:`request_json` wrote.

    Raises
    ------
    ValueError
        If it is something else.
    """
    return _REQUEST.validate_json(text)


def outcome_json(outcome: Outcome) -> bytes:
    """Write an answer for the command that waits."""
    return _OUTCOME.dump_json(outcome)


def outcome_from(text: bytes) -> Outcome:
    """Read what :func:`outcome_json` wrote.

    Raises
    ------
    ValueError
        If it is something else.
    """
    return _OUTCOME.validate_json(text)


def job_words(job: Job) -> str:
    """Name a job for people."""
    return f"{job.path} job of {job.model} ({job.study_instance_uid})"


def stop_words(model: str, *, is_new: bool) -> str:
    """Say what the stop switch does."""
    if not is_new:
        return f"{_models(model)}: stopped already"
    return (
        f"{_models(model)}: stopped. Running work pauses at its next chunk, results are held; "
        "studies are still accepted and wait"
    )


def resume_words(model: str, *, is_new: bool) -> str:
    """Say what taking the switch back does."""
    if not is_new:
        return f"{_models(model)}: was not stopped"
    return f"{_models(model)}: goes on with all that waited"


def _models(model: str) -> str:
    return "all models" if model == ALL else f"model {model}"
