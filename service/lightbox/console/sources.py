"""What the console is told: callables that the control role gives it.

Each is called from several threads at once and must answer quickly: a page waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from lightbox.app.operate.last_words import LastWord
from lightbox.app.operate.switch import Flag
from lightbox.app.processes.prover import Proving
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.operations import Outcome, Request
from lightbox.ledger.read_model.answers import Tally

Record = Mapping[str, object]
"""A JSON object of the contract (DESIGN §3.2)."""

Show: TypeAlias = Literal["all", "late", "open", "unanalysed", "failed", "undelivered"]
"""Which studies: all; deadline missed; in progress; not analysed; failed; given up on the way out."""


@dataclass(frozen=True, slots=True)
class Check:
    """One light: a part of the service that works or does not.

    Attributes
    ----------
    name : str
        Short, for the lamp: "DICOM listener".
    words : str
        What is so: "listening on 127.0.0.1:11112", or what is wrong and what to do.
    """

    name: str
    is_ok: bool
    words: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Listener bound, ledger writable, models loaded, free disk above the reserve.

    Attributes
    ----------
    stopped : tuple of Flag
        What a person has stopped. Studies are accepted all the same, so it is ready.
    degraded : tuple of str
        What the worker has to do without, a sentence each. It is ready all the same.
    """

    checks: tuple[Check, ...]
    stopped: tuple[Flag, ...] = ()
    degraded: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        """True where every check is."""
        return all(check.is_ok for check in self.checks)


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of the configuration as it is in force; secrets are never among them."""

    key: str
    value: str
    source: str
    meaning: str = ""

    @property
    def section(self) -> str:
        """Table of the file that it stands in."""
        return self.key.rpartition(".")[0]

    @property
    def name(self) -> str:
        """Name in that table."""
        return self.key.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes of the data directory's disk; ``reserve`` is what must stay free."""

    free: int = 0
    total: int = 0
    reserve: int = 0


@dataclass(frozen=True, slots=True)
class StudyQuery:
    """Which studies are wanted; ``page`` counts from 1."""

    search: str = ""
    show: Show = "all"
    urgency: str = ""
    page: int = 1
    limit: int = 50


@dataclass(frozen=True, slots=True)
class StudyPage:
    """Studies as in ``studies --json``, newest first, and whether older ones match."""

    studies: Sequence[Record] = ()
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """The service in numbers.

    Attributes
    ----------
    tally : mapping of str to Tally
        By urgency; studies of the last day are judged.
    dead_letters : int
        Results that were given up.
    """

    tally: Mapping[str, Tally] = field(default_factory=dict)
    dead_letters: int = 0


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that is served, or one that is not and why.

    Attributes
    ----------
    card : str
        Text of ``CARD.md`` (Markdown), or "".
    overrides : mapping of str to object
        What the site's ``[models.NAME]`` changes.
    """

    package: ModelPackage
    card: str = ""
    folder: str = ""
    stopped: Flag | None = None
    overrides: Record = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DestinationState:
    """A destination: who it is, what waits for it, what it said last."""

    name: str
    address: str
    kinds: tuple[str, ...] = ()
    commitment: bool = False
    waiting: int = 0
    dead: int = 0
    last: LastWord | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """A file and how it would be sent: what the rules are asked about."""

    path: Path
    called: str = "LIGHTBOX"
    calling: str = "MODALITY"
    priority: str = "medium"


def _no_rules(_trial: Trial) -> Record:
    return {"refused": "this console has no rules to try"}


def _none(_most: int) -> Sequence[Record]:
    return ()


def _no_echo(name: str) -> Outcome:
    return Outcome(is_done=False, lines=(f"{name}: is not configured",))


@dataclass(frozen=True, slots=True)
class ConsoleSources:
    """All that the console can ask.

    Attributes
    ----------
    metrics : callable
        Prometheus' text format.
    ready : callable
        The lights.
    queue : callable
        Jobs waiting, by urgency.
    studies : callable
        Query → a page of studies. Where there is ``listed`` (a list of ``reason, detail``), the
        pages say why nothing was analysed.
    study : callable
        Study Instance UID → as in ``studies UID --json`` (with ``events``), or None.
    ledger : callable
        As in ``ledger prove --json``; ``ok`` is None where the chains were not recomputed.
    preview : callable
        SOP Instance UID of a result → PNG, or None.
    settings : callable
        The configuration with the source of each value.
    now : callable
        Seconds since 1970.
    operate : callable
        Does what a person asks; see ``app/operate/operations.py``.
    models : tuple of str
        Names of the served models.
    disk, summary, cards, destinations : callable
        What the pages show of each.
    jobs, dead_letters : callable
        Most rows → jobs without an end, in the order of their turn; results that were given up,
        newest first. As in ``ReadModel.queue`` and ``ReadModel.dead_letters``.
    proving, prove : callable
        The newest proof of the ledger; begins one unless one runs.
    echo : callable
        Name of a destination → whether it answers.
    try_rules : callable
        A file → what ``lightbox rules test --json`` says of it.
    """

    metrics: Callable[[], bytes]
    ready: Callable[[], Readiness]
    queue: Callable[[], Mapping[str, int]]
    studies: Callable[[StudyQuery], StudyPage]
    study: Callable[[str], Record | None]
    ledger: Callable[[], Record]
    preview: Callable[[str], bytes | None]
    settings: Callable[[], Sequence[Setting]]
    now: Callable[[], float]
    operate: Callable[[Request], Outcome]
    models: tuple[str, ...] = ()
    disk: Callable[[], Disk] = Disk
    summary: Callable[[], Summary] = Summary
    jobs: Callable[[int], Sequence[Record]] = _none
    dead_letters: Callable[[int], Sequence[Record]] = _none
    cards: Callable[[], Sequence[ServedModel]] = tuple
    destinations: Callable[[], Sequence[DestinationState]] = tuple
    proving: Callable[[], Proving] = Proving
    prove: Callable[[], None] = lambda: None
    echo: Callable[[str], Outcome] = _no_echo
    try_rules: Callable[[Trial], Record] = _no_rules
