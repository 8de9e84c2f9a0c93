"""``lightbox bench turnaround``: a day of a hospital through the whole service, audits in its way.

Three contestants meet the same arrivals, one after another, each with a service and an archive of
its own: ours; ours with audits that cannot be interrupted; and everybody in order of arrival, as
where one queue serves all. What is reported is the ledger's (last byte received to stored in the
archive), and the device's seconds are those of ``/metrics``.
"""

from __future__ import annotations

import re
import statistics
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from lightbox.app.clock import SystemClock
from lightbox.domain.errors import UsageError
from lightbox.domain.jobs import JobPath
from lightbox.domain.urgency import Urgency
from lightbox.ledger.timeline import LedgerReader
from lightbox.tools.bench.load import CALLING, Arrival, forward, moments, send_one, studies_of
from lightbox.tools.bench.report import OURS, Case, percentile
from lightbox.tools.bench.tally import STAGES, JobTimes, Tally
from lightbox.tools.demo.data import Study, sample_folders, studies_in
from lightbox.tools.demo.run import an_archive, write_config
from lightbox.tools.service import Service

DEADLINE = "deadline"
WHOLE_AUDITS = "without preemption"
FIRST_COME = "first come, first served"
_HIGH = f'[[rules]]\nname = "bench"\nwhen = {{ calling_ae = "^{CALLING[Urgency.HIGH]}$" }}\nurgency = "HIGH"\n'
_ALL_ALIKE = '[[rules]]\nname = "bench"\nwhen = { called_ae = "." }\nurgency = "ROUTINE"\n'
_WHOLE = "[audit]\nchunk = 1000000\n"
CONTESTANTS: Mapping[str, str] = {
    OURS: _HIGH,
    WHOLE_AUDITS: _WHOLE + _HIGH,
    FIRST_COME: _WHOLE + "min_share = 1.0\n" + _ALL_ALIKE,
}
"""Name → what its configuration says beyond that of the others."""
_FAST = (Urgency.STAT, Urgency.HIGH, Urgency.ROUTINE)
_BACKLOG_SECONDS = 120.0
_LAST_SECONDS = 60.0
"""After the last arrival; what is not in the archive then counts with the time so far."""
_GLANCE = 0.5
_SAMPLE = re.compile(r"^lightbox_(?P<name>\w+?)(\{(?P<labels>.*)\})? (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_DELIVER_GOAL = 0.15
"""Seconds from written to stored in the archive, all results of a study."""
_MEANT = {"encode": "; objects made, looked at by dciodvfy where it is installed, synced, recorded"}
"""What a stage holds that its name does not say."""


@dataclass(frozen=True, slots=True)
class TurnaroundPlan:
    """How much is measured.

    Attributes
    ----------
    minutes, peer_minutes : float
        Length of our day and of the others', who wait long in it; 0: without them.
    per_minute : mapping
        Mean arrivals of each urgency.
    backlog : int
        Routine studies sent first, whose audits are in the way from the first moment on.
    seed : int
        Of the arrivals.
    """

    minutes: float = 0.5
    peer_minutes: float = 0.5
    per_minute: Mapping[Urgency, float] = field(
        default_factory=lambda: {Urgency.STAT: 6.0, Urgency.HIGH: 6.0, Urgency.ROUTINE: 12.0}
    )
    backlog: int = 8
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of ``/metrics``, the prefix of its name left out."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Day:
    """How a contestant's day went.

    Attributes
    ----------
    jobs : mapping of Urgency to sequence of JobTimes
        Fast jobs of the arrivals, in the urgency that their sender asked for.
    sent : mapping of Urgency to int
        How many arrivals there were: one that never became a job is a deadline missed, too.
    idle_seconds, audit_seconds : float
        Of the day: time in which no fast job had the device, and time in which an audit had it.
    audits_waiting : int
        At the end.
    """

    jobs: Mapping[Urgency, Sequence[JobTimes]]
    until: float
    idle_seconds: float
    audit_seconds: float
    audits_waiting: int
    metrics: Sequence[Sample]
    sent: Mapping[Urgency, int]

    def met(self, urgency: Urgency, like: JobTimes) -> float:
        """Return the share of what was sent that was in the archive in time."""
        met = sum(_is_met(times, like) for times in self.jobs[urgency])
        return met / self.sent[urgency]

    def turnarounds(self, urgency: Urgency) -> list[float]:
        """Return the seconds of every study that was asked for like this."""
        return [times.turnaround(self.until) for times in self.jobs[urgency]]

    def missing(self) -> int:
        """Return how many studies have not come to the archive."""
        there = sum(bool(times.ended) for jobs in self.jobs.values() for times in jobs)
        return sum(self.sent.values()) - there


def bench_turnaround(
    models: Path, plan: TurnaroundPlan, say: Callable[[str], None] = lambda _: None
) -> list[Case]:
    """Measure.

    Parameters
    ----------
    models : Path
        Folder of model packages; studies are made of their samples.
    say : callable
        Gets a line about each contestant.

    Raises
    ------
    UsageError
        If there are no samples, or a study is not accepted.
    """
    sources = studies_in(sample_folders(models))
    if not sources:
        raise UsageError(f"models {models}", "hold no samples", "name [models] path")
    days: dict[str, Day] = {}
    for name, extra in CONTESTANTS.items():
        minutes = plan.minutes if name == OURS else plan.peer_minutes
        if minutes > 0:
            say(f"{name}: {minutes:g} minutes")
            with TemporaryDirectory(prefix="lightbox-bench-") as made:
                days[name] = _day(Path(made), models, sources, extra, plan, 60.0 * minutes)
    return list(_cases(days))


def parsed(text: str) -> Iterator[Sample]:
    """Yield our samples of a text in the exposition format of Prometheus."""
    for line in text.splitlines():
        if found := _SAMPLE.match(line):
            labels = dict(_LABEL.findall(found["labels"] or ""))
            yield Sample(found["name"], labels, float(found["value"]))


def _day(
    folder: Path,
    models: Path,
    sources: Sequence[Study],
    extra: str,
    plan: TurnaroundPlan,
    seconds: float,
) -> Day:
    clock = SystemClock()
    studies = studies_of(sources, folder / "studies", plan.seed)
    backlog = list(islice(studies, plan.backlog))
    when = moments(plan.per_minute, seconds, plan.seed)
    arrivals = [Arrival(at, urgency, *next(studies)) for at, urgency in when]
    with an_archive(folder / "archive") as archive:
        config = folder / "lightbox.toml"
        write_config(config, folder / "data", archive, models)
        config.write_text(config.read_text(encoding="utf-8") + extra, encoding="utf-8")
        with Service(config, folder / "service.log") as service:
            watch = _Watch(folder / "data" / "ledger", clock)
            for file, _ in backlog:
                send_one(file, Urgency.ROUTINE, service.dicom_port)
            if backlog and not watch.wait(_audit_runs, _BACKLOG_SECONDS):
                raise UsageError("backlog", "has no audit under way in time", "send fewer")
            before, began = _metrics(service), clock.now()
            forward(arrivals, service.dicom_port, clock)
            ended, after = clock.now(), _metrics(service)
            watch.wait(_all_arrived(arrivals), _LAST_SECONDS)
            tally, last = watch.tally, _metrics(service)
            until = clock.now()
    by_study = {t.job.study_instance_uid: t for t in tally.of(JobPath.FAST)}
    asked: dict[Urgency, list[JobTimes]] = {urgency: [] for urgency in _FAST}
    for arrival in arrivals:
        if arrival.study_instance_uid in by_study:
            asked[arrival.urgency].append(by_study[arrival.study_instance_uid])
    held = {
        path: _sum(after, "device_seconds_total", {"path": path})
        - _sum(before, "device_seconds_total", {"path": path})
        for path in JobPath
    }
    return Day(
        asked,
        until,
        ended - began - held[JobPath.FAST],
        held[JobPath.AUDIT],
        int(_sum(last, "jobs_waiting", {"urgency": str(Urgency.AUDIT)})),
        last,
        Counter(arrival.urgency for arrival in arrivals),
    )


class _Watch:
    """Follows the ledger beside the service, seldom enough to take no part in what is measured."""

    def __init__(self, ledger: Path, clock: SystemClock) -> None:
        self._reader = LedgerReader(ledger)
        self._clock = clock
        self._nap = threading.Event()
        self.tally = Tally()

    def wait(self, done: Callable[[Tally], bool], seconds: float) -> bool:
        give_up = self._clock.monotonic() + seconds
        while True:
            self.tally.take(self._reader.since(self.tally.positions))
            if done(self.tally) or self._clock.monotonic() >= give_up:
                return done(self.tally)
            self._nap.wait(_GLANCE)


def _audit_runs(tally: Tally) -> bool:
    return any(times.started and not times.attributed for times in tally.of(JobPath.AUDIT))


def _all_arrived(arrivals: Sequence[Arrival]) -> Callable[[Tally], bool]:
    wanted = {arrival.study_instance_uid for arrival in arrivals}

    def all_arrived(tally: Tally) -> bool:
        return wanted <= {t.job.study_instance_uid for t in tally.of(JobPath.FAST) if t.ended}

    return all_arrived


def _cases(days: Mapping[str, Day]) -> Iterator[Case]:
    ours = days[OURS]
    for urgency in _FAST:
        if not ours.jobs[urgency]:
            continue
        note = _note(days, urgency)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            found = {
                who: percentile(day.turnarounds(urgency), share)
                for who, day in days.items()
                if day.jobs[urgency]
            }
            job = ours.jobs[urgency][0].job
            peers = {DEADLINE: job.deadline - job.received_at, **found}
            del peers[OURS]
            yield Case(f"{urgency} turnaround, {name}", found[OURS], "s", peers, note=note)
        met = {
            who: day.met(urgency, ours.jobs[urgency][0])
            for who, day in days.items()
            if day.sent[urgency]
        }
        yield Case(f"{urgency} deadlines met", met.pop(OURS), "share", met, note=note)
    yield _preemption(ours.metrics)
    yield _given_to_audits(ours)
    yield from _stages(ours)


def _is_met(times: JobTimes, like: JobTimes) -> bool:
    """Judge by the deadline of the urgency that was asked for, which a contestant may ignore."""
    allowed = like.job.deadline - like.job.received_at
    return 0.0 < times.ended <= times.job.received_at + allowed


def _note(days: Mapping[str, Day], urgency: Urgency) -> str:
    arrivals = ", ".join(f"{who} {day.sent[urgency]}" for who, day in days.items())
    late = {who: day.missing() for who, day in days.items() if day.missing()}
    open_still = ", ".join(f"{who} {count}" for who, count in late.items())
    tail = f"; not there at the end (missed, with the time so far): {open_still}" if late else ""
    return f"arrivals: {arrivals}{tail}"


def _given_to_audits(day: Day) -> Case:
    share = day.audit_seconds / day.idle_seconds if day.idle_seconds > 0 else 0.0
    note = (
        f"{day.audit_seconds:.1f} s of {day.idle_seconds:.1f} s in which no fast job had the device; "
        f"{day.audits_waiting} audits wait at the end"
    )
    return Case("idle time given to audits", share, "share", {"goal": 0.8}, note=note)


def _stages(day: Day) -> Iterator[Case]:
    """Yield each stage of the emergencies, and what placing and starting a job costs."""
    done = [times for times in day.jobs[Urgency.STAT] if times.ended]
    if not done:
        return
    # Emergencies have a line of their own: they wait for no slot, so this is what it costs.
    waits = [times.stages()["wait"] for times in day.jobs[Urgency.STAT] if times.started]
    note = f"placed to started, {len(waits)} jobs; p99 {percentile(waits, 0.99):.3f} s"
    yield Case("scheduling overhead, p50", statistics.median(waits), "s", {"goal": 0.05}, note=note)
    for stage in STAGES:
        seconds = [times.stages()[stage] for times in done]
        note = f"p99 {percentile(seconds, 0.99):.3f} s{_MEANT.get(stage, '')}"
        goal = {"goal": _DELIVER_GOAL} if stage == "deliver" else {}
        yield Case(f"STAT stage {stage}, p50", statistics.median(seconds), "s", goal, note=note)


def _preemption(samples: Sequence[Sample]) -> Case:
    """Return the edge of the last bucket that anything fell into: waits were no longer."""
    times = _sum(samples, "preemption_seconds_count", {})
    edges = [
        float(sample.labels["le"])
        for sample in samples
        if sample.name == "preemption_seconds_bucket" and sample.value >= times
    ]
    mean = _sum(samples, "preemption_seconds_sum", {}) / times if times else 0.0
    bound = max((s.value for s in samples if s.name == "preemption_bound_seconds"), default=0.0)
    note = f"edge of the histogram's bucket; {times:.0f} waits, mean {mean:.3f} s"
    longest = min(edges) if times else 0.0
    return Case("preemption, longest at most", longest, "s", {"bound": bound}, note=note)


def _sum(samples: Sequence[Sample], name: str, labels: Mapping[str, str]) -> float:
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def _metrics(service: Service) -> Sequence[Sample]:
    with _OPENER.open(f"{service.web_url}/metrics", timeout=10) as answer:
        return list(parsed(answer.read().decode()))
