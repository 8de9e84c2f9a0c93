"""A posted file is read within limits, held in memory, and gone afterwards."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import HTTPException
from hypothesis import given, settings
from hypothesis import strategies as st

from busy_console import MODEL, BusyConsole
from lightbox.console import upload
from lightbox.console.server import create_app
from lightbox.console.upload import Upload, nameless, read_form
from lightbox.settings import Web

SAMPLE = min((MODEL / "samples").glob("*.dcm"))
HERE = "http://127.0.0.1:8080"


def a_form(data: bytes, boundary: str = "xyz", **fields: str) -> bytes:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a b.dcm"\r\n'
        "Content-Type: application/dicom\r\n\r\n"
    )
    return b"".join(parts) + head.encode() + data + f"\r\n--{boundary}--\r\n".encode()


@settings(deadline=None)
@given(st.binary(max_size=200), st.text("abc ", max_size=20))
def test_a_form_is_read_as_it_was_written(data: bytes, called: str) -> None:
    boundary = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
    form = a_form(data, boundary, called=called)
    assert read_form(form, boundary.encode()) == Upload("a b.dcm", data, {"called": called})


@settings(deadline=None)
@given(st.integers(0, 200))
def test_a_form_that_is_cut_off_is_refused_and_never_read_past_its_end(cut: int) -> None:
    form = a_form(b"\r\n--xy not the end", called="A")
    if cut >= len(form) - 4:
        return
    with pytest.raises(HTTPException) as caught:
        read_form(form[:cut], b"xyz")
    assert caught.value.status_code == 422


def test_a_form_with_too_many_parts_is_refused() -> None:
    form = a_form(b"x", **{f"f{n}": "" for n in range(20)})
    with pytest.raises(HTTPException, match="more than"):
        read_form(form, b"xyz")


def test_a_nameless_file_is_a_file_while_it_is_looked_at_and_no_longer() -> None:
    with nameless(b"abc") as path:
        assert path.read_bytes() == b"abc"
    assert not path.exists()


class Asking:
    def __init__(self, folder: Path) -> None:
        self.busy = BusyConsole(folder)
        transport = httpx.ASGITransport(create_app(self.busy.sources(), Web()))
        self._client = httpx.AsyncClient(transport=transport, base_url=HERE)

    def post(self, path: str, **how: Any) -> httpx.Response:
        return asyncio.run(self._client.post(path, **how))

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self._client.get(path))


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    asking = Asking(tmp_path)
    yield asking
    asking.busy.close()


DICOM = {"Content-Type": "application/dicom"}


def test_a_program_is_told_what_the_rules_say(asking: Asking) -> None:
    path = "/api/rules/test?called=LIGHTBOX_STAT"
    answer = asking.post(path, content=SAMPLE.read_bytes(), headers=DICOM).json()
    assert answer["urgency"] == "STAT"
    assert answer["rule"] == "called AE LIGHTBOX_STAT"
    assert answer["models"][0]["runs"] is True
    assert answer["file"] == ""


@pytest.mark.parametrize(
    "data", [b"", b"no DICOM", b"\0" * 128 + b"DICM", SAMPLE.read_bytes()[:5000]]
)
def test_what_is_no_whole_file_is_refused_in_words(asking: Asking, data: bytes) -> None:
    answer = asking.post("/api/rules/test", content=data, headers=DICOM)
    assert answer.status_code == 200
    assert answer.json()["refused"]


def test_a_file_that_is_too_long_is_refused_before_it_is_read(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "MOST_BYTES", 1000)
    answer = asking.post("/api/rules/test", content=b"x" * 1001, headers=DICOM)
    assert answer.status_code == 413
    assert "lightbox rules test" in answer.json()["detail"]

    async def pieces() -> Any:
        for _ in range(5):
            yield b"x" * 300

    assert asking.post("/api/rules/test", content=pieces(), headers=DICOM).status_code == 413


def test_a_form_needs_the_token_of_the_page(asking: Asking) -> None:
    files = {"file": ("a.dcm", io.BytesIO(SAMPLE.read_bytes()), "application/dicom")}
    assert asking.post("/rules", files=files).status_code == 403
    csrf = asking.get("/rules").text.split('name="csrf" value="')[1].split('"')[0]
    answer = asking.post("/rules", files=files, data={"csrf": csrf, "called": "LIGHTBOX_AUDIT"})
    assert answer.status_code == 200
    assert "called AE LIGHTBOX_AUDIT" in answer.text
    assert asking.post("/rules", files={"file": ("", b"")}, data={"csrf": csrf}).status_code == 200


def test_a_program_must_say_that_it_is_dicom(asking: Asking) -> None:
    # a foreign page can post any file as text/plain, and would be answered
    answer = asking.post("/api/rules/test", content=b"x", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
