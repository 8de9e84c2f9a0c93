"""Webhooks against a real HTTP server that believes nothing, refuses, is slow, or hangs up."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from builders import (
    NOON,
    a_job,
    a_predicted,
    a_stored,
    a_written,
    an_attribution_record,
    an_instance,
)
from fakes.clock import FakeClock
from fakes.ledger import FakeLedger
from lightbox.app.webhooks import Webhooks
from lightbox.deliver.webhooks.call import Call
from lightbox.domain.account import Account
from lightbox.domain.events import (
    Attributed,
    DeadLettered,
    Delivered,
    DeliveryDelayed,
    Event,
    InstanceListed,
    JobFailed,
    JobPlaced,
)
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.result import ListedReason
from lightbox.domain.webhooks import (
    NotificationDelayed,
    NotificationDropped,
    NotificationSent,
    WebhookKnown,
)
from lightbox.settings import WebhookSettings

SECRET = "0123456789abcdef-shared"
INSTANCE = an_instance()
JOB = a_job(INSTANCE)
UID = a_written(JOB).results[0].sop_instance_uid
STUDY = JOB.study_instance_uid


@dataclass(frozen=True)
class Heard:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Receiver:
    """A program that is told things; answers what a test wants, after what wait it wants."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.codes: list[int] = []
        self.hold = threading.Event()
        self.hold.set()
        self.arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver.arrived:
                    receiver.heard.append(Heard(self.path, dict(self.headers.items()), body))
                    receiver.arrived.notify_all()
                receiver.hold.wait(20)
                code = receiver.codes.pop(0) if receiver.codes else 204
                self.send_response(code)
                if code in {301, 302, 307}:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait_for(self, count: int, seconds: float = 10.0) -> list[Heard]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.heard) >= count, seconds), self.heard
        return self.heard

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


class Site:
    """A ledger, its account and the webhooks that follow it, without threads but theirs."""

    def __init__(self, receiver: Receiver, ledger: FakeLedger | None = None, **more: Any) -> None:
        self.clock = FakeClock(NOON + 1)
        self.ledger = ledger or FakeLedger(self.clock)
        self.account = Account(("pacs",))
        given: dict[str, Any] = {
            "name": "ris",
            "url": f"http://127.0.0.1:{receiver.port}/told?key=7",
            "secret": SecretStr(SECRET),
            "answer_within": 5.0,
            **more,
        }
        settings = WebhookSettings.model_validate(given)
        self.call = Call(settings, self.ledger, self.clock, lambda uid: f"hash-of-{len(uid)}")
        self.webhooks = Webhooks(
            calls={"ris": self.call}, ledger=self.ledger, account=self.account,
            lock=threading.RLock(), clock=self.clock,
        )  # fmt: skip

    def start(self) -> Site:
        for row in self.ledger.rows:
            self.account.apply(row)
        self.webhooks.resume(self.ledger.rows)
        return self

    def happens(self, *events: Event) -> None:
        rows = self.ledger.record(*events)
        for row in rows:
            self.account.apply(row)
        self.webhooks.follow(rows)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.ledger.events if isinstance(event, kind)]

    def until(self, kind: type[Event], count: int = 1, seconds: float = 10.0) -> list[Any]:
        return self.soon(lambda: self.of(kind), count, seconds)

    @staticmethod
    def soon(look: Callable[[], list[Any]], count: int, seconds: float = 10.0) -> list[Any]:
        nap, give_up = threading.Event(), time.monotonic() + seconds
        while len(look()) < count:
            assert time.monotonic() < give_up
            nap.wait(0.01)
        return look()


@pytest.fixture
def site(receiver: Receiver) -> Iterator[Site]:
    one = Site(receiver).start()
    yield one
    receiver.hold.set()
    one.webhooks.close(5)


def story(job: Job = JOB) -> tuple[Event, ...]:
    return (
        a_stored(job.instances[0]), JobPlaced(job), a_predicted(job),
        Attributed(job.study_instance_uid, job.job_id, an_attribution_record()), a_written(job),
    )  # fmt: skip


def delivered(job: Job = JOB) -> Delivered:
    uid = a_written(job).results[0].sop_instance_uid
    return Delivered(job.study_instance_uid, job.job_id, uid, "pacs", 1)


def test_a_result_is_told_once_it_is_stored_signed_and_without_anything_of_the_patient(
    receiver: Receiver, site: Site
) -> None:
    site.happens(*story())
    assert receiver.heard == []
    site.happens(delivered())
    (heard,) = receiver.wait_for(1)
    assert heard.path == "/told?key=7"
    said = heard.said
    assert (said["event"], said["urgency"], said["path"]) == ("result", "ROUTINE", "fast")
    assert said["results"] == [{"kind": "sc", "sop_instance_uid": f"hash-of-{len(UID)}"}]
    match = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", heard.headers["Lightbox-Signature"])
    assert match is not None
    expected = hmac.new(SECRET.encode(), f"{match[1]}.".encode() + heard.body, hashlib.sha256)
    assert match[2] == expected.hexdigest()
    assert int(match[1]) == int(site.clock.now())
    for secret in (STUDY, UID, JOB.job_id, INSTANCE.sop_instance_uid, "pneumonia", SECRET):
        assert secret.encode() not in heard.body
    (sent,) = site.until(NotificationSent)
    assert heard.headers["Lightbox-Notification"] == sent.notification == said["notification"]


def test_a_site_may_want_to_know_of_whom_and_what(receiver: Receiver) -> None:
    site = Site(receiver, patient_data=True).start()
    site.happens(*story(), delivered())
    said = receiver.wait_for(1)[0].said
    assert said["study"] == STUDY
    assert (said["finding"], said["confidence"]) == ("pneumonia", 0.93)
    site.webhooks.close(5)


def test_a_program_that_refuses_is_told_again_with_the_same_words(
    receiver: Receiver, site: Site
) -> None:
    receiver.codes = [503, 302, 204]
    site.happens(*story(), delivered())
    (delayed,) = site.until(NotificationDelayed)
    assert (delayed.attempt, delayed.reason) == (1, "HTTP 503")
    assert 27 <= delayed.retry_at - site.clock.now() <= 33
    for attempt in (2, 3):
        site.clock.advance(70)
        site.call.tell_due()
        receiver.wait_for(attempt)
    assert [e.reason for e in site.of(NotificationDelayed)] == ["HTTP 503", "HTTP 302"]
    assert site.until(NotificationSent)[0].attempt == 3
    assert len({heard.body for heard in receiver.heard}) == 1
    assert {heard.path for heard in receiver.heard} == {"/told?key=7"}


@pytest.mark.parametrize("codes", [[410], [500, 500]])
def test_what_nobody_takes_is_dropped_visibly_and_the_next_one_goes_on(
    receiver: Receiver, codes: list[int]
) -> None:
    site = Site(receiver, retries=1).start()
    receiver.codes = list(codes)
    site.happens(*story(), delivered())
    for n in range(1, len(codes)):
        site.until(NotificationDelayed, n)
        site.clock.advance(40)
        site.call.tell_due()
    (dropped,) = site.until(NotificationDropped)
    assert dropped.attempt == len(codes)
    assert dropped.reason == f"HTTP {codes[-1]}"
    site.clock.advance(100)
    other = a_job(an_instance("2", study="2"))
    site.happens(*story(other), delivered(other))
    site.call.tell_due()
    assert site.until(NotificationSent)[0].study == other.study_instance_uid
    assert site.call.waiting() == 0
    site.webhooks.close(5)


def test_a_program_that_hangs_holds_nobody_up(receiver: Receiver, site: Site) -> None:
    receiver.hold.clear()
    jobs = [a_job(an_instance(str(n), study=str(n))) for n in range(50)]
    began = time.monotonic()
    for job in jobs:
        site.happens(*story(job), delivered(job))
    receiver.wait_for(1)
    assert time.monotonic() - began < 2.0
    assert site.call.waiting() == 50
    site.clock.advance(0.3)
    site.webhooks.look()
    assert len(site.of(NotificationDelayed)) == 49, "what waits behind it is in the ledger"
    began = time.monotonic()
    site.webhooks.close(0.2)
    assert time.monotonic() - began < 1.0


def test_nobody_listens(receiver: Receiver) -> None:
    receiver.close()
    site = Site(receiver).start()
    site.happens(*story(), delivered())
    (delayed,) = site.until(NotificationDelayed)
    assert "refused" in delayed.reason
    site.webhooks.close(5)


def test_after_a_restart_what_waits_is_told_and_what_was_told_is_not(receiver: Receiver) -> None:
    site = Site(receiver).start()
    other = a_job(an_instance("2", study="2"))
    site.happens(*story(), delivered())
    site.until(NotificationSent)
    receiver.codes = [500]
    site.happens(*story(other), delivered(other))
    (delayed,) = site.until(NotificationDelayed)
    site.webhooks.close(5)
    again = Site(receiver, site.ledger)
    again.clock.advance(40)
    again.start()
    assert len(receiver.wait_for(3)) == 3
    assert again.until(NotificationSent, 2)[1].attempt == 2
    assert receiver.heard[2].headers["Lightbox-Notification"] == delayed.notification
    assert receiver.heard[2].body == receiver.heard[1].body
    again.webhooks.close(5)


def test_what_happened_before_a_webhook_was_there_is_not_told(receiver: Receiver) -> None:
    ledger = FakeLedger(FakeClock(NOON))
    ledger.record(*story(), delivered())
    site = Site(receiver, ledger).start()
    other = a_job(an_instance("2", study="2"))
    site.happens(*story(other), delivered(other))
    site.until(NotificationSent)
    assert len(receiver.heard) == 1
    assert len(site.of(WebhookKnown)) == 1
    site.webhooks.close(5)


def test_what_is_stored_a_second_time_is_not_told_a_second_time(
    receiver: Receiver, site: Site
) -> None:
    site.happens(*story(), delivered())
    site.until(NotificationSent)
    site.happens(replace(delivered(), again=1))  # stored again for want of a commitment
    other = a_job(an_instance("2", study="2"))
    site.happens(*story(other), delivered(other))
    site.until(NotificationSent, 2)
    assert len(receiver.heard) == 2


# --------------------------------------------------------------------------------- what is told
FAILED = JobFailed(STUDY, JOB.job_id, ListedReason.NOT_APPLICABLE, f"{STUDY} has no brain in it")


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ((*story()[:2], FAILED), "not_applicable"),
        ((*story(), DeadLettered(STUDY, JOB.job_id, UID, "pacs", 11, "refused")), "dead_letter"),
        (
            (
                a_stored(INSTANCE),
                InstanceListed(
                    STUDY, INSTANCE.sop_instance_uid, INSTANCE.sha256, ListedReason.UNREADABLE, "x"
                ),
            ),
            "unreadable",
        ),
    ],
)
def test_failures_are_told_by_a_reason_of_a_closed_set(
    receiver: Receiver, site: Site, events: tuple[Event, ...], reason: str
) -> None:
    site.happens(*events)
    (heard,) = receiver.wait_for(1)
    assert (heard.said["event"], heard.said["reason"]) == ("failure", reason)
    assert STUDY.encode() not in heard.body
    assert "detail" not in heard.said


def test_a_job_that_a_person_cancelled_is_no_failure(receiver: Receiver, site: Site) -> None:
    cancelled = replace(FAILED, reason=ListedReason.CANCELLED)
    site.happens(*story()[:2], cancelled)
    other = a_job(an_instance("2", study="2"))
    site.happens(*story(other), delivered(other))
    (heard,) = receiver.wait_for(1)
    assert heard.said["event"] == "result"


def test_a_deadline_that_passes_is_told_when_it_passes_and_once(
    receiver: Receiver, site: Site
) -> None:
    site.happens(*story())
    site.webhooks.look()
    assert receiver.heard == []
    site.clock.advance(301)
    site.webhooks.look()
    (heard,) = receiver.wait_for(1)
    assert heard.said["event"] == "missed_deadline"
    site.happens(delivered())
    assert [h.said["event"] for h in receiver.wait_for(2)] == ["missed_deadline", "result"]


def test_no_deadline_passes_while_a_result_waits_for_the_hours_that_the_site_chose(
    receiver: Receiver, site: Site
) -> None:
    evening = site.clock.now() + 3600.0
    of = (STUDY, JOB.job_id, UID, "pacs")
    site.happens(*story(), DeliveryDelayed(*of, 0, "waits", evening, is_tried=False))
    site.clock.advance(301)
    site.webhooks.look()
    site.clock.advance(3601)
    site.webhooks.look()
    (heard,) = receiver.wait_for(1)
    assert heard.said["event"] == "missed_deadline"
    assert datetime.fromisoformat(heard.said["at"]).timestamp() == JOB.deadline + 3600.0


def test_an_audit_that_contradicts_the_picture_is_told(receiver: Receiver, site: Site) -> None:
    audit = a_job(INSTANCE, path=JobPath.AUDIT)
    measured = replace(an_attribution_record("shapley"), quality={"agreement": -0.3})
    site.happens(*story(), delivered(), JobPlaced(audit), Attributed(STUDY, audit.job_id, measured))
    said = [heard.said for heard in receiver.wait_for(2)]
    assert [one["event"] for one in said] == ["result", "contradiction"]
    assert said[1]["path"] == "audit"


def test_only_what_the_site_wants_is_told(receiver: Receiver) -> None:
    site = Site(receiver, on=["failure"]).start()
    site.happens(*story(), delivered())
    other = a_job(an_instance("2", study="2"))
    failed = JobFailed(other.study_instance_uid, other.job_id, ListedReason.FAILED, "no memory")
    site.happens(*story(other)[:2], failed)
    (heard,) = receiver.wait_for(1)
    assert heard.said["event"] == "failure"
    site.webhooks.close(5)
