"""A destination by STOW-RS (PS3.18 10.5): one multipart request per result, answers read to the end."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

from pydicom.uid import UID

from lightbox.deliver.file import unchanged
from lightbox.deliver.status import (
    NETWORK,
    Action,
    Answer,
    DestinationError,
    Network,
    of_http,
    of_status,
)
from lightbox.domain.errors import ConfigurationError
from lightbox.domain.result import Result
from lightbox.settings import DestinationSettings

_SECONDS = 30.0
_LONGEST_ANSWER = 2**20

# Attributes of the response (PS3.18 I.2) in the DICOM JSON model (PS3.18 F.2).
_FAILED_SEQUENCE = "00081198"
_REFERENCED_SEQUENCE = "00081199"
_FAILURE_REASON = "00081197"
_WARNING_REASON = "00081196"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follow nothing: urllib would turn our POST into a GET, whose 200 means nothing."""

    def redirect_request(self, *_: object) -> None:
        """Let the code of the redirection stand."""


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
"""Patients' data go where the configuration says, past no proxy of the environment."""


class Stow:
    """Sends results to one DICOMweb service (the Destination port).

    Parameters
    ----------
    settings : DestinationSettings
        ``stow`` is the DICOMweb root.
    root : Path
        Data directory: the paths of results are relative to it.

    Raises
    ------
    ConfigurationError
        If the root is not an http or https address.
    """

    def __init__(self, settings: DestinationSettings, root: Path) -> None:
        if not settings.stow.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"destinations.{settings.name}.stow",
                f"{settings.stow!r} is not an address of the web",
                "such as http://pacs:8042/dicom-web",
            )
        self.name = settings.name
        self._url = settings.stow.rstrip("/")
        self._root = root

    def echo(self) -> None:
        """Ask for one study: DICOMweb has no C-ECHO, and a search is what every root offers.

        Raises
        ------
        DestinationError
            With the cause and the mend.
        """
        request = urllib.request.Request(  # noqa: S310  # the scheme was checked
            f"{self._url}/studies?limit=1", headers={"Accept": "application/dicom+json"}
        )
        code, _ = self._exchange(request)
        answer = of_http(code)
        if answer.action not in (Action.SUCCESS, Action.NOTE):
            raise self._error(Action.UNREACHABLE, f"HTTP {code} {answer.meaning}", answer.mend)

    def send(self, result: Result) -> str:
        """Store one result; return a note, "" in the normal case.

        Raises
        ------
        DestinationError
            If it was not taken; ``action`` says what follows.
        """
        data = unchanged(self._root, result)
        # The boundary must not occur in the body: it is the hash of that body.
        boundary = f"lightbox-{result.sha256}"
        body = (
            f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            + data
            + f"\r\n--{boundary}--\r\n".encode()
        )
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        request = urllib.request.Request(  # noqa: S310  # the scheme was checked
            f"{self._url}/studies",
            data=body,
            headers={"Content-Type": kind, "Accept": "application/dicom+json"},
            method="POST",
        )
        code, text = self._exchange(request)
        return self._judged(code, text, result)

    def close(self) -> None:
        """Nothing is held between two requests."""

    def _exchange(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with _OPENER.open(request, timeout=_SECONDS) as answer:
                return int(answer.status), bytes(answer.read(_LONGEST_ANSWER))
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(_LONGEST_ANSWER)
        except (urllib.error.URLError, OSError, HTTPException) as error:
            row = NETWORK[_cause(error)]
            raise self._error(row.action, row.meaning, row.mend) from error

    def _judged(self, code: int, text: bytes, result: Result) -> str:
        """Read what became of the one instance; an answer 200 may still list it as failed."""
        answer, said = of_http(code), f"HTTP {code}"
        response = _json(text)
        failed = _reason(response, _FAILED_SEQUENCE, _FAILURE_REASON)
        warned = _reason(response, _REFERENCED_SEQUENCE, _WARNING_REASON)
        if failed is not None:
            answer, said = _failure(of_status(failed)), f"{said}, failure reason 0x{failed:04X}"
        elif warned is not None and answer.action is Action.SUCCESS:
            answer, said = of_status(warned), f"{said}, warning reason 0x{warned:04X}"
        if answer.action is Action.SUCCESS:
            return ""
        said = f"{said} {answer.meaning}"
        if answer.action is Action.NOTE:
            return said
        if answer.action is Action.NOT_TAKEN:
            said = f"this destination does not take {UID(result.sop_class_uid).name}: {said}"
        raise self._error(answer.action, said, answer.mend)

    def _error(self, action: Action, reason: str, mend: str) -> DestinationError:
        return DestinationError(action, f"{self.name} ({self._url})", reason, mend)


def _failure(answer: Answer) -> Answer:
    """Take the answer to a failure reason; one that would mean success is not believed."""
    if answer.action is Action.SUCCESS:
        return Answer(Action.RETRY, "listed as failed without a reason", answer.mend)
    return answer


def _json(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    if isinstance(found, list):
        found = found[0] if found else {}
    return found if isinstance(found, dict) else {}


def _reason(response: Mapping[str, Any], sequence: str, attribute: str) -> int | None:
    """Return the reason of the first item of a sequence; 0 where an item states none."""
    items = response.get(sequence, {}).get("Value", [])
    if not items:
        return None
    values = items[0].get(attribute, {}).get("Value", [])
    if not values:
        return 0 if sequence == _FAILED_SEQUENCE else None
    return int(values[0])


def _cause(error: Exception) -> Network:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ConnectionRefusedError):
        return Network.REFUSED
    if isinstance(reason, TimeoutError):
        return Network.NO_ANSWER
    if isinstance(reason, ConnectionError | HTTPException):
        return Network.LOST
    if isinstance(reason, socket.gaierror):
        return Network.NAME_UNKNOWN
    return Network.NO_ROUTE
