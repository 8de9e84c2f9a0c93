"""STOW-RS against a scripted service: every code of the table, and partial failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from builders import a_result_file
from lightbox.deliver.status import HTTP, Action, DestinationError, of_http
from lightbox.deliver.stow import Stow
from lightbox.domain.errors import ConfigurationError
from lightbox.domain.result import ResultKind
from lightbox.settings import DestinationSettings


class Web(HTTPServer):
    """Answers every POST with ``code`` and ``answer``; keeps what it was sent."""

    code = 200
    answer: object = None
    location = ""
    received: bytes = b""
    kind = ""

    def dicomweb(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/dicom-web/"


class Handler(BaseHTTPRequestHandler):
    @property
    def web(self) -> Web:
        assert isinstance(self.server, Web)
        return self.server

    def do_POST(self) -> None:
        self.web.received = self.rfile.read(int(self.headers["Content-Length"]))
        self.web.kind = f"{self.path} {self.headers['Content-Type']}"
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        text = b"" if self.web.answer is None else json.dumps(self.web.answer).encode()
        self.send_response(self.web.code)
        if self.web.location:
            self.send_header("Location", self.web.location)
        if self.web.code != 204:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.web.code != 204:
            self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[Web]:
    with Web(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(5.0)


@pytest.fixture
def stow(web: Web, tmp_path: Path) -> Stow:
    return Stow(DestinationSettings(name="pacs", stow=web.dicomweb()), tmp_path)


def reasons(sequence: str, attribute: str, reason: int) -> dict[str, object]:
    item = {attribute: {"vr": "US", "Value": [reason]}} if reason else {}
    return {sequence: {"vr": "SQ", "Value": [item]}}


def failed(reason: int) -> dict[str, object]:
    return reasons("00081198", "00081197", reason)


def warned(reason: int) -> dict[str, object]:
    return reasons("00081199", "00081196", reason)


def test_the_file_is_one_part_of_a_multipart_request(web: Web, stow: Stow, tmp_path: Path) -> None:
    result = a_result_file(tmp_path)
    assert stow.send(result) == ""
    data = (tmp_path / result.path).read_bytes()
    boundary = f"lightbox-{result.sha256}"
    assert web.kind == (
        f'/dicom-web/studies multipart/related; type="application/dicom"; boundary={boundary}'
    )
    head, _, rest = web.received.partition(b"\r\n\r\n")
    assert head == f"--{boundary}\r\nContent-Type: application/dicom".encode()
    assert rest == data + f"\r\n--{boundary}--\r\n".encode()


@pytest.mark.parametrize("code", [*sorted(HTTP), 299, 418, 599])
def test_each_code_of_the_table_gets_its_action(
    web: Web, stow: Stow, tmp_path: Path, code: int
) -> None:
    web.code = code
    result = a_result_file(tmp_path, kind=ResultKind.SEGMENTATION)
    wanted = of_http(code)
    if wanted.action is Action.SUCCESS:
        assert stow.send(result) == ""
    elif wanted.action is Action.NOTE:
        assert stow.send(result) == f"HTTP {code} {wanted.meaning}"
    else:
        with pytest.raises(DestinationError) as caught:
            stow.send(result)
        assert caught.value.action is wanted.action
        assert f"HTTP {code}" in caught.value.reason


@pytest.mark.parametrize("code", [200, 202, 409])
@pytest.mark.parametrize(
    ("reason", "action"),
    [
        (0xA700, Action.RETRY),
        (0xA900, Action.DEAD_LETTER),
        (0x0122, Action.NOT_TAKEN),
        (0x0000, Action.RETRY),
    ],
)
def test_a_failure_in_the_answer_counts_more_than_the_code(
    web: Web, stow: Stow, tmp_path: Path, code: int, reason: int, action: Action
) -> None:
    web.code, web.answer = code, failed(reason)
    with pytest.raises(DestinationError) as caught:
        stow.send(a_result_file(tmp_path))
    assert caught.value.action is action


def test_a_duplicate_is_stored_already(web: Web, stow: Stow, tmp_path: Path) -> None:
    web.code, web.answer = 409, failed(0x0111)
    assert "it is there already" in stow.send(a_result_file(tmp_path))


def test_a_warning_in_the_answer_is_a_note(web: Web, stow: Stow, tmp_path: Path) -> None:
    web.answer = warned(0xB006)
    assert stow.send(a_result_file(tmp_path)) == (
        "HTTP 200, warning reason 0xB006 Elements discarded"
    )


def listed(*uids: str) -> dict[str, object]:
    items = [{"00081155": {"vr": "UI", "Value": [uid]}} for uid in uids]
    return {"00081199": {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}}


def test_a_success_that_lists_the_instance_is_one(web: Web, stow: Stow, tmp_path: Path) -> None:
    result = a_result_file(tmp_path)
    web.answer = listed("1.2.3", result.sop_instance_uid)
    assert stow.send(result) == ""


@pytest.mark.parametrize("answer", [listed(), listed("1.2.3"), {"00081198": {"vr": "SQ"}}])
def test_a_success_that_does_not_list_the_instance_is_not_believed(
    web: Web, stow: Stow, tmp_path: Path, answer: object
) -> None:
    web.answer = answer
    with pytest.raises(DestinationError, match="HTTP 200 but not listed as stored") as caught:
        stow.send(a_result_file(tmp_path))
    assert caught.value.action is Action.RETRY


def test_of_several_failures_the_one_of_the_instance_counts(
    web: Web, stow: Stow, tmp_path: Path
) -> None:
    result = a_result_file(tmp_path)
    items = [
        {"00081155": {"Value": [uid]}, "00081197": {"Value": [reason]}}
        for uid, reason in (("1.2.3", 0xC000), (result.sop_instance_uid, 0xA700))
    ]
    web.code, web.answer = 202, {"00081198": {"vr": "SQ", "Value": items}}
    with pytest.raises(DestinationError, match="0xA700") as caught:
        stow.send(result)
    assert caught.value.action is Action.RETRY


@pytest.mark.parametrize("answer", ["text", [], [1], {}, 7])
def test_an_answer_that_is_no_dicom_json_leaves_the_code_to_decide(
    web: Web, stow: Stow, tmp_path: Path, answer: object
) -> None:
    web.answer = answer
    assert stow.send(a_result_file(tmp_path)) == ""


def test_a_redirection_is_not_followed(web: Web, stow: Stow, tmp_path: Path) -> None:
    web.code, web.location = 302, f"{web.dicomweb()}elsewhere"
    with pytest.raises(DestinationError, match="HTTP 302 Redirected"):
        stow.send(a_result_file(tmp_path))


def test_an_echo_asks_for_a_study(web: Web, stow: Stow) -> None:
    stow.echo()
    web.code = 401
    with pytest.raises(DestinationError, match="Not authenticated"):
        stow.echo()


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    settings = DestinationSettings(name="pacs", stow="http://no-such-host.invalid/dicom-web")
    with pytest.raises(DestinationError, match="host name unknown"):
        Stow(settings, tmp_path).echo()


def test_a_root_that_is_no_web_address_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"destinations\.pacs\.stow"):
        Stow(DestinationSettings(name="pacs", stow="file:///etc"), tmp_path)
