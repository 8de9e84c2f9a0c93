"""What the console is told: callables that the control role gives it.

Each is called from several threads at once and must answer quickly: a page waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lightbox.app.switch import Flag
from lightbox.domain.operations import Outcome, Request

Record = Mapping[str, object]
"""A JSON object of the contract (DESIGN §3.2)."""


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
    """

    checks: tuple[Check, ...]
    stopped: tuple[Flag, ...] = ()

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
        (search text, most rows) → studies as in ``studies --json``, newest first. Where there is
        ``listed`` (a list of ``reason, detail``), the pages say why nothing was analysed.
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
        Does what a person asks; see ``app/operations.py``.
    models : tuple of str
        Names of the served models.
    """

    metrics: Callable[[], bytes]
    ready: Callable[[], Readiness]
    queue: Callable[[], Mapping[str, int]]
    studies: Callable[[str, int], Sequence[Record]]
    study: Callable[[str], Record | None]
    ledger: Callable[[], Record]
    preview: Callable[[str], bytes | None]
    settings: Callable[[], Sequence[Setting]]
    now: Callable[[], float]
    operate: Callable[[Request], Outcome]
    models: tuple[str, ...] = ()
