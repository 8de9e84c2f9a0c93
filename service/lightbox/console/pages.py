"""Pages for people: one per question that an operator, a radiologist or an engineer has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from lightbox.console.access import Access
from lightbox.console.markdown import card_html
from lightbox.console.notices import Notices
from lightbox.console.render import Renderer
from lightbox.console.sources import ConsoleSources, Show, StudyQuery
from lightbox.console.story import story_of
from lightbox.domain.identity import is_uid
from lightbox.domain.urgency import Urgency
from lightbox.explain.measures import in_blocks

_LONGEST_SEARCH = 64
_MOST_ROWS = 100


class Shown:
    """Renders a page with what every page has: notice, form token, what is stopped, its place."""

    def __init__(self, sources: ConsoleSources, access: Access, notices: Notices) -> None:
        self._sources = sources
        self._access = access
        self._notices = notices
        self._renderer = Renderer()

    def page(
        self, request: Request, name: str, status: int = 200, **values: object
    ) -> HTMLResponse:
        """Return the page ``name`` with these values."""
        query = request.url.query
        return self._renderer.page(
            name,
            status,
            csrf=self._access.form_token(request),
            can_log_out=self._access.has_session(request),
            notice=self._notices.take(request.query_params.get("notice", "")),
            here=request.url.path + (f"?{query}" if query and "notice=" not in query else ""),
            place=request.url.path,
            now=self._sources.now(),
            readiness=self._sources.ready(),
            **values,
        )


def pages(sources: ConsoleSources, shown: Shown, access: Access) -> APIRouter:
    """Return the routes for people; none is part of the API's description."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    _add_work(router, sources, shown)
    _add_studies(router, sources, shown)
    _add_parts(router, sources, shown)
    _add_sessions(router, shown, access)
    return router


def _add_work(router: APIRouter, sources: ConsoleSources, shown: Shown) -> None:
    @router.get("/")
    def overview(request: Request) -> HTMLResponse:
        return shown.page(
            request,
            "overview",
            disk=sources.disk(),
            summary=sources.summary(),
            waiting=sources.queue(),
            urgencies=list(Urgency),
            newest=sources.studies(StudyQuery(limit=10)),
            destinations=sources.destinations(),
        )

    @router.get("/queue")
    def queue(request: Request) -> HTMLResponse:
        jobs = sources.jobs(_MOST_ROWS)
        known = sum(each.open_jobs for each in sources.summary().tally.values())
        return shown.page(request, "queue", jobs=jobs, more=_more(known, jobs))

    @router.get("/dead-letters")
    def dead_letters(request: Request) -> HTMLResponse:
        dead = sources.dead_letters(_MOST_ROWS)
        known = sources.summary().dead_letters
        return shown.page(request, "dead_letters", dead=dead, more=_more(known, dead))


def _more(known: int, rows: Sequence[object]) -> int:
    """Return how many are not on the page; the count may be a moment older than the rows."""
    return max(0, known - len(rows)) if len(rows) == _MOST_ROWS else 0


def _add_studies(router: APIRouter, sources: ConsoleSources, shown: Shown) -> None:
    @router.get("/studies")
    def studies(
        request: Request,
        search: str = "",
        show: Show = "all",
        urgency: str = "",
        number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
    ) -> HTMLResponse:
        wanted = urgency if urgency in list(Urgency) else ""
        query = StudyQuery(search[:_LONGEST_SEARCH], show, wanted, number)
        found = sources.studies(query)
        return shown.page(request, "studies", query=query, found=found, urgencies=list(Urgency))

    @router.get("/studies/{uid}")
    def study(uid: str, request: Request) -> HTMLResponse:
        found = sources.study(uid) if is_uid(uid) else None
        if found is None:
            return shown.page(request, "missing", 404, what="study", back="/studies")
        return shown.page(
            request,
            "study",
            study=found,
            story=story_of(found, sources.now()),
            in_blocks=in_blocks,
        )


def _add_parts(router: APIRouter, sources: ConsoleSources, shown: Shown) -> None:
    @router.get("/models")
    def models(request: Request) -> HTMLResponse:
        return shown.page(request, "models", models=sources.cards())

    @router.get("/models/{name}")
    def model(name: str, request: Request) -> HTMLResponse:
        found = next((each for each in sources.cards() if each.package.name == name), None)
        if found is None:
            return shown.page(request, "missing", 404, what="model", back="/models")
        return shown.page(request, "model", model=found, card=card_html(found.card))

    @router.get("/destinations")
    def destinations(request: Request) -> HTMLResponse:
        return shown.page(request, "destinations", destinations=sources.destinations())

    @router.get("/ledger")
    def ledger(request: Request) -> HTMLResponse:
        return shown.page(request, "ledger", proving=sources.proving())

    @router.get("/settings")
    def settings(request: Request) -> HTMLResponse:
        return shown.page(request, "settings", settings=sources.settings())

    @router.get("/api/docs")
    def docs(request: Request) -> HTMLResponse:
        return shown.page(request, "docs", schema=request.app.openapi())


def _add_sessions(router: APIRouter, shown: Shown, access: Access) -> None:
    @router.get("/login")
    def login(request: Request) -> Response:
        if "once" in request.query_params:
            entered = access.enter(request)
            return entered or shown.page(request, "login", 403, next="/", wrong="link")
        return shown.page(request, "login", next=request.query_params.get("next", "/"), wrong="")

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        answer = await access.log_in(request)
        return answer or shown.page(request, "login", 403, next="/", wrong="token")

    @router.post("/logout")
    def log_out(request: Request) -> Response:
        return access.log_out(request)
