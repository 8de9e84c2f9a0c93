"""The rules, tried on a file: dropped on a page by a person, posted by a program."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse

from lightbox.app.operate.rules_trial import PRIORITIES
from lightbox.console.access import Access
from lightbox.console.pages import Shown
from lightbox.console.sources import ConsoleSources, Record, Trial
from lightbox.console.upload import Upload, nameless, uploaded

_AT_ONCE = 2
_NOWHERE = Path()
_LONGEST_TITLE = 16  # PS3.5 6.2, AE
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/dicom": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def rules(sources: ConsoleSources, access: Access, shown: Shown) -> APIRouter:
    """Return the routes that try the rules; nothing of a file is kept."""
    router = APIRouter()
    turns = asyncio.Semaphore(_AT_ONCE)

    async def read(request: Request) -> Upload:
        if turns.locked():
            raise HTTPException(429, "others are trying files now: try again in a moment")
        async with turns:
            return await uploaded(request)

    @router.get("/rules", include_in_schema=False)
    def tester(request: Request) -> HTMLResponse:
        return shown.page(request, "rules", asked=Trial(path=_NOWHERE), answer=None, file="")

    @router.post("/rules", include_in_schema=False)
    async def test_form(request: Request) -> HTMLResponse:
        given = await read(request)
        if not access.comes_from_us(request, given.fields.get("csrf", "")):
            raise HTTPException(403, "this form is not from a page of this service: open it again")
        asked = _asked(given.fields)
        if not given.data:
            answer: Record = {"refused": "no file was chosen"}
        else:
            answer = await run_in_threadpool(_try, sources, given.data, asked)
        return shown.page(request, "rules", asked=asked, answer=answer, file=given.name)

    @router.post("/api/rules/test", tags=["rules"], openapi_extra=_BODY)
    async def test_file(
        request: Request,
        called: str = "LIGHTBOX",
        calling: str = "MODALITY",
        priority: str = "medium",
    ) -> JSONResponse:
        """Say which rule, urgency, deadline, models and audits a DICOM file would meet, and why."""
        if not access.comes_from_us(request, None):
            raise HTTPException(403, "this request is from a page of another service")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/dicom":  # which a foreign page cannot send without asking first
            raise HTTPException(415, "send application/dicom")
        words = {"called": called, "calling": calling, "priority": priority}
        given = await read(request)
        answer = await run_in_threadpool(_try, sources, given.data, _asked(words))
        return JSONResponse({**answer, "file": ""})

    return router


def _asked(words: Mapping[str, str]) -> Trial:
    """Return how the file would be sent; what cannot be sent becomes the default."""
    called = words.get("called", "").strip()[:_LONGEST_TITLE] or "LIGHTBOX"
    calling = words.get("calling", "").strip()[:_LONGEST_TITLE] or "MODALITY"
    priority = words.get("priority", "")
    return Trial(_NOWHERE, called, calling, priority if priority in PRIORITIES else "medium")


def _try(sources: ConsoleSources, data: bytes, asked: Trial) -> Record:
    with nameless(data) as path:
        return sources.try_rules(replace(asked, path=path))
