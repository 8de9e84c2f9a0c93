"""The worker's part of the road: one job from prediction to written results.

fast    predict → attribute (the CAM came out of the same pass) → write
audit   predict the key frame again → Shapley values, a chunk at a time → write

Between two chunks the device is free for whoever is more urgent: the gate decides. A person can
stop a model or cancel a job there too: ``Chances`` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lightbox.app.changes.newest_patient import newest_patient
from lightbox.app.further_slices import further_slices, have_slices
from lightbox.app.questions.predecessor import replaced_by
from lightbox.app.turns import Turn, keeping
from lightbox.domain.attribution import Attribution, AttributionRecord
from lightbox.domain.errors import (
    ExplanationError,
    LightboxError,
    NotApplicableError,
    OutOfMemoryError,
    StoppingError,
    UnreadableError,
)
from lightbox.domain.events import Attributed, Predicted, ResultsWritten
from lightbox.domain.explained import Explained
from lightbox.domain.jobs import Job, JobPath, job_identity
from lightbox.domain.key_slices import KeySlice
from lightbox.domain.model_package import FAST_METHODS, ModelPackage
from lightbox.domain.prediction import Prediction
from lightbox.domain.refusal import Refusal
from lightbox.domain.urgency import Urgency
from lightbox.explain.attribute import Attribute
from lightbox.explain.audit import AuditPlan, finished
from lightbox.explain.known.audits import KnownAudits
from lightbox.explain.sentences import as_shown
from lightbox.explain.subject import Subject
from lightbox.infer.looked import Looked
from lightbox.infer.predict import Predict
from lightbox.ports import Ledger, Output, Runtime, Step
from lightbox.results.header.patient import sources_of
from lightbox.results.write import Write


@dataclass(frozen=True, slots=True)
class Chances:
    """Whether a job may go on.

    Attributes
    ----------
    check : callable (job) → None
        Raises HeldError or CancelledError where a person has said so.
    defer : callable (job, reason) → StoppingError
        Lets an audit wait that its device has no memory for.
    asking : callable (model) → context manager
        A block in which the model is asked; see ``breakers.py``.
    """

    check: Callable[[Job], None]
    defer: Callable[[Job, str], StoppingError]
    asking: Callable[[str], AbstractContextManager[None]]


class Analysis:
    """Does jobs. Every step's event is in the ledger before the next step begins."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        turn: Turn,
        chances: Chances,
        predict: Predict,
        attribute: Attribute,
        write: Write,
        packages: Mapping[str, ModelPackage],
        runtimes: Mapping[str, Runtime],
        intact: Callable[[Job], None],
        headers: Callable[[str], bytes],
        values: Path,
        known: KnownAudits,
        chunks: Mapping[str, int],
        destinations: tuple[str, ...],
        notes: bool,
        woke: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._turn = turn
        self._chances = chances
        self._predict = predict
        self._attribute = attribute
        self._write = write
        self._packages = packages
        self._runtimes = runtimes
        self._intact = intact
        self._headers = headers
        self._values = values
        self._known = known
        self._chunks = chunks
        self._destinations = destinations
        self._notes = notes
        self._woke = woke

    def configure(self, destinations: tuple[str, ...]) -> None:
        """Write results for other destinations from now on."""
        self._destinations = destinations

    def run(self, job: Job, _step: Step) -> None:
        """Do one job to its end; errors are the worker's to record."""
        package = self._packages.get(job.model_sha256)
        if package is None:
            raise NotApplicableError(
                f"model {job.model}",
                "is not served any more with the weights that this job names",
                "put the package back, or cancel the job",
            )
        self._intact(job)
        if job.path is JobPath.FAST:
            try:
                self._fast(job, package)
            except (NotApplicableError, UnreadableError) as error:
                if not self._notes:
                    raise
                self._note(job, package, error)
        else:
            try:
                self._audit(job, package)
            except OutOfMemoryError as error:
                raise self._chances.defer(job, error.reason) from error

    def _fast(self, job: Job, package: ModelPackage) -> None:
        with ExitStack() as kept:
            turn: Callable[[], AbstractContextManager[object]] = partial(self._device, job)
            if job.urgency.rank <= Urgency.HIGH.rank and len(job.instances) == 1:
                # One urgent image keeps the device until its results are encoded: the audit's next
                # chunk would take the processor cores that the encoding needs. A long series must
                # not: others would wait while it is decoded.
                turn = keeping(kept, turn)
            self._predict_and_write(job, package, turn)

    def _note(self, job: Job, package: ModelPackage, error: LightboxError) -> None:
        """Write, in place of results, why there are none; where that fails, the error stands."""
        try:
            header, *_ = sources_of(job, newest_patient(self._ledger, job), self._headers)
            results = self._write.refuse(Refusal(job, package, error.reason, error.mend, header))
        except (LightboxError, OSError):
            raise error from None
        self._chances.check(job)
        study, job_id = job.study_instance_uid, job.job_id
        self._ledger.record(ResultsWritten(study, job_id, results, str(error), self._destinations))
        self._woke()

    def _predict_and_write(
        self, job: Job, package: ModelPackage, turn: Callable[[], AbstractContextManager[object]]
    ) -> None:
        with self._chances.asking(job.model):
            looked = self._predict.predict(job, turn)
        study, job_id = job.study_instance_uid, job.job_id
        (row,) = self._ledger.record(Predicted(study, job_id, looked.prediction))
        self._woke()
        assert isinstance(row.event, Predicted)
        # A job that is repeated after a restart keeps what it was first told with.
        looked = replace(looked, prediction=looked.prediction.as_told(row.event.prediction))
        subject = Subject(package, looked.frame, looked.prediction)
        attribution = _shown(package, self._attribute.fast(subject, looked.output, job.method))
        self._ledger.record(Attributed(study, job_id, AttributionRecord.of(attribution)))
        self._finish(job, package, looked, attribution, None, turn)

    def _audit(self, job: Job, package: ModelPackage) -> None:
        prediction = self._prediction_of(job)
        # Here the model shows whether it is sound; an audit that held its breaker to the end would
        # keep emergencies from a model that is being tried again.
        with self._chances.asking(job.model):
            looked = self._predict.again(job, prediction, partial(self._device, job))
        subject = Subject(package, looked.frame, prediction)
        fast = self._fast_map(subject, looked)
        attribution = _shown(package, self._attribution_of(job, subject, fast))
        record = AttributionRecord.of(attribution)
        self._ledger.record(Attributed(job.study_instance_uid, job.job_id, record))
        # What was withheld then is not shown beside its audit either.
        shown = fast if package.shows_maps else None
        self._finish(job, package, looked, attribution, shown, partial(self._device, job))

    def _attribution_of(self, job: Job, subject: Subject, fast: Attribution | None) -> Attribution:
        """Audit, or take what an audit of the same image gave."""
        runtime, chunk = self._runtimes[job.model_sha256], self._chunks[job.model_sha256]
        identity = self._attribute.identity(subject, runtime, job.method, chunk)
        known = self._known.take(identity, job.job_id)
        if known is not None:
            return known
        plan = AuditPlan(job.method, chunk, self._values / f"{job.job_id}.values")
        chunks = self._attribute.audit(subject, runtime, fast, plan)
        attribution = finished(chunks, partial(self._device, job))
        self._known.keep(identity, job.job_id, attribution)
        return attribution

    def _fast_map(self, subject: Subject, looked: Looked) -> Attribution | None:
        """Return the map to compare with; None where the fast path had to withhold it."""
        try:
            return self._attribute.fast(subject, looked.output)
        except ExplanationError:
            return None

    @contextmanager
    def _device(self, job: Job) -> Iterator[None]:
        with self._turn(job.urgency, job.deadline):
            self._chances.check(job)
            yield

    def _prediction_of(self, job: Job) -> Prediction:
        """Find what the fast path said: an audit explains that, not a new prediction."""
        for method in FAST_METHODS:  # the package may name another by now
            fast = job_identity(JobPath.FAST, job.instances, job.model_sha256, method)
            found = self._ledger.find(f"predicted:{fast}")
            if found is not None and isinstance(found.event, Predicted):
                return found.event.prediction
        raise NotApplicableError(
            f"audit {job.job_id}", "has no prediction to explain", "send the study again"
        )

    def _finish(
        self,
        job: Job,
        package: ModelPackage,
        looked: Looked,
        attribution: Attribution,
        fast: Attribution | None,
        turn: Callable[[], AbstractContextManager[object]],
    ) -> None:
        sources = sources_of(job, newest_patient(self._ledger, job), self._headers)
        explained = Explained(
            job=job,
            package=package,
            prediction=looked.prediction,
            attribution=attribution,
            frame=looked.frame,
            sources=sources,
            fast=fast,
            replaces=replaced_by(self._ledger.find, job),
            lesions=looked.lesions if job.path is JobPath.FAST else (),
            slices=self._slices(job, package, looked, sources, turn),
        )
        self._chances.check(job)
        results = self._write.write(explained, turn)
        self._chances.check(job)  # once they are recorded they are sent
        self._ledger.record(
            ResultsWritten(
                job.study_instance_uid, job.job_id, results, destinations=self._destinations
            )
        )
        self._woke()

    def _slices(
        self,
        job: Job,
        package: ModelPackage,
        looked: Looked,
        sources: tuple[bytes, ...],
        turn: Callable[[], AbstractContextManager[object]],
    ) -> tuple[KeySlice, ...]:
        """Look at the other key slices, where a destination gets pictures of them.

        An emergency gets none: to look at them, to encode and to send them takes as long as all
        the rest of a STAT turnaround, and the picture of the key slice would wait for them.
        """
        if job.urgency is Urgency.STAT:
            return ()
        if not self._write.needs_slices or not have_slices(job, package):
            return ()

        def explain(of: Subject, output: Output) -> Attribution:
            return _shown(package, self._attribute.fast(of, output, job.method))

        with self._chances.asking(job.model):
            look = partial(self._predict.look_at, job, turn=turn)
            return further_slices(package, looked, (job, sources), look, explain)


def _shown(package: ModelPackage, attribution: Attribution) -> Attribution:
    not_shown = package.explanation.not_shown
    return as_shown(attribution, not_shown, insists=package.site_shows_all_maps)
