"""Who may read the console: whoever has the token, or sits at this machine where there is none."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import Request
from starlette.middleware.base import RequestResponseEndpoint
from starlette.responses import JSONResponse, RedirectResponse, Response

COOKIE = "lightbox_session"
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/login"})
"""Paths that need no token; files under ``/static/`` need none either."""

ENTRANCE_SECONDS = 600.0
"""How long the link works that a start prints."""

_MOST_SESSIONS = 100
_LONGEST_FORM = 4096

_ONLY_HERE = "without a token only this machine is answered: ask for localhost, or set [web] token"

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with "no-referrer" browsers send our own forms as Origin: null
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Access:
    """Checks tokens and sessions; sessions live in memory and end with the process.

    Parameters
    ----------
    token : str
        Empty: none is asked for, and only requests that name this machine are answered, so that a
        foreign web page cannot read the console through its visitor's browser (DNS rebinding).
    now : callable
        Seconds, for the end of an entrance.
    """

    def __init__(self, token: str, now: Callable[[], float]) -> None:
        self._token = token
        self._now = now
        self._once = ""
        self._once_until = 0.0
        self._sessions: OrderedDict[str, None] = OrderedDict()
        self._secret = secrets.token_bytes(32)

    async def __call__(self, request: Request, go_on: RequestResponseEndpoint) -> Response:
        """Answer or refuse one request; every answer carries the headers that protect it."""
        path = request.url.path
        if not self._token and not _names_this_machine(request.url.hostname or ""):
            response: Response = JSONResponse({"detail": _ONLY_HERE}, 421)
        elif path in OPEN_PATHS or path.startswith("/static/") or self._admits(request):
            response = await go_on(request)
        elif path.startswith("/api/") and path != "/api/docs":
            response = JSONResponse(
                {"detail": "a token is needed: Authorization: Bearer TOKEN"},
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        else:
            response = RedirectResponse(f"/login?next={quote(path)}", 303)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def entrance(self) -> str:
        """Return the path of a page that lets in whoever opens it first; "" without a token."""
        if not self._token:
            return ""
        self._once = secrets.token_urlsafe(24)
        self._once_until = self._now() + ENTRANCE_SECONDS
        return f"/login?once={self._once}"

    def enter(self, request: Request) -> Response | None:
        """Use up the entrance; None where this is not its key, or it was used or is too old."""
        given = request.query_params.get("once", "")
        is_key = bool(self._once) and hmac.compare_digest(given.encode(), self._once.encode())
        if not is_key or self._now() > self._once_until:
            return None
        self._once = ""
        return self._session(request, "/")

    async def log_in(self, request: Request) -> Response | None:
        """Read the form of ``/login``; return the answer that starts a session, None if wrong."""
        form = parse_qs(await body_of(request))
        if not self._is_token(form.get("token", [""])[0]):
            return None
        return self._session(request, form.get("next", ["/"])[0])

    def has_session(self, request: Request) -> bool:
        """Say whether a person has logged in, so that there is something to log out of."""
        return request.cookies.get(COOKIE, "") in self._sessions

    def _session(self, request: Request, wanted: str) -> Response:
        session = secrets.token_urlsafe(32)
        self._sessions[session] = None
        while len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        response = RedirectResponse(local(wanted), 303)
        response.set_cookie(
            COOKIE,
            session,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    def log_out(self, request: Request) -> Response:
        """End the session."""
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE)
        return response

    def form_token(self, request: Request) -> str:
        """Return what a form of this session carries, and no foreign page can know."""
        session = request.cookies.get(COOKIE, "")
        return hmac.new(self._secret, session.encode(), "sha256").hexdigest()

    def comes_from_us(self, request: Request, token: str | None) -> bool:
        """Say whether a request that changes something comes from our page or from a program.

        ``token`` is that of the form; None where it is no form.
        """
        origin = request.headers.get("origin", "")
        if origin and urlsplit(origin).netloc != request.url.netloc:
            return False
        return token is None or hmac.compare_digest(token, self.form_token(request))

    def _admits(self, request: Request) -> bool:
        if not self._token or request.cookies.get(COOKIE, "") in self._sessions:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._is_token(given.strip())

    def _is_token(self, given: str) -> bool:
        return bool(self._token) and hmac.compare_digest(given.encode(), self._token.encode())


def _names_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def local(path: str) -> str:
    """Return a path of ours as it is, and the first page in place of anything else."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if is_ours and path.isprintable() else "/"


async def body_of(request: Request) -> str:
    """Return the body as text; "" where it is longer than any form of ours."""
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > _LONGEST_FORM:
            return ""
    return data.decode(errors="replace")
