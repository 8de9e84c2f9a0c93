"""A destination by STOW-RS (PS3.18 10.5): one multipart request per result, answers read to the end."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.uid import UID

from lightbox.deliver.access.web import Request, WebConnection
from lightbox.deliver.file import unchanged
from lightbox.deliver.status import Action, Answer, DestinationError, of_http, of_status
from lightbox.deliver.transcode import (
    IMPLICIT,
    SECONDARY_CAPTURE,
    encoded,
    is_plain,
    offered,
    to_try,
)
from lightbox.domain.result import Result
from lightbox.settings import DestinationSettings

PATIENCE = 1.0
"""Seconds that :meth:`Stow.close` waits for a result in hand."""

_JSON = "application/dicom+json"
_log = logging.getLogger(__name__)

# Attributes of the response (PS3.18 I.2) in the DICOM JSON model (PS3.18 F.2).
_FAILED_SEQUENCE = "00081198"
_REFERENCED_SEQUENCE = "00081199"
_FAILURE_REASON = "00081197"
_WARNING_REASON = "00081196"
_INSTANCE = "00081155"

_NOT_LISTED = Answer(
    Action.RETRY,
    "but not listed as stored",
    "see the PACS's log of this minute: it answered success and stored nothing",
)
_PERHAPS_THE_SYNTAX = frozenset({Action.NOT_TAKEN, Action.RETRY, Action.DEAD_LETTER})


_SENT = frozenset(offered(("rle", "jpeg_ls"), SECONDARY_CAPTURE)) - {IMPLICIT}
"""There is no negotiation: what is preferred goes first, and the file as it is if that is refused."""


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
        If the root is not an http or https address, or a file or secret is not there.
    """

    def __init__(self, settings: DestinationSettings, root: Path) -> None:
        self.name = settings.name
        self._url = settings.stow.rstrip("/")
        self._syntaxes = settings.syntaxes
        self._root = root
        self._web = WebConnection(settings)
        self._one_at_a_time = threading.Lock()

    def echo(self) -> None:
        """Ask for one study: DICOMweb has no C-ECHO, and a search is what every root offers.

        Raises
        ------
        DestinationError
            With the cause and the mend.
        """
        code, _ = self._exchange(Request("GET", "/studies?limit=1", {"Accept": _JSON}))
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
        refusal: DestinationError | None = None
        for syntax in to_try(self._syntaxes, result.sop_class_uid, _SENT):
            body = data if is_plain(syntax) else _compressed(self._root / result.path, syntax)
            if body is None:
                continue
            try:
                return self._stored(result, body)
            except DestinationError as error:
                if is_plain(syntax) or error.action not in _PERHAPS_THE_SYNTAX:
                    raise
                refusal = error
        assert refusal is not None  # the file itself was tried
        raise refusal

    def close(self) -> None:
        """End the connection; the next result opens another.

        A result in hand gets a moment to finish, then its connection is cut.
        """
        if self._one_at_a_time.acquire(timeout=PATIENCE):
            try:
                self._web.close()
            finally:
                self._one_at_a_time.release()
        else:
            self._web.cut()

    def _stored(self, result: Result, data: bytes) -> str:
        # The boundary must not occur in the body: it is the hash of the file.
        boundary = f"lightbox-{result.sha256}"
        # The file says its transfer syntax; with a parameter that says it too, Orthanc's DICOMweb 1.7
        # answers 200 and stores nothing.
        body = (
            f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            + data
            + f"\r\n--{boundary}--\r\n".encode()
        )
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        headers = {"Content-Type": kind, "Accept": _JSON}
        code, text = self._exchange(Request("POST", "/studies", headers, body))
        return self._judged(code, text, result)

    def _exchange(self, request: Request) -> tuple[int, bytes]:
        with self._one_at_a_time:
            return self._web.exchange(request)

    def _judged(self, code: int, text: bytes, result: Result) -> str:
        """Read what became of the one instance; an answer 200 may still list it as failed."""
        answer, said = of_http(code), f"HTTP {code}"
        response = _json(text)
        uid = result.sop_instance_uid
        failed = _reason(response, _FAILED_SEQUENCE, _FAILURE_REASON, uid)
        warned = _reason(response, _REFERENCED_SEQUENCE, _WARNING_REASON, uid)
        if failed is not None:
            answer, said = _failure(of_status(failed)), f"{said}, failure reason 0x{failed:04X}"
        elif answer.action is Action.SUCCESS and not _is_listed(response, uid):
            answer = _NOT_LISTED
        elif warned and answer.action is Action.SUCCESS:
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


def _items(response: Mapping[str, Any], sequence: str) -> list[Mapping[str, Any]]:
    found = response.get(sequence)
    values = found.get("Value") if isinstance(found, dict) else None
    return [each for each in values or () if isinstance(each, dict)]


def _first(item: Mapping[str, Any], attribute: str) -> object:
    found = item.get(attribute)
    values = found.get("Value") if isinstance(found, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _is_listed(response: Mapping[str, Any], uid: str) -> bool:
    """Say whether an answer counts this instance as stored; one without lists is believed."""
    if not {_FAILED_SEQUENCE, _REFERENCED_SEQUENCE} & response.keys():
        return True
    names = [_first(item, _INSTANCE) for item in _items(response, _REFERENCED_SEQUENCE)]
    return any(name in {uid, None} for name in names)


def _reason(response: Mapping[str, Any], sequence: str, attribute: str, uid: str) -> int | None:
    """Return the reason that a sequence gives for this instance: 0 for none, None: not in it."""
    for item in _items(response, sequence):
        if _first(item, _INSTANCE) in {uid, None}:
            reason = _first(item, attribute)
            return reason if isinstance(reason, int) else 0
    return None


def _compressed(file: Path, syntax: str) -> bytes | None:
    """Return the file of a picture in a compressed syntax, None where it cannot be."""
    try:
        data_set = encoded(file, syntax)
    except (ValueError, RuntimeError) as error:  # pydicom, where a plug-in cannot do it
        _log.warning("%s is sent uncompressed: %s", file.name, error)
        return None
    made = BytesIO()
    data_set.save_as(made, enforce_file_format=True)
    return made.getvalue()
