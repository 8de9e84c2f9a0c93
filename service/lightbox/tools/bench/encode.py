"""``lightbox bench encode``: the objects of one image, from its explanation to the row that names them.

The worker's door writes them as in the service: made, looked at by ``dciodvfy`` where it is
installed, synced, and recorded in a ledger. Each round is another image of the same pixels, so
that nothing of one serves the next; the steps are then measured one by one.
"""

from __future__ import annotations

import resource
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from lightbox.app.catalogue import writer
from lightbox.app.clock import SystemClock
from lightbox.domain.events import ResultsWritten
from lightbox.domain.explained import Explained
from lightbox.domain.identity import JobId, derived_uid
from lightbox.domain.jobs import Job, job_identity
from lightbox.domain.study import Instance
from lightbox.infer.packages import LoadedPackage
from lightbox.ledger.sqlite_ledger import SqliteLedger
from lightbox.ports import ResultWriter
from lightbox.results.header.header_bytes import header_of
from lightbox.results.header.source import key_source
from lightbox.results.validate import first_errors, validator
from lightbox.results.write import Write, warm
from lightbox.settings import Settings
from lightbox.storage.files import Files
from lightbox.storage.folder import FolderStorage
from lightbox.tools.bench.fast import samples
from lightbox.tools.bench.report import Case, percentile, seconds_of
from lightbox.tools.doors import Doors

GOAL = 0.06
"""Seconds for picture, region, report and map of one image."""
_WARM_UP = 2


@dataclass(frozen=True, slots=True)
class EncodePlan:
    """How much is measured.

    Attributes
    ----------
    rounds : int
        Images.
    file : Path or None
        The image; None: the package's first sample.
    """

    rounds: int = 40
    file: Path | None = None


def bench_encode(settings: Settings, loaded: LoadedPackage, plan: EncodePlan) -> list[Case]:
    """Measure.

    Raises
    ------
    UsageError
        If there is no file, or it is none that can be explained.
    """
    warm()
    explained = _explained(settings, loaded, plan.file or samples(loaded)[0])
    kinds = ("secondary_capture", "segmentation", "structured_report")
    fast: list[ResultWriter] = [writer(kind)() for kind in kinds]
    every = [*fast, writer("parametric_map")(fast=True)]  # type: ignore[call-arg]  # this kind's
    looked_at = "looked at by dciodvfy" if validator() else "dicom3tools is not installed"
    contests = (
        _Contest("four objects", every, looked_at),
        _Contest("three objects", fast, looked_at),
        _Contest("four objects without a last look", every, "nobody looked at them", look=False),
    )
    with TemporaryDirectory(prefix="lightbox-bench-") as made:
        folder = Path(made)
        return [
            *(_whole(each, explained, plan, folder / each.name) for each in contests),
            *_steps(every, explained, plan, folder / "steps"),
        ]


def _explained(settings: Settings, loaded: LoadedPackage, file: Path) -> Explained:
    """Predict and explain a file, as the fast path does."""
    with Doors(settings, loaded) as doors:
        job = doors.job_of(file, "lightbox bench encode")
        looked = doors.predict.predict(job, nullcontext)
        return Explained(
            job=job,
            package=loaded.package,
            prediction=looked.prediction,
            attribution=doors.fast(looked),
            frame=looked.frame,
            sources=(header_of(file),),
            lesions=looked.lesions,
        )


def _name(job: Job, instance: Instance) -> JobId:
    return job_identity(job.path, (instance,), job.model_sha256, job.method)


def _images(explained: Explained) -> Iterator[Explained]:
    """Yield the same explanation of one image after the other."""
    job, prediction = explained.job, explained.prediction
    number = 0
    while True:
        number += 1
        uid = derived_uid("bench encode", str(number))
        instance = replace(job.instances[0], sop_instance_uid=uid)
        yield replace(
            explained,
            job=replace(job, instances=(instance,), job_id=_name(job, instance)),
            prediction=replace(
                prediction, key_frame=replace(prediction.key_frame, sop_instance_uid=uid)
            ),
        )


@dataclass(frozen=True, slots=True)
class _Contest:
    """Which objects are made; ``look``: as in the service, which looks at each before it leaves."""

    name: str
    writers: Sequence[ResultWriter]
    note: str
    look: bool = True


def _whole(contest: _Contest, explained: Explained, plan: EncodePlan, folder: Path) -> Case:
    clock, made = SystemClock(), 0
    door = Write(contest.writers, FolderStorage(folder, Files()), validate=contest.look)
    with closing(SqliteLedger(folder / "ledger", "work", clock)) as ledger:

        def encode(image: Explained) -> None:
            nonlocal made
            results = door.write(image)
            made = sum(result.size_bytes for result in results)
            ledger.record(ResultsWritten(image.job.study_instance_uid, image.job.job_id, results))

        before = _processor_seconds()
        seconds = _rounds(encode, explained, plan)
        used = (_processor_seconds() - before) / (_WARM_UP + plan.rounds)
    note = f"{made / 1e6:.1f} MB, {contest.note}; p99 {percentile(seconds, 0.99):.3f} s"
    note += f"; {used:.3f} s of processor time, validators included"
    name = f"{contest.name}, of one image, p50"
    return Case(name, statistics.median(seconds), "s", {"goal": GOAL}, note=note)


def _steps(
    writers: Sequence[ResultWriter], explained: Explained, plan: EncodePlan, folder: Path
) -> Iterator[Case]:
    """Yield what each step takes by itself: what runs side by side adds up to more than the whole."""

    def step(name: str, work: Callable[[Explained], object]) -> Case:
        return Case(f"step: {name}, p50", statistics.median(_rounds(work, explained, plan)), "s")

    yield step("source header", key_source)
    storage = FolderStorage(folder, Files())
    for each in writers:
        yield step(f"{each.kind} encoded", each.write)
    program = validator()
    data = [made for each in writers if (made := each.write(explained)) is not None]
    if program is not None:
        yield step("dciodvfy, the largest", lambda _: first_errors(program, data[:1]))
        yield step("dciodvfy, all side by side", lambda _: first_errors(program, data))
    numbers = iter(range(10**9))
    yield step(
        "the largest written and synced",
        lambda _: storage.put(f"results/{next(numbers)}", data[0]),
    )


def _processor_seconds() -> float:
    """Return what this process and those that it waited for have used: load changes it little."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _rounds(
    work: Callable[[Explained], object], explained: Explained, plan: EncodePlan
) -> list[float]:
    """Return the seconds of each image but the first ones."""
    clock, images = SystemClock(), _images(explained)
    taken = [
        seconds_of(partial(work, next(images)), clock)() for _ in range(_WARM_UP + plan.rounds)
    ]
    return taken[_WARM_UP:]
