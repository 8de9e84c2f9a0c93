"""The console: what is open, what is guarded, and what a page says."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from builders import NOON, a_uid
from busy_console import BusyConsole
from lightbox.app.operate.switch import Flag
from lightbox.app.processes.prover import Proving
from lightbox.console.server import create_app, serve
from lightbox.console.sources import (
    Check,
    ConsoleSources,
    Readiness,
    Setting,
    StudyPage,
    Summary,
)
from lightbox.domain.condition import Condition
from lightbox.domain.errors import ConfigurationError, LedgerError, OperationError
from lightbox.domain.operations import Outcome, Request
from lightbox.ledger.read_model.answers import Tally
from lightbox.settings import Web

HERE = "http://127.0.0.1:8080"
PNG = b"\x89PNG\r\n\x1a\n..."
STUDY: Mapping[str, object] = {
    "name": "",
    "study_instance_uid": a_uid("study"),
    "received_at": NOON,
    "modality": "MR",
    "urgency": "STAT",
    "rule": "called AE LIGHTBOX_STAT",
    "model": "brain_tumour_mri",
    "finding": "glioma",
    "confidence": 0.93,
    "deadline_s": 2.0,
    "turnaround_s": 1.43,
    "met": True,
    "audit": {"state": "done", "reason": "modality MR", "evaluations": 4096, "exact": True},
    "results": [
        {
            "kind": "sc",
            "path": "fast",
            "sop_instance_uid": a_uid("result"),
            "preview": "results/a.png",
            "stored": True,
        }
    ],
    "events": [
        {
            "at": NOON,
            "step": "receive",
            "kind": "instance_stored",
            "chain": "receive",
            "sequence": 1,
            "values": {"arrival": {"calling_ae": "<script>alert(1)</script>"}},
        }
    ],
}
PROOF: Mapping[str, object] = {
    "accepted": 3,
    "delivered": 1,
    "listed": 1,
    "in_progress": 1,
    "ok": True,
    "problems": [],
    "chains": {"receive": 3},
}
SOURCES = ConsoleSources(
    metrics=lambda: b"lightbox_dead_letters 0.0\n",
    ready=lambda: Readiness((Check("DICOM listener", is_ok=True, words="on port 11112"),)),
    queue=lambda: {"STAT": 3},
    studies=lambda query: StudyPage([STUDY] if query.search in ("", "glioma") else []),
    study=lambda uid: STUDY if uid == STUDY["study_instance_uid"] else None,
    ledger=lambda: PROOF,
    preview=lambda uid: PNG if uid == a_uid("result") else None,
    settings=lambda: [Setting("dicom.port", "11112", "default")],
    now=lambda: NOON,
    operate=lambda request: Outcome(True, (f"{request.action} {request.subject}",)),
    models=("brain_tumour_mri",),
    proving=lambda: Proving(at=NOON, seconds=1.0, proof=PROOF),
)


class Client:
    """A browser without a socket; it keeps cookies and follows redirects."""

    def __init__(self, sources: ConsoleSources, token: str, base: str) -> None:
        transport = httpx.ASGITransport(create_app(sources, Web(token=token)))
        self._client = httpx.AsyncClient(transport=transport, base_url=base, follow_redirects=True)

    def get(self, path: str, **how: Any) -> httpx.Response:
        return asyncio.run(self._client.get(path, **how))

    def post(self, path: str, **how: Any) -> httpx.Response:
        return asyncio.run(self._client.post(path, **how))


def a_client(sources: ConsoleSources = SOURCES, token: str = "", base: str = HERE) -> Client:
    return Client(sources, token, base)


def test_health_and_metrics_answer() -> None:
    client = a_client()
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").json()["ready"] is True
    metrics = client.get("/metrics")
    assert metrics.text == "lightbox_dead_letters 0.0\n"
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_what_is_not_ready_is_said_with_503() -> None:
    checks = (Check("free disk", is_ok=False, words="2 GB left, 5 GB are reserved: make room"),)
    client = a_client(replace(SOURCES, ready=lambda: Readiness(checks)))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"][0]["words"] == checks[0].words
    page = client.get("/").text
    assert "<title>Not ready" in page
    assert checks[0].words in page


def test_the_api_lists_studies_shows_one_and_accounts_for_all() -> None:
    client = a_client()
    assert client.get("/api/studies").json()[0]["finding"] == "glioma"
    assert client.get("/api/studies", params={"search": "normal"}).json() == []
    assert client.get(f"/api/studies/{a_uid('study')}").json()["events"][0]["step"] == "receive"
    assert client.get("/api/ledger").json()["accepted"] == 3


@pytest.mark.parametrize("path", ["/api/studies/1.2.3", "/api/studies/..%2f..%2fetc", "/studies/9"])
def test_an_unknown_study_is_404(path: str) -> None:
    assert a_client().get(path).status_code == 404


def test_a_preview_is_a_png() -> None:
    client = a_client()
    answer = client.get(f"/api/results/{a_uid('result')}/preview.png")
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
    assert client.get("/api/results/1.2.3/preview.png").status_code == 404


def test_the_overview_shows_lights_queue_and_studies_in_words() -> None:
    text = a_client().get("/").text
    for words in ("DICOM listener", "on port 11112", "STAT", "glioma", "93 %", "1.43 s", "in time"):
        assert words in text


def test_the_overview_counts_what_was_late_lately_so_that_it_can_be_clear_again() -> None:
    """A deadline missed weeks ago needs nobody; the list of studies keeps it."""
    assert "No deadline of the last 24 hours was missed" in a_client().get("/").text
    tally = {"STAT": Tally(missed=2), "HIGH": Tally(missed=1), "ROUTINE": Tally(met=4)}
    text = a_client(replace(SOURCES, summary=lambda: Summary(tally))).get("/").text
    assert "3 studies missed the deadline</a>" in text
    assert "Nothing. Everything works" not in text
    one = replace(SOURCES, summary=lambda: Summary({"STAT": Tally(missed=1)}))
    assert "1 study missed the deadline</a>" in a_client(one).get("/").text


def test_the_study_page_tells_the_story_and_escapes_what_strangers_sent() -> None:
    text = a_client().get(f"/studies/{a_uid('study')}").text
    assert "called AE LIGHTBOX_STAT" in text
    assert f"/api/results/{a_uid('result')}/preview.png" in text
    assert "instance stored" in text
    assert "arrival calling ae" in text
    assert "<script>alert" not in text


def test_the_quality_of_an_explanation_is_shown_in_its_four_blocks() -> None:
    record = {
        "method": "shapley",
        "quality": {"deletion": -0.31, "border_mass": 0.02, "agreement": 0.65},
        "evaluations": 4218,
        "seconds": 3.5,
        "exact": True,
        "standard_error_max": 0.0,
        "warnings": ["The map is nearly even."],
    }
    event = {"at": NOON, "step": "explain", "kind": "attributed", "chain": "worker", "sequence": 2}
    events = [*STUDY["events"], {**event, "values": {"record": record}}]  # type: ignore[misc]  # a list
    client = a_client(replace(SOURCES, study=lambda _uid: {**STUDY, "events": events}))
    text = client.get(f"/studies/{a_uid('study')}").text
    for block in ("Faithfulness", "Plausibility", "Robustness", "Cost"):
        assert f'<th scope="rowgroup" colspan="3">{block}</th>' in text
    assert "Different coalitions of regions that the network was asked about" in text
    assert "Exact. The map is nearly even." in text


def test_a_study_whose_files_went_says_so_and_shows_no_broken_picture() -> None:
    went = {"at": NOON, "step": "app", "kind": "files_removed", "chain": "control", "sequence": 9}
    results = [{**result, "preview": None} for result in STUDY["results"]]  # type: ignore[attr-defined]  # a list
    events = [*STUDY["events"], {**went, "values": {"why": "retention"}}]  # type: ignore[misc]  # a list
    study = {**STUDY, "results": results, "events": events}
    text = (
        a_client(replace(SOURCES, study=lambda _uid: study)).get(f"/studies/{a_uid('study')}").text
    )
    assert "preview.png" not in text
    assert "Files of this study were removed" in text
    assert (
        "Files of this study were removed" not in a_client().get(f"/studies/{a_uid('study')}").text
    )


def test_a_study_that_was_not_analysed_says_why() -> None:
    listed = {**STUDY, "model": "", "met": None, "listed": [{"reason": "no_model", "detail": "CT"}]}
    page = StudyPage([listed])
    client = a_client(replace(SOURCES, studies=lambda _query: page, study=lambda _uid: listed))
    assert "not analysed" in client.get("/").text
    text = client.get(f"/studies/{a_uid('study')}").text
    assert "Not analysed: no model.</strong> <bdi>CT</bdi>" in text


def test_the_ledger_page_states_the_sum() -> None:
    text = a_client().get("/ledger").text
    assert "proved" in text
    assert "<b>3</b> accepted" in text


def test_settings_show_where_each_value_comes_from() -> None:
    text = a_client().get("/settings").text
    assert "<code>[dicom]</code>" in text
    assert "<code>port</code>" in text
    assert "default" in text


def test_the_api_describes_itself_without_the_internet() -> None:
    client = a_client()
    text = client.get("/api/docs").text
    assert "GET /api/studies/{uid}" in text
    assert "https://" not in text
    assert client.get("/api/openapi.json").json()["info"]["title"] == "Lightbox"


@pytest.mark.parametrize("path", ["/", "/ledger", "/settings", "/api/docs", "/login"])
def test_pages_load_nothing_from_elsewhere(path: str) -> None:
    answer = a_client().get(path)
    assert "//cdn" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert " style=" not in answer.text
    assert " onclick=" not in answer.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_need_no_token(path: str) -> None:
    assert a_client(token="secret").get(path).status_code == 200


@pytest.mark.parametrize("path", ["/api/studies", "/api/ledger", "/api/openapi.json"])
def test_the_api_needs_the_token(path: str) -> None:
    client = a_client(token="secret")
    assert client.get(path).status_code == 401
    wrong = {"Authorization": "Bearer wrong"}
    assert client.get(path, headers=wrong).status_code == 401
    right = {"Authorization": "Bearer secret"}
    assert client.get(path, headers=right).status_code == 200


def test_a_person_logs_in_once_and_out_again() -> None:
    client = a_client(token="secret")
    page = f"/studies/{a_uid('study')}"
    answer = client.get(page)
    assert answer.url.path == "/login"
    assert client.post("/login", data={"token": "wrong"}).status_code == 403
    answer = client.post("/login", data={"token": "secret", "next": page})
    assert answer.url.path == page
    assert "glioma" in answer.text
    assert client.get("/api/studies").status_code == 200
    client.post("/logout")
    assert client.get("/api/studies").status_code == 401


def test_the_session_cookie_cannot_be_read_or_sent_by_others() -> None:
    client = a_client(token="secret")
    answer = client.post("/login", data={"token": "secret"}, follow_redirects=False)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secret" not in cookie


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_a_login_never_leads_elsewhere(elsewhere: str) -> None:
    form = {"token": "secret", "next": elsewhere}
    answer = a_client(token="secret").post("/login", data=form, follow_redirects=False)
    assert answer.headers["location"] == "/"


def test_without_a_token_only_this_machine_is_answered() -> None:
    assert a_client(base="http://rebound.example").get("/api/studies").status_code == 421
    assert a_client(base="http://localhost:8080").get("/api/studies").status_code == 200
    assert a_client(base="http://[::1]:8080").get("/api/studies").status_code == 200


def test_an_error_of_ours_is_one_line() -> None:
    def broken() -> dict[str, object]:
        raise LedgerError("ledger chain work", "cannot be read", "check the disk")

    answer = a_client(replace(SOURCES, ledger=broken)).get("/api/ledger")
    assert answer.status_code == 500
    assert answer.json() == {"detail": "ledger chain work: cannot be read (check the disk)"}


def test_it_serves_on_a_free_port_and_closes() -> None:
    server = serve(create_app(SOURCES, Web()), "127.0.0.1", 0)
    try:
        answer = httpx.get(f"http://127.0.0.1:{server.port}/healthz", timeout=5)
        assert answer.text == "ok\n"
        assert "server" not in answer.headers
    finally:
        server.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{server.port}/healthz", timeout=5)


def test_short_answers_wait_for_no_acknowledgement() -> None:
    """Else each of a browser's further requests takes 40 ms longer (RFC 896 with RFC 1122)."""
    server = serve(create_app(SOURCES, Web()), "127.0.0.1", 0)
    try:
        with socket.create_connection(("127.0.0.1", server.port), 5) as browser:
            browser.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert browser.recv(1024).startswith(b"HTTP/1.1 200")
            theirs = the_other_end_of(browser)
            with theirs:
                assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        server.close()


def the_other_end_of(browser: socket.socket) -> socket.socket:
    """Find it among the open files: the server runs in this process."""
    for number in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found = socket.socket(fileno=os.dup(int(number.name)))
            with suppress(OSError):
                if found.getpeername() == browser.getsockname():
                    return found
            found.close()
    raise AssertionError("the server has no such connection")


def test_a_port_in_use_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"web.port {port}: is in use on"):
            serve(create_app(SOURCES, Web()), "127.0.0.1", port)


def test_what_the_worker_does_without_is_said_and_the_service_stays_ready() -> None:
    words = "model chest_xray runs on cpu, 8 at a time: the GPU's memory is full"
    readiness = Readiness(SOURCES.ready().checks, degraded=(words,))
    client = a_client(replace(SOURCES, ready=lambda: readiness))
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["degraded"]) == (200, [words])
    assert "the GPU&#39;s memory is full" in client.get("/").text


def test_a_model_that_is_not_asked_is_not_said_to_serve(tmp_path: Path) -> None:
    with closing(BusyConsole(tmp_path)) as busy:
        sources = busy.sources()
        for path in ("/models", "/models/brain_tumour_mri"):
            assert "serves</span>" in a_client(sources).get(path).text
        ill = Condition(out_of_service={"brain_tumour_mri": "3 answers were NaN"})
        readiness = Readiness(SOURCES.ready().checks, degraded=tuple(ill.complaints(NOON)))
        client = a_client(replace(sources, ready=lambda: readiness))
        for path in ("/models", "/models/brain_tumour_mri"):
            text = client.get(path).text
            assert "out of service</span>" in text
            assert "serves</span>" not in text


def test_behind_a_proxy_with_tls_the_cookie_is_secure_and_forms_are_ours() -> None:
    """As deploy/README.md asks of a proxy on this machine: it passes Host and the scheme on."""
    server = serve(create_app(SOURCES, Web(token="secret")), "127.0.0.1", 0)
    outside = {"Host": "lightbox.hospital.example", "X-Forwarded-Proto": "https"}
    origin = {**outside, "Origin": "https://lightbox.hospital.example"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", headers=outside) as client:
            entered = client.post("/login", data={"token": "secret"})
            cookie = entered.headers["set-cookie"]
            assert "; Secure" in cookie
            session = {"Cookie": cookie.partition(";")[0]}
            page = client.get(f"/studies/{a_uid('study')}", headers=session).text
            form = {"csrf": csrf_of(page), "subject": a_uid("study")}
            acted = client.post("/api/actions/retry", data=form, headers={**origin, **session})
            assert acted.status_code == 303
    finally:
        server.close()


def test_what_is_stopped_is_said_and_the_service_stays_ready() -> None:
    readiness = Readiness(SOURCES.ready().checks, (Flag("all", "anna", NOON),))
    client = a_client(replace(SOURCES, ready=lambda: readiness))
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["stopped"] == [{"model": "all", "by": "anna", "at": NOON}]
    for path in ("/", "/studies", "/models"):
        assert "All models are stopped</strong> by <bdi>anna</bdi>" in client.get(path).text


def csrf_of(page: str) -> str:
    return page.split('name="csrf" value="')[1].split('"', maxsplit=1)[0]


@pytest.mark.parametrize("token", ["", "secret"])
def test_a_button_acts_in_the_name_of_the_console(token: str) -> None:
    asked: list[Request] = []

    def operate(request: Request) -> Outcome:
        asked.append(request)
        return Outcome(is_done=True, lines=("cancelled",))

    client = a_client(replace(SOURCES, operate=operate), token)
    if token:
        client.post("/login", data={"token": token})
    uid = a_uid("study")
    csrf = csrf_of(client.get(f"/studies/{uid}").text)
    answer = client.post("/api/actions/cancel", data={"csrf": csrf, "subject": uid})
    assert answer.status_code == 200
    assert f'href="/studies/{uid}"' in answer.text
    assert [(r.action, r.subject, r.by) for r in asked] == [("cancel", uid, "console at 127.0.0.1")]


@pytest.mark.parametrize("csrf", ["", "0" * 64])
def test_a_form_of_a_foreign_page_is_refused(csrf: str) -> None:
    form = {"csrf": csrf, "subject": "all"}
    assert a_client().post("/api/actions/stop", data=form).status_code == 403


def test_a_request_from_a_foreign_origin_is_refused() -> None:
    headers = {"Origin": "http://evil.example"}
    answer = a_client().post("/api/actions/stop", json={"subject": "all"}, headers=headers)
    assert answer.status_code == 403


def test_a_program_acts_with_json_and_needs_the_token() -> None:
    client = a_client(token="secret")
    assert client.post("/api/actions/stop", json={"subject": "all"}).status_code == 401
    headers = {"Authorization": "Bearer secret"}
    answer = client.post("/api/actions/stop", json={"subject": "all"}, headers=headers)
    assert answer.json() == {"done": True, "lines": ["stop all"]}


@pytest.mark.parametrize(
    ("action", "how", "status"),
    [
        ("fly", {"json": {"subject": "all"}}, 422),
        ("cancel", {"json": {"subject": "all"}}, 422),
        ("cancel", {"json": {"subject": "../../etc"}}, 422),
        ("cancel", {"json": ["1.2.3"]}, 422),
        ("cancel", {"content": "x", "headers": {"Content-Type": "text/plain"}}, 415),
    ],
)
def test_what_is_no_request_is_refused(action: str, how: dict[str, Any], status: int) -> None:
    assert a_client().post(f"/api/actions/{action}", **how).status_code == status


def test_what_cannot_be_done_is_said_with_409() -> None:
    def refuse(request: Request) -> Outcome:
        raise OperationError(request.subject, "is not known here", "see: lightbox studies")

    client = a_client(replace(SOURCES, operate=refuse))
    answer = client.post("/api/actions/cancel", json={"subject": "1.2.3"})
    assert answer.status_code == 409
    assert answer.json()["lines"] == ["1.2.3: is not known here (see: lightbox studies)"]


def test_a_form_comes_back_to_its_page_which_says_once_what_was_done() -> None:
    client = a_client()
    form = {"csrf": csrf_of(client.get("/models").text), "subject": "all", "back": "/models"}
    answer = client.post("/api/actions/stop", data=form)
    assert answer.url.path == "/models"
    assert "Stop: done" in answer.text
    assert "stop all" in answer.text
    assert "Stop: done" not in client.get(str(answer.url)).text


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/a\r\nX: y"])
def test_a_form_never_leads_elsewhere(back: str) -> None:
    client = a_client()
    form = {"csrf": csrf_of(client.get("/models").text), "subject": "all", "back": back}
    answer = client.post("/api/actions/stop", data=form, follow_redirects=False)
    assert answer.headers["location"].startswith("/?notice=")


def test_an_echo_and_a_proof_are_asked_for_by_form_and_by_program() -> None:
    asked: list[str] = []

    def echo(name: str) -> Outcome:
        asked.append(name)
        return Outcome(is_done=False, lines=(f"{name}: connection refused",))

    client = a_client(replace(SOURCES, echo=echo, prove=lambda: asked.append("proof")))
    answer = client.post("/api/destinations/pacs/echo", json={})
    assert (answer.status_code, answer.json()["lines"]) == (409, ["pacs: connection refused"])
    csrf = csrf_of(client.get("/ledger").text)
    answer = client.post("/api/ledger/proof", data={"csrf": csrf, "back": "/ledger"})
    assert answer.url.path == "/ledger"
    assert client.post("/api/ledger/proof", data={"csrf": "0"}).status_code == 403
    assert asked == ["pacs", "proof"]
    assert client.get("/api/ledger/proof").json()["proof"]["accepted"] == 3


def test_a_person_is_told_of_a_refusal_on_a_page_and_a_program_in_json() -> None:
    client, page = a_client(), {"Accept": "text/html"}
    answer = client.post("/api/actions/stop", data={"subject": "all"}, headers=page)
    assert answer.status_code == 403
    assert "this form is not from a page of this service" in answer.text
    assert "<h1>That could not be done</h1>" in answer.text
    answer = client.post("/api/actions/stop", data={"subject": "all"})
    assert answer.json()["detail"].startswith("this form is not")


def test_the_entrance_lets_in_once() -> None:
    app = create_app(SOURCES, Web(token="secret"))
    path = app.state.entrance()
    transport = httpx.ASGITransport(app)
    first, second = (
        httpx.AsyncClient(transport=transport, base_url=HERE, follow_redirects=True)
        for _ in range(2)
    )
    answer = asyncio.run(first.get(path))
    assert (answer.status_code, answer.url.path) == (200, "/")
    assert "Log out" in answer.text
    answer = asyncio.run(second.get(path))
    assert answer.status_code == 403
    assert "This link was used before" in answer.text


def test_the_entrance_closes_after_ten_minutes() -> None:
    now = NOON
    app = create_app(replace(SOURCES, now=lambda: now), Web(token="secret"))
    path = app.state.entrance()
    now += 601
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE)
    assert asyncio.run(client.get(path)).status_code == 403
    assert asyncio.run(client.get("/login?once=")).status_code == 403


def test_without_a_token_there_is_no_entrance() -> None:
    assert create_app(SOURCES, Web()).state.entrance() == ""


def test_our_own_forms_are_sent_with_their_origin() -> None:
    # with "no-referrer" browsers say "Origin: null" of our own forms, and they would be refused
    assert a_client().get("/").headers["referrer-policy"] == "same-origin"
    answer = a_client().post(
        "/api/actions/stop", json={"subject": "all"}, headers={"Origin": "null"}
    )
    assert answer.status_code == 403
