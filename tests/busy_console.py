"""A console over a busy morning: real events through a real ledger, read model and pages.

Only the processes beside it are left out; names are long, foreign or hostile where a site's can be.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from builders import (
    NOON,
    a_job,
    a_prediction,
    a_result,
    a_uid,
    an_arrival,
    an_attribution_record,
    an_instance,
)
from fakes.clock import FakeClock
from lightbox.app.operate.last_words import LastWords
from lightbox.app.operate.rules_trial import RulesTrial, arrival_of
from lightbox.app.operate.switch import Flag
from lightbox.app.processes.prover import Proving
from lightbox.console.facts.configured import configured
from lightbox.console.facts.studies import DAY, search_for
from lightbox.console.sources import (
    Check,
    ConsoleSources,
    DestinationState,
    Disk,
    Readiness,
    Record,
    ServedModel,
    StudyPage,
    StudyQuery,
    Summary,
    Trial,
)
from lightbox.domain.events import (
    AssociationReleased,
    Attributed,
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    Event,
    InstanceListed,
    InstanceStored,
    JobPlaced,
    JobStarted,
    Predicted,
    ResultsWritten,
)
from lightbox.domain.jobs import Job
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.operations import Outcome, Request
from lightbox.domain.result import ListedReason, ResultKind
from lightbox.domain.study_account import Expectations
from lightbox.domain.urgency import Urgency
from lightbox.infer.packages import CARD, MANIFEST, manifest
from lightbox.ledger.read_model.read import ReadModel
from lightbox.ledger.report import timeline_json
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.settings import read

MODEL = Path(__file__).parents[1] / "models" / "brain_tumour_mri"
RADIOLOGY = "ארכיון רנטגן, בית חולים"
"""A destination whose site writes from right to left."""
REASON = (
    "PACS-ARCHIVE-CENTRAL@pacs-archive.radiology.hospital.example:11112: refused, out of "
    "resources (0xA700) <b>not bold</b> (free space at the archive)"
)
KINDS = (ResultKind.SECONDARY_CAPTURE, ResultKind.SEGMENTATION)


@dataclass
class BusyConsole:
    """Events go in by :meth:`take`; what was asked for by buttons is in ``asked``.

    ``folder`` is the data directory; its ledger and read model are real.
    """

    folder: Path
    names: tuple[str, ...] = ("pacs", RADIOLOGY)
    asked: list[Request] = field(default_factory=list)
    stopped: tuple[Flag, ...] = ()
    proving: Proving = field(default_factory=Proving)
    checks: tuple[Check, ...] = (
        Check("DICOM listener", is_ok=True, words="LIGHTBOX listens on 127.0.0.1"),
        Check("ledger", is_ok=True, words="writable"),
        Check("models", is_ok=True, words="loaded: brain_tumour_mri"),
        Check("disk", is_ok=True, words="120.0 GB free, above the reserve"),
    )

    def __post_init__(self) -> None:
        self.clock = FakeClock(NOON)
        self._ledger = SqliteLedger(self.folder / "ledger", "control", self.clock)
        expected = Expectations(self.names)
        self._read_model = ReadModel(self.folder / "ledger", expected)
        self._last_words = LastWords()
        self._loaded = read(None, {"LIGHTBOX__DICOM__PORT": "4711"})
        self.package: ModelPackage = manifest(MODEL / MANIFEST)
        self._trial = RulesTrial(self._loaded.settings, [self.package])

    @property
    def now(self) -> float:
        return self.clock.now()

    def take(self, *events: tuple[float, Event]) -> None:
        """Record events, each at its time."""
        for at, event in events:
            self.clock.advance(at - self.clock.now())
            for row in self._ledger.record(event):
                self._last_words.take(row)

    def close(self) -> None:
        self._read_model.close()
        self._ledger.close()

    def sources(self) -> ConsoleSources:
        return ConsoleSources(
            metrics=lambda: b"",
            ready=lambda: Readiness(self.checks, self.stopped),
            queue=lambda: {"STAT": 0, "ROUTINE": 1},
            studies=self._studies,
            study=self._study,
            ledger=lambda: {"accepted": 0, "ok": None},
            preview=lambda _uid: picture(),
            settings=lambda: configured(self._loaded),
            now=self.clock.now,
            operate=self._operate,
            models=("brain_tumour_mri",),
            disk=lambda: Disk(120 * 10**9, 500 * 10**9, 5 * 10**9),
            summary=self._summary,
            jobs=self._read_model.queue,
            dead_letters=self._read_model.dead_letters,
            cards=self._cards,
            destinations=self._destinations,
            proving=lambda: self.proving,
            prove=self._prove,
            echo=lambda name: Outcome(is_done=True, lines=(f"{name} answers in 3 ms",)),
            try_rules=self._try,
        )

    def _studies(self, query: StudyQuery) -> StudyPage:
        page = self._read_model.search(search_for(query, self.now))
        return StudyPage(page.studies, page.has_more)

    def _study(self, uid: str) -> Record | None:
        found = self._read_model.study(uid)
        return timeline_json(found.standing, found.rows, self.folder) if found else None

    def _summary(self) -> Summary:
        tally = self._read_model.tally(self.now - DAY, self.now)
        dead = self._read_model.counts().dead_letters
        return Summary({str(name): each for name, each in tally.items()}, dead)

    def _operate(self, request: Request) -> Outcome:
        self.asked.append(request)
        if request.action == "cancel":
            return Outcome(is_done=False, lines=(f"{request.subject}: no job of it waits or runs",))
        if request.action == "stop":
            self.stopped = (Flag(request.subject, request.by, self.now),)
        return Outcome(is_done=True, lines=(f"{request.action}: done",))

    def _prove(self) -> None:
        self.proving = Proving(is_running=True, rows=420_000, of=1_000_000, at=self.now, seconds=12)

    def _cards(self) -> list[ServedModel]:
        stopped = self.stopped[0] if self.stopped else None
        own: Mapping[str, object] = {"thresholds": {"glioma": 0.7}}
        return [ServedModel(self.package, (MODEL / CARD).read_text(), str(MODEL), stopped, own)]

    def _destinations(self) -> list[DestinationState]:
        dead = [each["destination"] for each in self._read_model.dead_letters()]
        return [
            DestinationState(
                name, f"{ae}@10.1.2.3:104", ("sc", "seg"), name == "pacs", 2,
                dead.count(name), self._last_words.of(name),
            )
            for name, ae in (("pacs", "PACS"), (RADIOLOGY, "PACS-ARCHIVE-CEN"))
        ]  # fmt: skip

    def _try(self, trial: Trial) -> Record:
        return self._trial.answer(
            trial.path, arrival_of(trial.called, trial.calling, trial.priority)
        )


def picture() -> bytes:
    """Return a small preview."""
    file = io.BytesIO()
    Image.new("L", (640, 320), 40).save(file, "PNG")
    return file.getvalue()


def job_of(name: str, at: float, **how: object) -> Job:
    """Return a job of a study of its own."""
    unit = an_instance(name, study=a_uid("busy", name))
    return replace(
        a_job(unit, model="brain_tumour_mri", received_at=at, **how),  # type: ignore[arg-type]  # a_job's own keywords
        modality="MR",
    )


def analysed(job: Job, seconds: float = 0.6) -> list[tuple[float, Event]]:
    """Return the events of a job from its arrival until its results are on disk."""
    study, at = job.study_instance_uid, job.received_at
    record = replace(
        an_attribution_record(),
        quality={"border_mass": 0.021, "sparseness": 0.74, "entropy": 2.31},
        warnings=("8% of the map lies at the border of the picture.",),
    )
    results = tuple(a_result(job, kind) for kind in KINDS)
    step = seconds / 5
    return [
        (at, InstanceStored(job.instances[0], an_arrival(at))),
        (job.placed_at, JobPlaced(job)),
        (at + step, JobStarted(study, job.job_id)),
        (at + 2 * step, Predicted(study, job.job_id, a_prediction("pituitary_tumour"))),
        (at + 3 * step, Attributed(study, job.job_id, record)),
        (at + 4 * step, ResultsWritten(study, job.job_id, results, "", ("pacs",))),
    ]


def delivered(job: Job, at: float) -> list[tuple[float, Event]]:
    """Return that the archive has all of it."""
    return [
        (at, Delivered(job.study_instance_uid, job.job_id, a_result(job, kind).sop_instance_uid, "pacs", 1))
        for kind in KINDS
    ]  # fmt: skip


LATE = job_of("late", NOON + 100, urgency=Urgency.STAT, rule="called AE LIGHTBOX_STAT")
DEAD = job_of("dead", NOON + 200, urgency=Urgency.HIGH, rule="rule חדר מיון, צילום חזה דחוף")
OPEN = job_of("open", NOON + 550)
STRANGE = a_uid("busy", "strange")
OVERDUE = job_of("overdue", NOON + 300, urgency=Urgency.HIGH)


def busy_console(folder: Path) -> BusyConsole:
    """Return a morning with studies in time, one late, one dead letter, one not analysed, one open."""
    console = BusyConsole(folder)
    for number in range(60):
        job = job_of(
            str(number), NOON + number, urgency=Urgency.STAT if number % 9 == 0 else Urgency.ROUTINE
        )
        console.take(*analysed(job), *delivered(job, job.received_at + 0.7))
    study, at = LATE.study_instance_uid, LATE.received_at
    uid = a_result(LATE, KINDS[0]).sop_instance_uid
    console.take(*analysed(LATE))
    for attempt in (1, 2):
        late = DeliveryDelayed(
            study, LATE.job_id, uid, "pacs", attempt, "pacs: connection refused (is it up?)", at + 9
        )
        console.take((at + 1 + attempt, late))
    console.take(*delivered(LATE, at + 14.2))
    dead = a_result(DEAD, KINDS[0]).sop_instance_uid
    events = analysed(DEAD)
    written = ResultsWritten(
        DEAD.study_instance_uid, DEAD.job_id, (a_result(DEAD, KINDS[0]),), "", (RADIOLOGY,)
    )
    letter = DeadLettered(DEAD.study_instance_uid, DEAD.job_id, dead, RADIOLOGY, 11, REASON)
    console.take(*events[:-1], (DEAD.received_at + 1, written), (DEAD.received_at + 42, letter))
    strange = an_instance("strange", study=STRANGE)
    why = "Modality is CT, the model is for MR"
    listing = InstanceListed(
        strange.study_instance_uid,
        strange.sop_instance_uid,
        strange.sha256,
        ListedReason.NO_MODEL,
        why,
    )
    console.take(
        (NOON + 400, InstanceStored(strange, an_arrival(NOON + 400, calling="<script>1</script>"))),
        (NOON + 401, listing),
    )
    console.take(*analysed(OPEN)[:2], *analysed(OVERDUE)[:4])
    console.take((NOON + 600, AssociationReleased("a9", 1, "released")))
    return console
