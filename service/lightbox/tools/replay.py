"""``lightbox replay``: a past result is computed again and compared with what was recorded.

The worker's doors compute it, with the parameters that the ledger recorded, into a folder that is
thrown away: nothing is written into the data directory, and no service needs to run or to stop.
On the same machine, with the same version, the object comes out byte for byte; elsewhere the
numbers are compared, and how far apart they are is said.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightbox.app.layout import Layout
from lightbox.domain.attribution import Attribution, AttributionRecord
from lightbox.domain.errors import NotApplicableError
from lightbox.domain.explained import Explained
from lightbox.domain.jobs import JobPath
from lightbox.domain.key_slices import KeySlice
from lightbox.domain.result import OF_SERIES
from lightbox.explain.sentences import INSISTED, as_shown
from lightbox.infer.confidence import probabilities
from lightbox.infer.looked import Looked
from lightbox.ledger.timeline import LedgerReader
from lightbox.results.header.header_bytes import header_of
from lightbox.results.header.patient import sources_of
from lightbox.settings import Settings
from lightbox.tools.doors import Doors, write_one
from lightbox.tools.past_result import (
    PastResult,
    changed_sources,
    object_now,
    past_result,
    removals,
    same_package,
)
from lightbox.version import __version__

TOLERANCE = 1e-4
"""Largest difference of a score or of v(S) (both probabilities, or log-odds) that another machine
is allowed: float32 arithmetic in another order, through some twenty layers."""


class Origin(StrEnum):
    """What a replay started from."""

    SOURCE = "source"
    """Everything was computed from the stored source files."""
    VALUES = "recorded values"
    """As above, but the v(S) of the audit came from the file that the job kept."""


class Verdict(StrEnum):
    """What came of the comparison, from the best to the worst."""

    IDENTICAL = "identical"
    """The same bytes of the object, the same bits of every number."""
    SAME_NUMBERS = "same numbers"
    """The same bits of every number, other bytes of the object."""
    WITHIN_TOLERANCE = "within tolerance"
    """Scores and values differ, by no more than the tolerance."""
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Difference:
    """A recorded number that came out otherwise."""

    name: str
    recorded: float | None
    replayed: float | None

    @property
    def size(self) -> float:
        """How far apart they are; infinity where one of them is missing."""
        if self.recorded is None or self.replayed is None:
            return math.inf
        return abs(self.replayed - self.recorded)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One computation of the result.

    Attributes
    ----------
    sha256 : str
        Of the object; "" where this kind of object does not come out any more.
    differences : tuple of Difference
        Every number that is not bit-identical.
    largest : float
        Largest difference of a score or a value, what the tolerance is about; infinity where one
        is missing.
    values_computed : bool
        For an audit: whether the network was run for v(S).
    arithmetic : mapping of str to tuple of str
        What decides the last bits (engine, device, threads, batch, plan of coalitions) and is not
        as it was: then and now.
    """

    origin: Origin
    verdict: Verdict
    sha256: str
    differences: tuple[Difference, ...]
    largest: float
    values_computed: bool
    arithmetic: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Report:
    """What replaying a result gave.

    Attributes
    ----------
    stored : str
        Whether the object in the data directory is "as recorded", "changed" or "gone".
    """

    past: PastResult
    stored: str
    runs: tuple[Replayed, ...]

    @property
    def is_identical(self) -> bool:
        """Whether every computation gave the recorded object."""
        return all(run.verdict is Verdict.IDENTICAL for run in self.runs)

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        job, result = self.past.job, self.past.result
        return {
            "sop_instance_uid": result.sop_instance_uid,
            "kind": result.kind,
            "study_instance_uid": job.study_instance_uid,
            "job": job.job_id,
            "path": job.path,
            "model": job.model,
            "model_sha256": job.model_sha256,
            "method": self.past.record.method,
            "finding": self.past.prediction.finding,
            "written_at": self.past.written_at,
            "identical": self.is_identical,
            "object": {"sha256": result.sha256, "path": result.path, "stored": self.stored},
            "version": {"then": self.past.version, "now": __version__},
            "tolerance": TOLERANCE,
            "replays": [
                {**asdict(run), "largest": run.largest if math.isfinite(run.largest) else None}
                for run in self.runs
            ],
        }


def replay(settings: Settings, sop_instance_uid: str, *, fresh: bool = False) -> Report:
    """Compute a result again.

    Parameters
    ----------
    settings : Settings
        Data directory, models, threads and batch; what the ledger recorded goes before.
    sop_instance_uid : str
        Of the result.
    fresh : bool
        Compute an audit's v(S) too, in addition to the replay from its recorded values.

    Raises
    ------
    NotApplicableError
        If the result is not in the ledger, or a source file is gone or changed.
    ModelPackageError
        If the model package is gone or has other weights.
    LightboxError
        If a step refuses what it once did.
    """
    at = Layout(Path(settings.data_dir).expanduser().resolve())
    reader = LedgerReader(at.ledger)
    try:
        past = past_result(reader, sop_instance_uid)
        removed = removals(reader, past.job.study_instance_uid)
    finally:
        reader.close()
    if missing := changed_sources(past.job, at.root, removed):
        raise NotApplicableError(
            f"result {sop_instance_uid}", "; ".join(missing), "restore the file, or send it again"
        )
    models = Path(settings.models.path).expanduser().resolve()
    loaded = same_package(past.job, models, at.root)
    with Doors(_as_then(settings, past.record), loaded, at.root) as doors:
        again = _Again(doors, past, at, settings)
        runs = tuple(again.run(origin) for origin in again.origins(fresh=fresh))
    return Report(past, object_now(past.result, at.root), runs)


def _as_then(settings: Settings, record: AttributionRecord) -> Settings:
    """Return the settings with the audit's parameters of that time, and its threads and batch.

    Batch and threads decide the order of additions; a device that is not here any more is not
    asked for: the arithmetic then differs, and is said to.
    """
    stated, engine = record.parameters, record.arithmetic
    then: dict[str, float | int | bool] = {"interactions": "interactions" in stated}
    if "tolerance" in stated:
        then["tolerance"] = float(stated["tolerance"])
    if "max_evaluations" in stated:
        then["max_evaluations"] = int(stated["max_evaluations"])
    pinned: dict[str, str | int] = {}
    if engine.get("device") == "cpu":
        pinned["device"] = "cpu"
    if "threads" in engine:
        pinned["threads"] = int(engine["threads"])
    if "batch" in engine:
        pinned["max_batch"] = int(engine["batch"])
    return settings.model_copy(
        update={
            "audit": settings.audit.model_copy(update=then),
            "worker": settings.worker.model_copy(update=pinned),
        }
    )


class _Again:
    """One past result and the doors that make it again."""

    def __init__(self, doors: Doors, past: PastResult, at: Layout, settings: Settings) -> None:
        self._doors = doors
        self._past = past
        self._root = at.root
        self._kept = at.values / f"{past.job.job_id}.values"
        self._settings = settings

    def origins(self, *, fresh: bool) -> tuple[Origin, ...]:
        """Return what to start from: recorded values where there are some."""
        if self._past.job.path is JobPath.FAST or not self._kept.is_file():
            return (Origin.SOURCE,)
        return (Origin.VALUES, Origin.SOURCE) if fresh else (Origin.VALUES,)

    def run(self, origin: Origin) -> Replayed:
        """Compute everything, in a folder that is gone afterwards."""
        past = self._past
        with TemporaryDirectory(prefix="lightbox-replay-") as made:
            folder = Path(made)
            looked = self._look()
            values = folder / "job.values"
            known = b""
            if origin is Origin.VALUES:
                shutil.copyfile(self._kept, values)
                known = values.read_bytes()
            attribution, fast = self._shown(*self._explain(looked, values))
            sources = sources_of(past.job, past.patient, lambda path: header_of(self._root / path))
            explained = Explained(
                job=past.job,
                package=self._doors.package,
                prediction=looked.prediction,
                attribution=attribution,
                frame=looked.frame,
                sources=sources,
                fast=fast,
                replaces=past.replaces,
                lesions=looked.lesions if past.job.path is JobPath.FAST else (),
                slices=self._slices(looked, sources),
            )
            one = write_one(folder, explained, past.result, self._settings.results)
            computed = values.is_file() and values.read_bytes() != known
        record = AttributionRecord.of(attribution)
        differences = tuple(_differences(past, looked.prediction.scores, record))
        largest = max((d.size for d in differences if _is_bounded(d.name)), default=0.0)
        same = one is not None and (one.sop_instance_uid, one.sha256) == (
            past.result.sop_instance_uid,
            past.result.sha256,
        )
        return Replayed(
            origin=origin,
            verdict=_verdict(differences, largest, same=same),
            sha256="" if one is None else one.sha256,
            differences=differences,
            largest=largest,
            values_computed=computed,
            arithmetic=_moved(past.record.arithmetic, record.arithmetic),
        )

    def _shown(
        self, found: Attribution, fast: Attribution | None
    ) -> tuple[Attribution, Attribution | None]:
        """Show or withhold as then: the site may have changed its mind since."""
        insisted = any(words.endswith(INSISTED) for words in self._past.record.warnings)
        not_shown = self._doors.package.explanation.not_shown
        is_shown = insisted or not not_shown
        return as_shown(found, not_shown, insists=insisted), fast if is_shown else None

    def _look(self) -> Looked:
        """Predict again; an audit looks at the recorded key frame, as it did then."""
        past, doors = self._past, self._doors
        if past.job.path is JobPath.FAST:
            found = doors.predict.predict(past.job, nullcontext)
            return replace(found, prediction=found.prediction.as_told(past.prediction))
        looked = doors.predict.again(past.job, past.prediction, nullcontext)
        now = probabilities(doors.package, looked.output.logits)[0]
        names = (finding.name for finding in doors.package.findings)
        scores = dict(zip(names, now.tolist(), strict=True))
        return replace(looked, prediction=replace(past.prediction, scores=scores))

    def _slices(self, looked: Looked, sources: tuple[bytes, ...]) -> tuple[KeySlice, ...]:
        """Look at the other key slices again, where the result shows any of them."""
        past = self._past
        if past.result.kind not in OF_SERIES:
            return ()
        found = self._doors.slices(past.job, looked, sources, past.record.method)
        return tuple(
            replace(one, attribution=self._shown(one.attribution, None)[0]) for one in found
        )

    def _explain(self, looked: Looked, values: Path) -> tuple[Attribution, Attribution | None]:
        doors, method = self._doors, self._past.record.method
        if self._past.job.path is JobPath.FAST:
            return doors.fast(looked, method), None
        fast = doors.map_to_compare(looked)
        # An audit that was taken from another one says so; computing it gives the same numbers.
        computed = doors.audit(looked, fast, method, values)
        return replace(computed, taken_from=self._past.record.taken_from), fast


def _moved(then: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return what both recorded and is not the same; an older record says nothing of it."""
    return {
        name: (then[name], now[name]) for name in then if name in now and then[name] != now[name]
    }


def _verdict(differences: tuple[Difference, ...], largest: float, *, same: bool) -> Verdict:
    if not differences:
        return Verdict.IDENTICAL if same else Verdict.SAME_NUMBERS
    return Verdict.WITHIN_TOLERANCE if largest <= TOLERANCE else Verdict.DIFFERENT


def _differences(
    past: PastResult, scores: Mapping[str, float], found: AttributionRecord
) -> Iterator[Difference]:
    """Yield every number that is not the same to the last bit, or that only one side has."""
    then = _numbers(past.prediction.scores, past.record)
    now = _numbers(scores, found)
    for name in dict.fromkeys((*then, *now)):
        recorded, replayed = then.get(name), now.get(name)
        if recorded != replayed:
            yield Difference(name, recorded, replayed)


def _numbers(scores: Mapping[str, float], record: AttributionRecord) -> dict[str, float]:
    """Return every number of a prediction and its attribution, by name; times are none of them."""
    return {
        **{f"score {name}": score for name, score in scores.items()},
        **{f"value {number}": value for number, value in enumerate(record.values)},
        **{f"contrast {number}": value for number, value in enumerate(record.contrast)},
        **{f"interaction {number}": value for number, value in enumerate(record.interactions)},
        "v_empty": record.v_empty,
        "v_full": record.v_full,
        "target": record.target,
        "evaluations": record.evaluations,
        "exact": record.exact,
        "standard_error_max": record.standard_error_max,
        "completeness_residual": record.completeness_residual,
        **{f"quality {name}": value for name, value in record.quality.items()},
    }


def _is_bounded(name: str) -> bool:
    """Say whether the tolerance is about this number; ranks and counts may jump, and are shown."""
    return name.startswith(("score ", "value ", "v_", "target", "exact"))
