"""Pages for people: overview, one study step by step, the ledger's proof, the settings."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from lightbox.console.access import Access
from lightbox.console.render import Renderer
from lightbox.console.sources import ConsoleSources
from lightbox.domain.identity import is_uid
from lightbox.domain.urgency import Urgency

_LONGEST_SEARCH = 64
_MOST_STUDIES = 100


def pages(sources: ConsoleSources, access: Access) -> APIRouter:
    """Return the routes for people; none is part of the API's description."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    renderer = Renderer()
    page = renderer.page

    @router.get("/")
    def overview(request: Request, search: str = "") -> HTMLResponse:
        return page(
            "overview",
            readiness=sources.ready(),
            queue=_by_urgency(sources.queue()),
            studies=sources.studies(search[:_LONGEST_SEARCH], _MOST_STUDIES),
            search=search,
            models=sources.models,
            csrf=access.form_token(request),
        )

    @router.get("/studies/{uid}")
    def study(uid: str, request: Request) -> HTMLResponse:
        found = sources.study(uid) if is_uid(uid) else None
        if found is None:
            return page("missing", 404)
        return page("study", study=found, csrf=access.form_token(request))

    @router.get("/ledger")
    def ledger() -> HTMLResponse:
        return page("ledger", ledger=sources.ledger())

    @router.get("/settings")
    def settings() -> HTMLResponse:
        return page("settings", settings=sources.settings())

    @router.get("/api/docs")
    def docs(request: Request) -> HTMLResponse:
        return page("docs", schema=request.app.openapi())

    _add_sessions(router, renderer, access)
    return router


def _add_sessions(router: APIRouter, renderer: Renderer, access: Access) -> None:
    @router.get("/login")
    def login(request: Request) -> HTMLResponse:
        return renderer.page("login", next=request.query_params.get("next", "/"), wrong=False)

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        answer = await access.log_in(request)
        return answer or renderer.page("login", 403, next="/", wrong=True)

    @router.post("/logout")
    def log_out(request: Request) -> Response:
        return access.log_out(request)


def _by_urgency(queue: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(urgency, queue.get(urgency, 0)) for urgency in Urgency]
