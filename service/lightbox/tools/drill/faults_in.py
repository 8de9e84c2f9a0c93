"""Faults on the way in: a damaged disk, a lost answer, a stop in the middle of everything."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lightbox.app.doorbell import ring
from lightbox.app.operate.switch import Flag, Switch
from lightbox.domain.events import InstanceListed, InstanceStored, JobFailed, JobPlaced
from lightbox.domain.jobs import JobPath
from lightbox.domain.operations import ALL
from lightbox.domain.result import ListedReason
from lightbox.storage.files import Files
from lightbox.tools.drill.finding import Seen
from lightbox.tools.drill.sandbox import Sandbox
from lightbox.tools.drill.wire import LostAnswer
from lightbox.tools.send import Report

_SENDERS = 8
_EACH = 40
_UNDER_WAY = 3 * _SENDERS
_STOP_SECONDS = 30.0


def bit_rot(at: Sandbox) -> Seen:
    """F7: flip one bit of each image after it was acknowledged, before it is analysed."""
    studies = at.studies(3)
    uids = tuple(study.uid for study in studies)
    switch = Switch(at.data, Files())
    flag = Flag(ALL, "drill", at.clock.now())
    switch.stop(flag)
    ring(at.data, "control")
    acknowledged = at.send(file for study in studies for file in study.files).stored
    at.until(lambda: len(at.stored(*uids)) == len(studies))
    for event in at.events(InstanceStored, *uids):
        _flip(at.data / event.instance.path)
    switch.resume(flag)
    ring(at.data, "control")
    resumed = at.clock.monotonic()

    def detected() -> int:
        listed = at.events(InstanceListed, *uids) + at.events(JobFailed, *uids)
        return sum(event.reason is ListedReason.UNREADABLE for event in listed)

    at.until(lambda: detected() == len(studies))
    seconds = at.clock.monotonic() - resumed
    sent = len(at.pacs.of(*uids))
    return Seen(
        f"{acknowledged} acknowledged, {detected()} of {len(studies)} damages detected within "
        f"{seconds:.1f} s, {sent} results sent",
        passed=detected() == acknowledged == len(studies) and sent == 0,
        figures={"detected": detected(), "of": len(studies), "results": sent, "seconds": seconds},
    )


def lost_answer(at: Sandbox) -> Seen:
    """F12: the sender does not hear that its image is stored, and sends it again."""
    (study,) = at.studies(1)
    with LostAnswer(at.dicom_port) as wire:
        first = at.send(study.files, wire.port)
    again = at.send(study.files)
    at.until(lambda: at.is_delivered(study.uid))
    stored = len(at.events(InstanceStored, study.uid))
    jobs = sum(each.job.path is JobPath.FAST for each in at.events(JobPlaced, study.uid))
    came = at.pacs.of(study.uid)
    doubled = len(came) - len(set(came))
    return Seen(
        f"answers swallowed: {wire.swallowed} (the sender counted {first.stored} as stored); sent "
        f"again: {again.stored} of {len(again.files)} with success; stored: {stored}, fast jobs: "
        f"{jobs}, objects in the PACS: {len(set(came))}, twice: {doubled}",
        passed=jobs == 1
        and wire.swallowed > 0
        and first.stored == 0
        and again.ok
        and stored == 1
        and bool(came)
        and doubled == 0,
        figures={"swallowed": wire.swallowed, "stored": stored, "duplicate_results": doubled},
    )


def stop_under_load(at: Sandbox) -> Seen:
    """F33: SIGTERM while eight senders are in the middle of their images; then a new start."""
    studies = at.studies(_SENDERS)
    lists = [(*study.files, *at.strangers(_EACH)) for study in studies]
    before = len(at.rows)

    def arrived() -> int:
        return sum(isinstance(row.event, InstanceStored) for row in at.rows[before:])

    with ThreadPoolExecutor(_SENDERS) as senders:
        sending = [senders.submit(at.send, files) for files in lists]
        at.until(lambda: arrived() >= _UNDER_WAY)
        began = at.clock.monotonic()
        code = at.service.stop()
        seconds = at.clock.monotonic() - began
        reports = [each.result() for each in sending]
    at.until(lambda: False, 0.0)
    told = _told(reports)
    kept = {
        row.event.instance.sop_instance_uid
        for row in at.rows[before:]
        if isinstance(row.event, InstanceStored)
    }
    at.start()
    uids = [study.uid for study in studies if at.stored(study.uid)]
    is_resumed = at.until(lambda: at.is_delivered(*uids))
    offered = sum(len(files) for files in lists)
    return Seen(
        f"stopped with exit code {code} in {seconds:.1f} s, {len(told)} of {offered} images were "
        f"acknowledged by then; {len(told - kept)} of them are missing, {len(kept - told)} were "
        f"stored without an answer; after the start {len(uids)} studies "
        f"{'have all' if is_resumed else 'do not all have'} their results",
        passed=code == 0
        and seconds <= _STOP_SECONDS
        and told == kept
        and 0 < len(told) < offered
        and is_resumed,
        figures={
            "seconds": seconds, "acknowledged": len(told), "offered": offered,
            "lost": len(told - kept), "stored_without_answer": len(kept - told),
        },
    )  # fmt: skip


def _told(reports: list[Report]) -> set[str]:
    return {sent.sop_instance_uid for report in reports for sent in report.files if sent.stored}


def _flip(path: Path) -> None:
    """Change one bit near the end of a file: in its pixels."""
    with path.open("r+b") as file:
        file.seek(-1000, 2)
        byte = file.read(1)[0] ^ 1
        file.seek(-1, 1)
        file.write(bytes([byte]))
