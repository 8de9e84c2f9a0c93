"""What an operator may do from the console: the same operations as the commands have.

A form carries a token that only our own pages know; a program says what it wants in JSON, which a
foreign web page cannot send without asking the browser first. Both need the token of the service
where one is set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, RedirectResponse, Response

from lightbox.console.access import Access, body_of, local
from lightbox.console.notices import Notice, Notices
from lightbox.console.sources import ConsoleSources
from lightbox.domain.errors import OperationError, UsageError
from lightbox.domain.identity import is_uid
from lightbox.domain.operations import ALL, Action, Outcome
from lightbox.domain.operations import Request as Wanted

_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
_LONGEST = 64
_BODY = {
    "requestBody": {
        "content": {
            _JSON: {
                "schema": {
                    "type": "object",
                    "required": ["subject"],
                    "properties": {
                        "subject": {
                            "type": "string",
                            "description": "UID of a study, an instance or a result; for stop and "
                            'resume the name of a model; "all" for retry, stop and resume.',
                        },
                        "method": {"type": "string", "default": "shapley"},
                        "urgency": {
                            "type": "string",
                            "enum": ["STAT", "HIGH", "ROUTINE"],
                            "description": "For urgency.",
                        },
                    },
                }
            }
        }
    }
}


def actions(sources: ConsoleSources, access: Access, notices: Notices) -> APIRouter:
    """Return the routes that change something or ask a peer."""
    router = APIRouter()

    @router.post(
        "/api/actions/{action}",
        tags=["actions"],
        openapi_extra=_BODY,
        responses={409: {"description": "Cannot be done; nothing was changed."}},
    )
    async def act(
        action: Annotated[Action, Path(description="What to do.")], request: Request
    ) -> Response:
        """Do what an operator wants; the answer says what was done."""
        kind, given = await _given(request, access)
        wanted = Wanted(
            action,
            _subject(action, given.get("subject", "")),
            f"console at {request.client.host if request.client else 'unknown'}",
            sources.now(),
            given.get("method", "") or "shapley",
            given.get("urgency", "").strip().upper(),
        )
        outcome = await run_in_threadpool(_done, sources, wanted)
        return _answer(kind, given, notices, Notice(action, outcome))

    @router.post("/api/destinations/{name}/echo", tags=["destinations"])
    async def echo(name: str, request: Request) -> Response:
        """Ask a destination whether it answers (C-ECHO; for DICOMweb, a request to its root)."""
        kind, given = await _given(request, access)
        outcome = await run_in_threadpool(sources.echo, name)
        return _answer(kind, given, notices, Notice("echo", outcome))

    @router.post("/api/ledger/proof", tags=["ledger"])
    async def prove(request: Request) -> Response:
        """Begin to recompute every chain, unless that is being done; ``GET`` says how far it is."""
        kind, given = await _given(request, access)
        await run_in_threadpool(sources.prove)
        if kind == _FORM:
            return RedirectResponse(local(given.get("back", "/")), 303)  # that page shows it run
        done = Outcome(is_done=True, lines=("the proof runs beside the service",))
        return _answer(kind, given, notices, Notice("prove", done))

    return router


async def _given(request: Request, access: Access) -> tuple[str, Mapping[str, str]]:
    """Return the kind of a request's body and what it says; refuse what is not from our pages."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    given = _read(kind, await body_of(request))
    if not access.comes_from_us(request, None if kind == _JSON else given.get("csrf", "")):
        raise HTTPException(403, "this form is not from a page of this service: open it again")
    return kind, given


def _answer(kind: str, given: Mapping[str, str], notices: Notices, notice: Notice) -> Response:
    """Tell a program; lead a person back to the page, which says it then."""
    outcome = notice.outcome
    if kind == _JSON:
        body = {"done": outcome.is_done, "lines": list(outcome.lines)}
        return JSONResponse(body, 200 if outcome.is_done else 409)
    back = local(given.get("back", "/"))
    mark = "&" if "?" in back else "?"
    return RedirectResponse(f"{back}{mark}notice={notices.keep(notice)}", 303)


def _done(sources: ConsoleSources, wanted: Wanted) -> Outcome:
    try:
        return sources.operate(wanted)
    except (OperationError, UsageError) as error:
        return Outcome(is_done=False, lines=(str(error),))


def _read(kind: str, body: str) -> Mapping[str, str]:
    if kind == _FORM:
        return {name: values[0] for name, values in parse_qs(body).items()}
    if kind != _JSON:
        raise HTTPException(415, f"send {_JSON}")
    try:
        values = json.loads(body or "{}")
        return {str(name): str(value) for name, value in values.items()}
    except (ValueError, AttributeError):
        raise HTTPException(422, 'send an object such as {"subject": "1.2.3"}') from None


def _subject(action: Action, subject: str) -> str:
    """Refuse what no UID, model or "all" looks like, before it gets anywhere."""
    takes_all = action in {"retry", "stop", "resume", "reload"}
    if action in {"stop", "resume"}:
        is_right = 0 < len(subject) <= _LONGEST
    else:
        is_right = is_uid(subject) or (takes_all and subject == ALL)
    if not is_right:
        raise HTTPException(422, f"subject {subject[:_LONGEST]!r} is not right for {action}")
    return subject
