"""A connection to one web service: kept between requests, past every proxy, never redirected."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import urlsplit

from lightbox.deliver.access.secret import authorisation
from lightbox.deliver.access.tls import client_context, handshake, why_no_handshake
from lightbox.deliver.status import NETWORK, Action, DestinationError, Network
from lightbox.domain.errors import ConfigurationError
from lightbox.settings import DestinationSettings

_LONGEST_ANSWER = 2**20


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked; ``path`` is below the root."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


class WebConnection:
    """Asks one service, over one connection as long as the service keeps it.

    Patients' data go where the configuration says: environment variables for proxies are not
    looked at, and a redirection is an answer like any other.

    Parameters
    ----------
    settings : DestinationSettings
        Root (``stow``), TLS, secrets, time limits.

    Raises
    ------
    ConfigurationError
        If the root is no address of the web, or a file or secret of the settings is not there.
    """

    def __init__(self, settings: DestinationSettings) -> None:
        self._settings = settings
        self._key = f"destinations.{settings.name}"
        self._address = urlsplit(settings.stow.rstrip("/"))
        self._kept: HTTPConnection | None = None
        if self._address.scheme not in {"http", "https"} or not self._address.hostname:
            raise ConfigurationError(
                f"{self._key}.stow",
                f"{settings.stow!r} is not an address of the web",
                "such as http://pacs:8042/dicom-web",
            )
        if self._address.username or self._address.password:
            raise ConfigurationError(
                f"{self._key}.stow", "holds a password", "use the keys user and password"
            )
        authorisation(settings)
        self._new()

    def exchange(self, request: Request) -> tuple[int, bytes]:
        """Ask; return the HTTP code and the body of the answer, cut at 1 MiB.

        A kept connection that the service has ended meanwhile is opened once more, unseen.

        Raises
        ------
        DestinationError
            If there was no answer.
        """
        reused = self._kept is not None and self._kept.sock is not None
        try:
            return self._ask(request)
        except (ConnectionError, HTTPException) as error:
            self.close()
            if not reused:
                raise self._error(self._why(error)) from error
        except OSError as error:
            self.close()
            raise self._error(self._why(error)) from error
        try:
            return self._ask(request)
        except (OSError, HTTPException) as error:
            self.close()
            raise self._error(self._why(error)) from error

    def close(self) -> None:
        """End the connection; the next request opens another."""
        if self._kept is not None:
            self._kept.close()
        self._kept = None

    def cut(self) -> None:
        """End it without waiting, from any thread: an answer that is waited for is lost."""
        kept = self._kept
        if kept is not None and kept.sock is not None:
            with suppress(OSError):  # it has ended
                kept.sock.shutdown(socket.SHUT_RDWR)

    def _ask(self, request: Request) -> tuple[int, bytes]:
        given = self._settings
        if self._kept is None:
            try:
                self._kept = self._new()
            except ConfigurationError as error:
                raise self._unusable(error) from error
        if self._kept.sock is None:
            self._kept.connect()
            _bound_reading(self._kept, given.answer_within)
        headers = dict(request.headers)
        try:
            who = authorisation(given)
        except ConfigurationError as error:
            raise self._unusable(error) from error
        if who:
            headers["Authorization"] = who
        path = self._address.path + request.path
        self._kept.request(request.method, path, request.body, headers)
        with closing(self._kept.getresponse()) as answer:
            return int(answer.status), self._whole(answer)

    def _whole(self, answer: HTTPResponse) -> bytes:
        text = answer.read(_LONGEST_ANSWER)
        if not answer.isclosed() and answer.read(1):
            self.close()  # the rest of a longer answer would be taken for the next one
        return text

    def _new(self) -> HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        seconds = self._settings.connect_within
        if self._address.scheme == "http":
            return HTTPConnection(host, port, timeout=seconds)
        tls = self._settings.tls
        context = client_context(tls, f"{self._key}.tls")
        return _Named(host, port, tls.name, timeout=seconds, context=context)

    def _why(self, error: Exception) -> Network:
        """Return what an error means; a peer that wants a certificate may say so late (TLS 1.3)."""
        found = _cause(error)
        if self._address.scheme == "http" or found not in {Network.LOST, Network.TLS_NOT_SPOKEN}:
            return found
        given, host = self._settings, self._address.hostname or ""
        context = client_context(given.tls, f"{self._key}.tls")
        try:
            where = (host, self._address.port or 443)
            return handshake(where, context, given.tls.name or host, given.connect_within) or found
        except OSError:
            return found

    def _unusable(self, error: ConfigurationError) -> DestinationError:
        return DestinationError(Action.UNREACHABLE, error.thing, error.reason, error.mend)

    def _error(self, what: Network) -> DestinationError:
        row = NETWORK[what]
        thing = f"{self._settings.name} ({self._settings.stow.rstrip('/')})"
        return DestinationError(row.action, thing, row.meaning, row.mend)


class _Named(HTTPSConnection):
    """An HTTPS connection whose certificate is for another name than the address has."""

    def __init__(
        self, host: str, port: int | None, name: str, *, timeout: float, context: ssl.SSLContext
    ) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._name = name or host
        self._tls = context

    def connect(self) -> None:
        """Connect and shake hands."""
        HTTPConnection.connect(self)
        plain = self.sock
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self._name)
        except BaseException:
            plain.close()
            self.sock = None
            raise


def _bound_reading(connected: HTTPConnection, seconds: float) -> None:
    if connected.sock is not None:
        connected.sock.settimeout(seconds)


def _cause(error: Exception) -> Network:
    if isinstance(error, ssl.SSLError):
        return why_no_handshake(error)
    if isinstance(error, ConnectionRefusedError):
        return Network.REFUSED
    if isinstance(error, TimeoutError):
        return Network.NO_ANSWER
    if isinstance(error, ConnectionError | HTTPException):
        return Network.LOST
    if isinstance(error, socket.gaierror | UnicodeError):
        return Network.NAME_UNKNOWN
    return Network.NO_ROUTE
