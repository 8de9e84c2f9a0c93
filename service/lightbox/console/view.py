"""What a person may see of the running service, as values: the console and the API read this."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lightbox.app.control import Running
from lightbox.app.process import is_ready
from lightbox.console.server import RunningServer, create_app, serve
from lightbox.console.sources import Check, ConsoleSources, Readiness, Record, Setting
from lightbox.domain.errors import LedgerError
from lightbox.domain.standing import StudyStanding
from lightbox.ledger.prove import Proof, prove
from lightbox.ledger.report import proof_json, study_json, timeline_json

_SECRET = re.compile(r"token|password|secret|tls\.key")


class View:
    """Answers the console's questions from the account, under the control thread's lock."""

    def __init__(self, service: Running) -> None:
        self._loaded = service.loaded
        self._root = service.root
        self._control = service.control
        self._ledger = service.ledger
        self._queue = service.queue
        self._reserve = service.reserve
        self._models = service.models
        self._clock = service.clock
        self._operations = service.operations
        self._proof: tuple[float, Proof] | None = None

    def sources(self) -> ConsoleSources:
        """Return the callables that the console is made from."""
        return ConsoleSources(
            metrics=self._control.exposition,
            ready=self.ready,
            queue=self.queue,
            studies=self.studies,
            study=self.study,
            ledger=self.ledger,
            preview=self.preview,
            settings=self.settings,
            now=self._clock.now,
            operate=self._operations.perform,
            models=self._models,
        )

    def ready(self) -> Readiness:
        """Look at listener, ledger, models and disk."""
        dicom = self._loaded.settings.dicom
        listening, working = is_ready(self._root, "receive"), is_ready(self._root, "work")
        has_room = self._reserve.ok()
        gigabytes = self._reserve.free_bytes() / 1e9
        writable = self._writable()
        models = ", ".join(self._models)
        return Readiness(
            (
                Check(
                    "DICOM listener",
                    listening,
                    f"{dicom.ae_title} listens on {dicom.host}"
                    if listening
                    else "is not up; see the log",
                ),
                Check("ledger", writable, "writable" if writable else "cannot be written"),
                Check(
                    "models",
                    working,
                    f"loaded: {models}" if working else "are not loaded; see the log",
                ),
                Check(
                    "disk",
                    has_room,
                    f"{gigabytes:.1f} GB free, above the reserve"
                    if has_room
                    else f"{gigabytes:.1f} GB free: under the reserve, instances are refused",
                ),
            ),
            self._operations.stopped(),
        )

    def queue(self) -> Mapping[str, int]:
        """Return how many jobs wait, by urgency."""
        with self._control.lock:
            return self._queue.waiting()

    def studies(self, search: str, limit: int) -> Sequence[Record]:
        """Return studies, newest first, whose UID, finding, model or urgency has these letters."""
        with self._control.lock:
            known = self._control.account.studies()
        newest = sorted(known, key=lambda study: study.received_at, reverse=True)
        wanted = (study for study in newest if _has(study, search.strip().lower()))
        return [
            study_json(study, self._root) for study, _ in zip(wanted, range(limit), strict=False)
        ]

    def study(self, uid: str) -> Record | None:
        """Return one study with each of its events."""
        with self._control.lock:
            standing = self._control.account.study(uid)
        if not standing.instances:
            return None
        return timeline_json(standing, self._ledger.timeline(uid), self._root)

    def ledger(self) -> Record:
        """Prove the ledger; within ten seconds the same answer is given again."""
        now = self._clock.monotonic()
        if self._proof is None or now - self._proof[0] > 10.0:
            names = tuple(each.name for each in self._loaded.settings.destinations)
            self._proof = (now, prove(self._root / "ledger", names))
        return proof_json(self._proof[1])

    def preview(self, uid: str) -> bytes | None:
        """Return the picture of a result, by the result's own UID."""
        with self._control.lock:
            result = self._control.results.get(uid)
        if result is None or not result.preview:
            return None
        try:
            return (self._root / result.preview).read_bytes()
        except OSError:
            return None

    def settings(self) -> Sequence[Setting]:
        """Return every key that is in force and where it came from; secrets are left out."""
        flat: dict[str, object] = {}
        _flatten("", self._loaded.settings.model_dump(mode="json"), flat)
        return [
            Setting(key, str(value), self._loaded.sources.get(key, "default"))
            for key, value in flat.items()
            if not _SECRET.search(key)
        ]

    def _writable(self) -> bool:
        try:
            self._ledger.heads()
        except LedgerError:
            return False
        return True


def _has(study: StudyStanding, search: str) -> bool:
    words = (study.study_instance_uid, study.finding, study.model, study.urgency, study.modality)
    return not search or any(search in word.lower() for word in words)


def _flatten(prefix: str, value: object, into: dict[str, object]) -> None:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            _flatten(f"{prefix}.{key}" if prefix else str(key), inner, into)
    else:
        into[prefix] = value


def open_console(service: Running) -> RunningServer:
    """Serve console, API, health and metrics of a running service."""
    web = service.loaded.settings.web
    return serve(create_app(View(service).sources(), web), web.host, web.port)
