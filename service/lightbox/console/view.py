"""What a person may see of the running service, as values: the console and the API read this."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Mapping, Sequence

from lightbox.app.operate.reach import address_of, reach
from lightbox.app.operate.rules_trial import RulesTrial, arrival_of
from lightbox.app.processes.control import Running
from lightbox.app.processes.notices import condition_of
from lightbox.app.processes.process import is_ready
from lightbox.console.facts.configured import configured
from lightbox.console.facts.studies import DAY, as_it_is, search_for
from lightbox.console.facts.token import AUTO, token_of
from lightbox.console.server import RunningServer, create_app, serve
from lightbox.console.sources import (
    Check,
    ConsoleSources,
    DestinationState,
    Disk,
    Readiness,
    Record,
    ServedModel,
    Setting,
    StudyPage,
    StudyQuery,
    Summary,
    Trial,
)
from lightbox.domain.errors import LedgerError
from lightbox.domain.operations import Outcome
from lightbox.ledger.prove import Proof, prove
from lightbox.ledger.report import proof_json, timeline_json
from lightbox.results.picture.preview import preview
from lightbox.storage.files import Files

_COUNTS_HOLD = 2.0
_MOST_LETTERS = 1000
_PROVE_AT_ONCE = 50_000
"""Rows that are proved while somebody waits; for more there is a page that shows how far it is."""


class View:
    """Answers the console's questions from the account, under the control thread's lock."""

    def __init__(self, service: Running) -> None:
        self._service = service
        self._root = service.root
        self._control = service.control
        self._ledger = service.ledger
        self._queue = service.queue
        self._reserve = service.reserve
        self._models = service.models
        self._clock = service.clock
        self._operations = service.operations
        self._served = service.served
        self._proof: tuple[float, Proof] | None = None
        self._counting = threading.Lock()
        self._counted_at = 0.0
        self._summary = Summary()
        self._given_up: Counter[str] = Counter()

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
            disk=self.disk,
            summary=self.summary,
            jobs=self._control.read_model.queue,
            dead_letters=self._control.read_model.dead_letters,
            cards=self.cards,
            destinations=self.destinations,
            proving=self._service.prover.state,
            prove=self._service.prover.start,
            echo=self.echo,
            try_rules=self.try_rules,
        )

    def ready(self) -> Readiness:
        """Look at listener, ledger, models and disk."""
        dicom = self._service.loaded.settings.dicom
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
                    f"loaded: {models} ({self._devices()})"
                    if working
                    else "are not loaded; see the log",
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
            tuple(condition_of(self._root).complaints(self._clock.now())),
        )

    def _devices(self) -> str:
        """Say what the networks run on, and why not on a GPU."""
        return "; ".join(sorted(set(condition_of(self._root).devices.values()))) or "cpu"

    def disk(self) -> Disk:
        """Return what the disk of the data directory has."""
        total = shutil.disk_usage(self._root).total
        return Disk(
            self._reserve.free_bytes(), total, self._service.loaded.settings.storage.reserve
        )

    def queue(self) -> Mapping[str, int]:
        """Return how many jobs wait, by urgency."""
        with self._control.lock:
            return self._queue.waiting()

    def summary(self) -> Summary:
        """Return the service in numbers; within two seconds the same ones again."""
        now = self._clock.now()
        with self._counting:
            if not 0 <= now - self._counted_at < _COUNTS_HOLD:
                model = self._control.read_model
                tally = {str(name): each for name, each in model.tally(now - DAY, now).items()}
                self._summary = Summary(tally, model.counts().dead_letters)
                letters = model.dead_letters(_MOST_LETTERS) if self._summary.dead_letters else ()
                self._given_up = Counter(str(letter["destination"]) for letter in letters)
                self._counted_at = now
            return self._summary

    def studies(self, query: StudyQuery) -> StudyPage:
        """Return studies, newest first, that are what is asked for."""
        page = self._control.read_model.search(search_for(query, self._clock.now()))
        return StudyPage(page.studies, page.has_more)

    def study(self, uid: str) -> Record | None:
        """Return one study with each of its events."""
        found = self._control.read_model.study(uid)
        if found is None:
            return None
        return as_it_is(timeline_json(found.standing, found.rows, self._root))

    def ledger(self) -> Record:
        """Prove a short ledger, within ten seconds once; count a long one (``ok`` is None then)."""
        rows = self._service.prover.rows()
        if rows > _PROVE_AT_ONCE:
            counts = self._control.read_model.counts()
            return {
                "ok": None,
                "rows": rows,
                "accepted": counts.accepted,
                "delivered": counts.delivered,
                "listed": counts.listed,
                "in_progress": counts.in_progress,
            }
        now = self._clock.monotonic()
        if self._proof is None or now - self._proof[0] > 10.0:
            names = tuple(each.name for each in self._service.loaded.settings.destinations)
            self._proof = (now, prove(self._root / "ledger", names))
        return proof_json(self._proof[1])

    def preview(self, uid: str) -> bytes | None:
        """Return the picture of a result, by the result's own UID."""
        shown_in = self._control.read_model.preview(uid)
        if not shown_in:
            return None
        try:
            return preview(self._root / shown_in)
        except OSError:
            return None

    def settings(self) -> Sequence[Setting]:
        """Return every key that is in force and where it came from; secrets are left out."""
        return configured(self._service.loaded)

    def cards(self) -> Sequence[ServedModel]:
        """Return the models that are served, with what the site has changed and stopped."""
        stopped = {flag.model: flag for flag in self._operations.stopped()}
        own = self._service.loaded.settings.models.__pydantic_extra__
        return [
            ServedModel(
                each.package,
                each.card,
                str(each.folder),
                stopped.get(each.package.name) or stopped.get("all"),
                own[each.package.name].model_dump(exclude_defaults=True)
                if each.package.name in own
                else {},
            )
            for each in self._served
        ]

    def destinations(self) -> Sequence[DestinationState]:
        """Return where results go, and how that goes."""
        self.summary()
        dead = self._given_up
        with self._control.lock:
            last = {name: self._control.last_words.of(name) for name in self._service.sends}
        return [
            DestinationState(
                each.name,
                address_of(each),
                tuple(each.kinds),
                each.commitment,
                self._service.sends[each.name].waiting() if each.name in self._service.sends else 0,
                dead[each.name],
                last.get(each.name),
            )
            for each in self._service.loaded.settings.destinations
        ]

    def echo(self, name: str) -> Outcome:
        """Ask a destination whether it answers."""
        settings = self._service.loaded.settings
        for each in settings.destinations:
            if each.name == name:
                said = reach(each, settings, self._clock)
                return Outcome(bool(said["ok"]), (str(said["answer"]),))
        return Outcome(is_done=False, lines=(f"{name}: is not configured",))

    def try_rules(self, trial: Trial) -> Record:
        """Say what the rules make of a file; nothing is kept."""
        arrival = arrival_of(trial.called, trial.calling, trial.priority)
        packages = [each.package for each in self._served]
        trying = RulesTrial(self._service.loaded.settings, packages)
        return trying.answer(trial.path, arrival)

    def _writable(self) -> bool:
        try:
            self._ledger.heads()
        except LedgerError:
            return False
        return True


def open_console(service: Running) -> RunningServer:
    """Serve console, API, health and metrics of a running service."""
    web = service.loaded.settings.web
    token = token_of(web.token, service.root, Files())
    app = create_app(View(service).sources(), web.model_copy(update={"token": token}))
    server = serve(app, web.host, web.port)
    if web.token == AUTO:  # nobody has chosen it, so the start says how to come in
        server.entrance = app.state.entrance()
    return server
