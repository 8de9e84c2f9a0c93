"""``lightbox bench turnaround``: emergencies through the whole service, while audits run.

A service and an archive are started; routine studies go in and their audits begin; then emergencies
arrive, one after another. The turnaround is the ledger's (last byte received to stored in the
archive), the stages are those of ``/metrics``.
"""

from __future__ import annotations

import re
import statistics
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pydicom
from pydicom.uid import generate_uid

from lightbox.app.clock import SystemClock
from lightbox.deliver.association import Peer
from lightbox.domain.account import Account
from lightbox.domain.errors import UsageError
from lightbox.domain.standing import AuditState, StudyStanding
from lightbox.domain.urgency import Urgency
from lightbox.tools.bench_report import Case, percentile
from lightbox.tools.demo import Watch, an_archive, write_config
from lightbox.tools.demo_data import Study, studies_in
from lightbox.tools.send import send
from lightbox.tools.service import Service

STAGES = ("receive", "wait", "decode", "infer", "explain", "encode", "deliver")
DEADLINE = "deadline"
_BACKLOG_SECONDS = 120.0
_ARRIVAL_SECONDS = 60.0
_GLANCE_SECONDS = 0.2
_SAMPLE = re.compile(r"^lightbox_(?P<name>\w+?)(\{(?P<labels>.*)\})? (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class TurnaroundPlan:
    """How much is measured.

    Attributes
    ----------
    arrivals : int
        Emergencies, one after another.
    backlog : int
        Routine studies whose audits are in the way.
    """

    arrivals: int = 20
    backlog: int = 6


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of ``/metrics``, the prefix of its name left out."""

    name: str
    labels: Mapping[str, str]
    value: float


def bench_turnaround(models: Path, plan: TurnaroundPlan) -> list[Case]:
    """Measure.

    Parameters
    ----------
    models : Path
        Folder of model packages; studies are copies of their samples.

    Raises
    ------
    UsageError
        If there are no samples, or a study is not accepted or gets no result.
    """
    sources = studies_in(tuple(sorted(models.glob("*/samples"))))
    if not sources:
        raise UsageError(f"models {models}", "hold no samples", "name [models] path")
    with TemporaryDirectory(prefix="lightbox-bench-") as made:
        folder = Path(made)
        copies = iter(_copies(sources, plan.backlog + plan.arrivals, folder / "studies"))
        with an_archive(folder / "archive") as archive:
            config = folder / "lightbox.toml"
            write_config(config, folder / "data", archive, models)
            with Service(config, folder / "service.log") as service:
                watch = Watch(folder / "data" / "ledger", archive, SystemClock())
                _fill(watch, service, [next(copies) for _ in range(plan.backlog)])
                arrived = [_arrive(watch, service, study) for study in copies]
                samples = list(parsed(_metrics(service)))
    return [*_turnarounds(arrived), *_stages(samples), _preemption(samples)]


@dataclass(frozen=True, slots=True)
class Arrived:
    """An emergency, and whether an audit was running when it came."""

    standing: StudyStanding
    beside_audit: bool


def parsed(text: str) -> Iterator[Sample]:
    """Yield our samples of a text in the exposition format of Prometheus."""
    for line in text.splitlines():
        if found := _SAMPLE.match(line):
            labels = dict(_LABEL.findall(found["labels"] or ""))
            yield Sample(found["name"], labels, float(found["value"]))


def _copies(sources: list[Study], wanted: int, folder: Path) -> list[Path]:
    """Write so many studies of their own: the samples again and again, with new UIDs."""
    folder.mkdir()
    made = []
    for number in range(wanted):
        dataset = pydicom.dcmread(sources[number % len(sources)].files[0])
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        made.append(folder / f"{number}.dcm")
        dataset.save_as(made[-1])
    return made


def _fill(watch: Watch, service: Service, files: list[Path]) -> None:
    """Send the routine studies and wait until their pictures are out and an audit runs."""
    for file in files:
        _send(file, service, "LIGHTBOX")
    uids = [_study(file) for file in files]
    if not watch.wait(lambda a: all(_is_done(a, uid) for uid in uids), _BACKLOG_SECONDS):
        raise UsageError("backlog", "has not all its fast results in time", "send fewer")
    if files:
        watch.wait(_audit_runs, _BACKLOG_SECONDS)


def _arrive(watch: Watch, service: Service, file: Path) -> Arrived:
    """Send an emergency and wait until its results are in the archive."""
    uid, found = _study(file), []

    def is_done(account: Account) -> bool:
        found.append(account.study(uid))
        return found[-1].turnaround is not None

    beside = watch.wait(_audit_runs, _GLANCE_SECONDS)
    _send(file, service, "LIGHTBOX_STAT")
    if not watch.wait(is_done, _ARRIVAL_SECONDS):
        raise UsageError(f"emergency {uid}", "got no result in time", "see the service's log")
    return Arrived(found[-1], beside)


def _send(file: Path, service: Service, called: str) -> None:
    peer = Peer("lightbox", called, "127.0.0.1", service.dicom_port, "BENCH")
    report = send([file], peer)
    if not report.ok:
        raise UsageError("lightbox", f"did not accept {file.name}", report.files[0].detail)


def _study(file: Path) -> str:
    return str(pydicom.dcmread(file, specific_tags=["StudyInstanceUID"]).StudyInstanceUID)


def _is_done(account: Account, study_instance_uid: str) -> bool:
    return account.study(study_instance_uid).turnaround is not None


def _audit_runs(account: Account) -> bool:
    return any(study.audit.state is AuditState.RUNNING for study in account.studies())


def _turnarounds(arrived: list[Arrived]) -> list[Case]:
    seconds = [each.standing.turnaround or 0.0 for each in arrived]
    allowed = {DEADLINE: arrived[0].standing.allowed}
    met = sum(each.standing.is_met is True for each in arrived)
    beside = sum(each.beside_audit for each in arrived)
    note = f"{len(arrived)} arrivals, one after another; an audit was running at {beside} of them"
    return [
        Case("STAT turnaround, p50", statistics.median(seconds), "s", allowed, note=note),
        Case("STAT turnaround, p99", percentile(seconds, 0.99), "s", allowed, note=note),
        Case("STAT deadlines met", float(met), "arrivals", {"arrivals": float(len(arrived))}),
    ]


def _stages(samples: list[Sample]) -> Iterator[Case]:
    """Yield the mean of each stage of the emergencies."""
    for stage in STAGES:
        wanted = {"stage": stage, "urgency": str(Urgency.STAT)}
        times = _sum(samples, "stage_seconds_count", wanted)
        if times:
            mean = _sum(samples, "stage_seconds_sum", wanted) / times
            yield Case(f"STAT stage {stage}, mean", mean, "s", note=f"{times:.0f} times")


def _preemption(samples: list[Sample]) -> Case:
    """Return the edge of the last bucket that anything fell into: waits were no longer."""
    times = _sum(samples, "preemption_seconds_count", {})
    edges = [
        float(sample.labels["le"])
        for sample in samples
        if sample.name == "preemption_seconds_bucket" and sample.value >= times
    ]
    mean = _sum(samples, "preemption_seconds_sum", {}) / times if times else 0.0
    note = f"edge of the histogram's bucket; {times:.0f} waits, mean {mean:.3f} s"
    return Case("preemption, longest at most", min(edges) if times else 0.0, "s", note=note)


def _sum(samples: list[Sample], name: str, labels: Mapping[str, str]) -> float:
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def _metrics(service: Service) -> str:
    with _OPENER.open(f"{service.web_url}/metrics", timeout=10) as answer:
        return str(answer.read().decode())
