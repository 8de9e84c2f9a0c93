"""Faults inside and on the way out: a killed worker, a PACS that is away, a PACS that forgets."""

from __future__ import annotations

import re
import urllib.request
from itertools import pairwise

from lightbox.domain.commitment import CommitmentFailed, Committed
from lightbox.domain.events import (
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    JobStarted,
    ResultsWritten,
)
from lightbox.tools.drill.finding import Seen
from lightbox.tools.drill.sandbox import Sandbox

_DOWN_SECONDS = 6.0
_STUDIES = 4
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def killed_worker(at: Sandbox) -> Seen:
    """F20: ``kill -9`` of the worker while it works."""
    studies = at.studies(_STUDIES)
    uids = tuple(study.uid for study in studies)
    at.send(file for study in studies for file in study.files)
    at.until(lambda: bool(at.events(JobStarted, *uids)))
    was_there = at.kill("work")
    killed = at.clock.now()
    before = sum(len(written.results) for written in at.events(ResultsWritten, *uids))
    is_done = at.until(lambda: at.is_delivered(*uids))
    seconds = max((at_ - killed for at_ in at.at(Delivered, *uids)), default=0.0)
    came = at.pacs.of(*uids)
    doubled = len(came) - len(set(came))
    written = sum(len(each.results) for each in at.events(ResultsWritten, *uids))
    return Seen(
        f"worker killed with {before} of {written} objects written; all in the PACS "
        f"{seconds:.1f} s later, {len(came)} objects, {doubled} twice",
        passed=was_there and is_done and before < written == len(set(came)) and doubled == 0,
        figures={"seconds_to_finish": seconds, "objects": len(came), "published_twice": doubled},
    )


def pacs_away(at: Sandbox) -> Seen:
    """F28: the PACS is away while results are made; nobody lends a hand."""
    studies = at.studies(_STUDIES)
    uids = tuple(study.uid for study in studies)
    with at.pacs.down():
        at.send(file for study in studies for file in study.files)
        at.until(lambda: len(at.events(ResultsWritten, *uids)) >= len(uids))
        at.until(lambda: bool(at.events(DeliveryDelayed, *uids)))
        at.until(lambda: False, _DOWN_SECONDS)
        early = len(at.events(Delivered, *uids))
    back = at.clock.monotonic()
    is_done = at.until(lambda: at.is_delivered(*uids))
    seconds = at.clock.monotonic() - back
    wanted = sum(len(written.results) for written in at.events(ResultsWritten, *uids))
    came = at.pacs.of(*uids)
    ordered = all(_is_in_order(at, uid) for uid in uids)
    tries = len(at.events(DeliveryDelayed, *uids))
    return Seen(
        f"{wanted} objects waited, {tries} tries were counted and {early} succeeded meanwhile; "
        f"{len(set(came))} arrived within {seconds:.1f} s of its return, {len(came) - len(set(came))} "
        f"twice, {'in' if ordered else 'not in'} the order of each study",
        passed=is_done
        and tries > 0
        and early == 0
        and ordered
        and wanted == len(came) == len(set(came)),
        figures={"objects": wanted, "arrived": len(set(came)), "tries": tries, "seconds": seconds},
    )


def pacs_forgets(at: Sandbox) -> Seen:
    """F30: the PACS acknowledges and loses, once and for ever; and once it promises nothing."""
    once, never, silent = at.studies(3)
    at.pacs.lose(once.uid, 1)
    at.pacs.lose(never.uid, 1_000_000)
    at.pacs.be_silent(silent.uid, 1)
    for study in (once, never, silent):
        at.send(study.files)
    healed = at.until(lambda: _committed(at, once.uid) and _committed(at, silent.uid))
    given_up = sum(len(written.results) for written in at.events(ResultsWritten, never.uid))
    at.until(lambda: len(at.events(DeadLettered, never.uid)) >= given_up)
    at.until(lambda: _dead_letters(at) >= given_up)  # control reads the ledger, too
    shown = _dead_letters(at)
    lost = len(at.events(CommitmentFailed, once.uid, never.uid))
    again = sum(event.again > 0 for event in at.events(Delivered, once.uid, never.uid, silent.uid))
    kept = all(at.pacs.keeps(uid) for uid in at.pacs.of(once.uid, silent.uid))
    return Seen(
        f"{lost} losses reported, {again} objects stored again; "
        f"{'all' if healed and kept else 'not all'} that it could keep are promised; "
        f"{shown} of {given_up} objects of the study that it never kept are shown as an alarm",
        passed=healed and kept and shown >= given_up > 0 and again > 0,
        figures={"losses": lost, "stored_again": again, "alarms": shown},
    )


def _committed(at: Sandbox, study: str) -> bool:
    wanted = {r.sop_instance_uid for w in at.events(ResultsWritten, study) for r in w.results}
    return bool(wanted) and wanted == {e.sop_instance_uid for e in at.events(Committed, study)}


def _is_in_order(at: Sandbox, study: str) -> bool:
    """Say whether a study's objects arrived in the order in which they were written."""
    written = [
        result.sop_instance_uid
        for each in at.events(ResultsWritten, study)
        for result in each.results
    ]
    places = [written.index(uid) for uid in at.pacs.of(study) if uid in written]
    return all(one < other for one, other in pairwise(places))


def _dead_letters(at: Sandbox) -> int:
    """Return what Prometheus would read."""
    with _OPENER.open(f"{at.service.web_url.rstrip('/')}/metrics", timeout=10) as answer:
        found = re.search(r"^lightbox_dead_letters (\S+)$", answer.read().decode(), re.MULTILINE)
    return int(float(found[1])) if found else 0
