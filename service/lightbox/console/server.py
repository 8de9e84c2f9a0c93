"""The web application, and the thread that serves it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.staticfiles import StaticFiles

from lightbox.console.access import Access
from lightbox.console.actions import actions
from lightbox.console.api import api
from lightbox.console.notices import Notices
from lightbox.console.pages import Shown, pages
from lightbox.console.rules import rules
from lightbox.console.sources import ConsoleSources
from lightbox.domain.errors import LightboxError, cannot_listen
from lightbox.settings import Web
from lightbox.version import __version__

_BACKLOG = 64
_DRAIN = 2  # seconds for open requests at the end


def create_app(sources: ConsoleSources, web: Web) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    sources : ConsoleSources
        All that it may ask.
    web : Web
        The section of the configuration; its token guards all but health and metrics.
    """
    app = FastAPI(
        title="Lightbox",
        version=__version__,
        description="DICOM inference that explains itself. Times are seconds since 1970 (UTC).",
        openapi_url="/api/openapi.json",
        docs_url=None,  # its pages load scripts from elsewhere; ours is /api/docs
        redoc_url=None,
    )
    access, notices = Access(web.token, sources.now), Notices()
    shown = Shown(sources, access, notices)
    app.add_middleware(BaseHTTPMiddleware, dispatch=access)
    app.add_exception_handler(LightboxError, _in_words(shown))
    app.add_exception_handler(HTTPException, _in_words(shown))
    app.include_router(api(sources))
    app.include_router(actions(sources, access, notices))
    app.include_router(rules(sources, access, shown))
    app.include_router(pages(sources, shown, access))
    app.state.entrance = access.entrance
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    return app


class RunningServer:
    """A server in a thread of this process.

    Attributes
    ----------
    port : int
        The one that was asked for, or the free one that was taken for 0.
    entrance : str
        Path that lets in whoever opens it first, "" where there is none.
    """

    def __init__(self, server: uvicorn.Server, listening: socket.socket) -> None:
        self.port: int = listening.getsockname()[1]
        self.entrance = ""
        self._server = server
        self._thread = threading.Thread(
            target=server.run, args=([listening],), name="console", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Finish open requests, two seconds at most, and stop listening."""
        self._server.should_exit = True
        self._thread.join(_DRAIN + 3)


def serve(app: FastAPI, host: str, port: int) -> RunningServer:
    """Listen, and serve in a thread; connections are accepted when this returns.

    Raises
    ------
    ConfigurationError
        If the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends short answers at once (TCP_NODELAY) only where a socket says that it is TCP;
    # else each waits for the acknowledgement of the headers before it, 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise cannot_listen("web.port", port, host, error) from None
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        limit_concurrency=_BACKLOG,
        timeout_graceful_shutdown=_DRAIN,
    )
    return RunningServer(uvicorn.Server(config), listening)


def _in_words(shown: Shown) -> Callable[[Request, Exception], Response]:
    """Return what answers an error: a page for a person, one line for a program."""

    def answer(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        words = str(error.detail) if isinstance(error, HTTPException) else str(error)
        if request.url.path.startswith("/api/") and "text/html" not in request.headers.get(
            "accept", ""
        ):
            return JSONResponse({"detail": words}, status)
        return shown.page(request, "refused", status, words=words)

    return answer
