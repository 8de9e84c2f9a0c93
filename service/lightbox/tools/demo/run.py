"""``lightbox demo``: the whole road on this machine, with real studies and a real archive.

ROUTINE studies go in first and their audits begin; then emergencies arrive, one after another,
while audits run. What is reported was found in the archive and in the ledger, not remembered.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lightbox.app.clock import SystemClock
from lightbox.deliver.association import Peer
from lightbox.domain.account import Account
from lightbox.domain.errors import UsageError
from lightbox.domain.jobs import JobPath
from lightbox.domain.standing import AuditState, StudyStanding
from lightbox.domain.urgency import Urgency
from lightbox.ledger.prove import Proof, prove
from lightbox.ledger.timeline import LedgerReader
from lightbox.tools.archive import Archive
from lightbox.tools.demo.data import MODEL, Study, studies_in
from lightbox.tools.orthanc import Orthanc
from lightbox.tools.orthanc import is_installed as orthanc_is_installed
from lightbox.tools.send import send
from lightbox.tools.service import Service

AUDITS = 3
"""Audits that the demo waits for at most; on a slow machine one has to do."""
_FAST_SECONDS = 60.0
_PATIENCE = 40.0  # of a person, from the first study sent
_FIRST_AUDIT_SECONDS = 150.0
_EVERY = 0.1

AnArchive = Orthanc | Archive


@dataclass(frozen=True, slots=True)
class Shown:
    """One study of the demo, as it ended.

    Attributes
    ----------
    stored : frozenset of str
        SOP Instance UIDs of its results that the archive holds.
    """

    name: str
    standing: StudyStanding
    stored: frozenset[str]


@dataclass(frozen=True, slots=True)
class Demo:
    """How the demo went."""

    studies: tuple[Shown, ...]
    proof: Proof
    problems: tuple[str, ...]
    archive: str
    start_seconds: float
    web_url: str = ""

    @property
    def ok(self) -> bool:
        """True when every study got its results in time and the ledger proves."""
        return not self.problems

    def stat_turnarounds(self) -> list[float]:
        """Seconds of each emergency, sorted."""
        return sorted(
            shown.standing.turnaround
            for shown in self.studies
            if shown.standing.urgency == Urgency.STAT and shown.standing.turnaround is not None
        )

    def stat_p95(self) -> float | None:
        """Return the 95th percentile of the emergencies' turnaround, seconds."""
        values = self.stat_turnarounds()
        if len(values) < 2:
            return values[0] if values else None
        return statistics.quantiles(values, n=20, method="inclusive")[-1]


def write_config(
    path: Path, data_dir: Path, archive: AnArchive, models: Path, model: str = MODEL
) -> None:
    """Write the demo's configuration: free ports, one destination, a short quiet period."""
    path.write_text(
        f"""\
data_dir = {json.dumps(str(data_dir))}

[storage]
reserve = "200MB"

[dicom]
port = 0

[web]
port = 0

[studies]
quiet_period = "2s"  # the demo's senders are done when they are done; 10 s is for real ones

[models]
path = {json.dumps(str(models))}
enabled = [{json.dumps(model)}]

[[destinations]]
name = "archive"
ae_title = {json.dumps(archive.ae_title)}
host = "127.0.0.1"
port = {archive.dicom_port}
"""
    )


@contextlib.contextmanager
def an_archive(folder: Path) -> Iterator[AnArchive]:
    """Start Orthanc if it is installed, else a small archive of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    archive: AnArchive = Orthanc(folder) if orthanc_is_installed() else Archive(folder)
    with archive:
        yield archive


def run(
    *,
    data: Sequence[Path],
    folder: Path,
    models: Path,
    model: str = MODEL,
    say: Callable[[str], None],
    keep: Callable[[Demo], None] | None = None,
) -> Demo:
    """Run the demo.

    Parameters
    ----------
    data : sequence of Path
        DICOM files or folders.
    folder : Path
        Empty or new; holds archive, data directory, configuration and log.
    models : Path
        Folder of model packages.
    model : str
        Which of them is run.
    say : callable
        Gets one line about each step.
    keep : callable or None
        Called while everything still runs; it returns when that may end.

    Raises
    ------
    UsageError
        If there is nothing to send.
    """
    studies = studies_in(data)
    if not studies:
        raise UsageError("demo", "no DICOM study was found in the data", "name one with --data")
    clock = SystemClock()
    with an_archive(folder / "archive") as archive:
        say(f"archive: {type(archive).__name__} on port {archive.dicom_port}")
        config = folder / "lightbox.toml"
        write_config(config, folder / "data", archive, models, model)
        started = clock.monotonic()
        with Service(config, folder / "service.log") as service:
            ready = clock.monotonic() - started
            say(f"lightbox: ready after {ready:.1f} s, {service.web_url}")
            watch = Watch(folder / "data" / "ledger", archive, clock)
            problems = _forward(studies, service, watch, say)
            demo = watch.report(studies, problems, ready, service.web_url)
            if keep is not None:
                keep(demo)
    proof = prove(folder / "data" / "ledger", ("archive",))
    if not proof.ok:
        problems.extend(proof.problems)
    return Demo(
        demo.studies, proof, tuple(problems), demo.archive, demo.start_seconds, demo.web_url
    )


def _forward(
    studies: Sequence[Study], service: Service, watch: Watch, say: Callable[[str], None]
) -> list[str]:
    """Send the first half as ROUTINE; when an audit runs, the rest as emergencies, one by one."""
    problems: list[str] = []
    half = len(studies) // 2
    routine, urgent = studies[:half], studies[half:]
    say(f"sending {len(routine)} routine studies")
    for study in routine:
        problems += _send(study, service, "LIGHTBOX")
    watch.wait(lambda account: any(_audited(account, AuditState.RUNNING)), _FAST_SECONDS)
    say(f"an audit is running; sending {len(urgent)} emergencies, one after another")
    for study in urgent:
        problems += _send(study, service, "LIGHTBOX_STAT")
        done = partial(_is_done, study_instance_uid=study.study_instance_uid)
        watch.wait(done, 10.0)
    everyone = [study.study_instance_uid for study in studies]
    if not watch.wait(lambda a: all(_is_done(a, uid) for uid in everyone), _FAST_SECONDS):
        problems.append(f"not every study had its fast results after {_FAST_SECONDS:.0f} s")
    wanted = min(AUDITS, len(studies))
    say(f"all fast results are in the archive; waiting for up to {wanted} audits")
    if not watch.wait(lambda a: any(_audited(a, AuditState.DONE)), _FIRST_AUDIT_SECONDS):
        problems.append(f"no audit was done after {_FIRST_AUDIT_SECONDS:.0f} s")
    left = max(0.0, _PATIENCE - watch.seconds())
    watch.wait(lambda a: sum(_audited(a, AuditState.DONE)) >= wanted, left)
    return problems


def _send(study: Study, service: Service, called: str) -> list[str]:
    peer = Peer("lightbox", called, "127.0.0.1", service.dicom_port, "DEMO_PACS")
    report = send(study.files, peer)
    return [] if report.ok else [f"{study.name}: not every instance was accepted"]


def _is_done(account: Account, study_instance_uid: str) -> bool:
    return account.study(study_instance_uid).turnaround is not None


def _audited(account: Account, state: AuditState) -> Iterator[bool]:
    """Say of each study whether its audit is in this state; done means stored, too."""
    for standing in account.studies():
        stored = all(r.is_stored for r in standing.results if r.path is JobPath.AUDIT)
        yield standing.audit.state is state and (state is not AuditState.DONE or stored)


class Watch:
    """Follows the ledger beside the running service and asks the archive what it holds."""

    def __init__(self, ledger: Path, archive: AnArchive, clock: SystemClock) -> None:
        self._folder = ledger
        self._reader = LedgerReader(ledger)
        self._archive = archive
        self._clock = clock
        self._account = Account(("archive",))
        self._nap = threading.Event()
        self._began = clock.monotonic()

    def seconds(self) -> float:
        """Return how long the demo has been watched."""
        return self._clock.monotonic() - self._began

    def wait(self, done: Callable[[Account], bool], seconds: float) -> bool:
        """Wait until the ledger says so, at most so long; return whether it did."""
        give_up = self._clock.monotonic() + seconds
        while self._clock.monotonic() < give_up:
            for recorded in self._reader.since(self._account.positions):
                self._account.apply(recorded)
            if done(self._account):
                return True
            self._nap.wait(_EVERY)
        return False

    def report(
        self, studies: Sequence[Study], problems: list[str], ready: float, web_url: str
    ) -> Demo:
        """Compare what the ledger says with what the archive holds."""
        self.wait(lambda _: True, 1.0)
        held = {stored.sop_instance_uid for stored in self._archive.instances()}
        shown = []
        for study in studies:
            standing = self._account.study(study.study_instance_uid)
            uids = frozenset(r.result.sop_instance_uid for r in standing.results if r.is_stored)
            if missing := uids - held:
                problems.append(f"{study.name}: {len(missing)} results are not in the archive")
            if standing.is_met is not True:
                problems.append(f"{study.name}: {_why_not_met(standing)}")
            shown.append(Shown(study.name, standing, uids & held))
        proof = prove(self._folder, ("archive",))
        return Demo(
            tuple(shown), proof, tuple(problems), type(self._archive).__name__, ready, web_url
        )


def _why_not_met(standing: StudyStanding) -> str:
    for instance in standing.instances:
        if instance.verdict.reason:
            return f"{instance.verdict.reason}: {instance.verdict.detail}"
    if standing.turnaround is None:
        return "no result"
    return f"its results came after {standing.turnaround:.1f} s, past the deadline"
