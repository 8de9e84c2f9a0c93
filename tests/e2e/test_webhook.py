"""A running service tells a real program of a result, and goes on telling it after a restart."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lightbox.tools.archive import Archive
from site_of_tests import SAMPLES, Site, answered

SECRET = "a-secret-that-both-sides-know"


class Program(ThreadingHTTPServer):
    """Notes what it is told; is unwell until it is healed."""

    daemon_threads = True

    def __init__(self) -> None:
        self.told: list[tuple[str, bytes]] = []
        self.is_well = False
        self.heard = threading.Condition()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Program  # type: ignore[mutable-override]  # it serves no other

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.heard:
            self.server.told.append((self.headers["Lightbox-Signature"], body))
            self.server.heard.notify_all()
        self.send_response(204 if self.server.is_well else 500)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def program() -> Iterator[Program]:
    one = Program()
    yield one
    one.shutdown()
    one.server_close()


@pytest.mark.slow
def test_a_result_is_told_after_a_restart_where_it_could_not_be_told_before(
    tmp_path: Path, program: Program
) -> None:
    port = program.server_address[1]
    extra = f"""
[[webhooks]]
name = "ris"
url = "http://127.0.0.1:{port}/told"
secret = "{SECRET}"
on = ["result"]
retry_first = "1s"
"""
    with Archive(tmp_path / "archive") as archive:
        site = Site(tmp_path, archive, extra)
        site.start()
        try:
            site.send(SAMPLES[0], called="LIGHTBOX_STAT")
            site.until(answered(1))
            with program.heard:
                assert program.heard.wait_for(lambda: bool(program.told), 20)
            metrics = urllib.request.urlopen(f"{site.web}/metrics", timeout=10).read().decode()
            assert 'lightbox_notifications_total{outcome="delayed",webhook="ris"}' in metrics
            site.kill()
            program.is_well = True
            before = len(program.told)
            site.start()
            with program.heard:
                assert program.heard.wait_for(lambda: len(program.told) > before, 30)
            signature, body = program.told[-1]
            at, _, mac = signature.removeprefix("t=").partition(",v1=")
            expected = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256)
            assert mac == expected.hexdigest()
            assert json.loads(body)["event"] == "result"
            (study,) = site.studies()
            assert study.study_instance_uid.encode() not in body
            assert {told for _, told in program.told if b'"path":"fast"' in told} == {body}
            assert site.prove().ok
        finally:
            site.service.stop()
