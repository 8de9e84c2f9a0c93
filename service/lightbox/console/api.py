"""JSON for programs, a probe for the machine, and the metrics."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from lightbox.console.sources import ConsoleSources, Record, Show, StudyQuery
from lightbox.domain.identity import is_uid
from lightbox.metrics import CONTENT_TYPE

_PNG = {"content": {"image/png": {}}, "description": "The preview."}


def api(sources: ConsoleSources) -> APIRouter:
    """Return the routes for programs; paths are those of the contract (DESIGN §3.4)."""
    router = APIRouter()

    @router.get("/healthz", tags=["health"], response_class=PlainTextResponse)
    def healthz() -> str:
        """Say that the process lives."""
        return "ok\n"

    @router.get("/readyz", tags=["health"], responses={503: {"description": "Not ready."}})
    def readyz() -> JSONResponse:
        """Say whether studies can be accepted, and if not, why."""
        readiness = sources.ready()
        body = {
            "ready": readiness.is_ready,
            "checks": [asdict(c) for c in readiness.checks],
            "stopped": [asdict(flag) for flag in readiness.stopped],
            "degraded": list(readiness.degraded),
        }
        return JSONResponse(body, 200 if readiness.is_ready else 503)

    @router.get("/metrics", tags=["health"], response_class=PlainTextResponse)
    def metrics() -> Response:
        """Return all metrics in Prometheus' text format."""
        return Response(sources.metrics(), media_type=CONTENT_TYPE)

    @router.get("/api/studies", tags=["studies"])
    def studies(
        search: Annotated[str, Query(max_length=64, description="UID, finding or model.")] = "",
        limit: Annotated[int, Query(ge=1, le=1000, description="Most studies.")] = 100,
        show: Annotated[Show, Query(description="Which: see the console's list.")] = "all",
        page: Annotated[int, Query(ge=1, le=100_000, description="From 1.")] = 1,
    ) -> list[Record]:
        """List studies, newest first."""
        return list(sources.studies(StudyQuery(search, show, "", page, limit)).studies)

    @router.get("/api/studies/{uid}", tags=["studies"])
    def study(uid: str) -> Record:
        """Return one study with its timeline."""
        found = sources.study(uid) if is_uid(uid) else None
        if found is None:
            raise HTTPException(404, "no such study")
        return found

    @router.get(
        "/api/results/{uid}/preview.png",
        tags=["results"],
        response_class=Response,
        responses={200: _PNG},
    )
    def preview(uid: str) -> Response:
        """Return the picture of a result."""
        data = sources.preview(uid) if is_uid(uid) else None
        if data is None:
            raise HTTPException(404, "no such preview")
        return Response(data, media_type="image/png")

    _add_ledger(router, sources)
    return router


def _add_ledger(router: APIRouter, sources: ConsoleSources) -> None:
    @router.get("/api/ledger", tags=["ledger"])
    def ledger() -> Record:
        """Account for every accepted instance: accepted = delivered + listed + in progress."""
        return sources.ledger()

    @router.get("/api/ledger/proof", tags=["ledger"])
    def proof() -> Record:
        """Say how far a proof has come that was begun here, or what the newest one found."""
        return asdict(sources.proving())
