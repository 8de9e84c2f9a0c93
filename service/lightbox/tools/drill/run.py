"""A drill from its first fault to its report."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightbox.domain.errors import LightboxError
from lightbox.ledger.prove import Proof
from lightbox.settings import Loaded
from lightbox.tools.drill.faults_in import bit_rot, lost_answer, stop_under_load
from lightbox.tools.drill.faults_out import killed_worker, pacs_away, pacs_forgets
from lightbox.tools.drill.finding import Finding, Seen
from lightbox.tools.drill.sandbox import Sandbox
from lightbox.version import __version__


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: its number in the fault matrix, what is done, what must come of it."""

    number: str
    name: str
    did: str
    expected: str
    inject: Callable[[Sandbox], Seen]


FAULTS = (
    Fault(
        "F7", "A disk that changes what it holds",
        "One bit of three stored images was flipped after their sender was told that they are "
        "stored, and before they were analysed.",
        "Each damage is detected before use; the image is listed with the reason; no result.",
        bit_rot,
    ),
    Fault(
        "F12", "An answer that is lost",
        "The answer to a C-STORE was swallowed on the wire; the sender sent the image again.",
        "Success is answered again; one stored image, one job, one result.",
        lost_answer,
    ),
    Fault(
        "F20", "A worker that is killed",
        "The process that analyses was killed (SIGKILL) in the middle of its work.",
        "It is started again and finishes; no result comes twice.",
        killed_worker,
    ),
    Fault(
        "F28", "A PACS that is away",
        "The PACS was switched off while results were made, and on again.",
        "Results wait, in order; all arrive once, without anyone's hand.",
        pacs_away,
    ),
    Fault(
        "F30", "A PACS that forgets",
        "The PACS acknowledged results and lost them: those of one study once, those of another "
        "each time; for those of a third study it sent no promise at first.",
        "What is lost or not promised is stored again; what cannot be kept becomes an alarm.",
        pacs_forgets,
    ),
    Fault(
        "F33", "A stop under load",
        "The service was told to stop (SIGTERM) while eight senders were sending, and started "
        "again.",
        "Exit code 0 within 30 s; every acknowledged image is stored, none is stored without an "
        "answer; all work goes on after the start.",
        stop_under_load,
    ),
)  # fmt: skip
"""In the order in which they are held; the stop is last."""


@dataclass(frozen=True, slots=True)
class Drill:
    """How a drill went.

    Attributes
    ----------
    at : float
        When it began, seconds since 1970.
    by : str
        Who held it.
    config : mapping of str to str
        File and SHA-256 of the configuration.
    models : mapping of str to str
        Version and first digits of the weights' hash, by name.
    """

    at: float
    seconds: float
    by: str
    host: Mapping[str, str]
    config: Mapping[str, str]
    models: Mapping[str, str]
    findings: tuple[Finding, ...]
    proof: Proof

    @property
    def passed(self) -> bool:
        """True when every fault did what was expected and the sandbox's ledger proves."""
        return self.proof.ok and all(finding.seen.passed for finding in self.findings)

    @property
    def verdict(self) -> str:
        """One word, and what failed, or to which faults it was limited."""
        failed = [finding.fault for finding in self.findings if not finding.seen.passed]
        failed += [] if self.proof.ok else ["ledger"]
        if failed:
            return f"failed: {', '.join(failed)}"
        held = [finding.fault for finding in self.findings]
        return "passed" if len(held) == len(FAULTS) else f"passed: {', '.join(held)} only"

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "verdict": self.verdict,
            "passed": self.passed,
            "version": __version__,
            "at": datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "by": self.by,
            "host": dict(self.host),
            "configuration": dict(self.config),
            "models": dict(self.models),
            "faults": [
                {
                    **asdict(finding),
                    "verdict": finding.verdict,
                    "seconds": round(finding.seconds, 1),
                }
                for finding in self.findings
            ],
            "ledger": {
                "ok": self.proof.ok,
                "rows": self.proof.rows,
                "accepted": self.proof.accepted,
                "delivered": self.proof.delivered,
                "listed": self.proof.listed,
                "in_progress": self.proof.in_progress,
                "problems": list(self.proof.problems),
            },
        }


def hold(
    loaded: Loaded, by: str, tell: Callable[[str, Finding | None], None], only: Collection[str] = ()
) -> Drill:
    """Hold a drill.

    Parameters
    ----------
    by : str
        Who holds it.
    tell : callable (fault's name, Finding or None) → None
        Called before each fault, and after it with what was seen.
    only : collection of str
        Numbers of faults; empty: all.

    Raises
    ------
    LightboxError
        If the system does not even start in the sandbox.
    """
    chosen = [fault for fault in FAULTS if not only or fault.number in only]
    tell("start the system in a sandbox", None)
    with Sandbox(loaded.settings) as at:
        began, since = at.clock.now(), at.clock.monotonic()
        findings = []
        for fault in chosen:
            tell(f"{fault.number} {fault.name}", None)
            findings.append(_one(fault, at))
            tell(f"{fault.number} {fault.name}", findings[-1])
        at.service.stop()
        proof = at.prove()
        seconds = at.clock.monotonic() - since
        models = at.models()
    return Drill(began, seconds, by, host(), configuration(loaded), models, tuple(findings), proof)


def _one(fault: Fault, at: Sandbox) -> Finding:
    began = at.clock.monotonic()
    try:
        seen = fault.inject(at)
    except (LightboxError, OSError, ValueError) as error:
        seen = Seen(f"the drill could not go on: {error}", passed=False)
    seconds = at.clock.monotonic() - began
    return Finding(fault.number, fault.name, fault.did, fault.expected, seen, seconds)


def host() -> dict[str, str]:
    """Say on what machine it was held."""
    return {
        "name": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }


def configuration(loaded: Loaded) -> dict[str, str]:
    """Say which configuration was in force: the file's hash, and that of all that it comes to."""
    effective = json.dumps(json.loads(loaded.settings.model_dump_json()), sort_keys=True)
    said = {"effective_sha256": hashlib.sha256(effective.encode()).hexdigest()}
    if loaded.file:
        said["file"] = str(Path(loaded.file).resolve())
        said["file_sha256"] = hashlib.sha256(Path(loaded.file).read_bytes()).hexdigest()
    return said
