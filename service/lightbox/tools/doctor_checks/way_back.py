"""The way back: whether a destination that calls us would be let in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pynetdicom.pdu_primitives import A_ASSOCIATE

from lightbox.app.processes.process import is_ready
from lightbox.deliver.status import DestinationError
from lightbox.domain.identity import ae_title
from lightbox.receive.wire.negotiate import Rejection, refuse
from lightbox.settings import DestinationSettings, Dicom
from lightbox.tools.doctor_checks.addresses import from_here, is_here, is_loopback, resolved
from lightbox.tools.doctor_checks.call import CALLED_WRONG, CALLING_NOT_KNOWN, peer_at, why_not
from lightbox.tools.doctor_checks.finding import Finding, note, well, wrong

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1
_LISTENER = "listener"


def listener(dicom: Dicom, root: Path) -> Iterator[Finding]:
    """Ask our own listener by C-ECHO, as ourselves."""
    if not dicom.port:
        yield note(
            _LISTENER, "dicom.port = 0 takes another port at each start", "set it: a PACS needs one"
        )
        return
    up = is_ready(root, "receive")
    error = _echo(dicom, dicom.ae_title)
    where = f"{dicom.ae_title}@{dicom.host}:{dicom.port}"
    if not up:
        if error is None or error.reason in {CALLING_NOT_KNOWN, CALLED_WRONG}:
            yield wrong(
                _LISTENER,
                f"another program answers on port {dicom.port}",
                "stop it, or set dicom.port",
            )
    elif error is None:
        yield well(_LISTENER, f"{where} answers C-ECHO")
    elif error.reason == CALLING_NOT_KNOWN:
        yield well(_LISTENER, f"{where} answers; only those in dicom.accept_calling are let in")
    elif error.reason == CALLED_WRONG:
        yield wrong(_LISTENER, *_own_title(dicom))
    else:
        yield wrong(_LISTENER, f"{where}: {error.reason}", "see the log of the service")


def way_back(given: DestinationSettings, dicom: Dicom, root: Path) -> Finding:
    """Call our own listener as this destination would: its AE title calling, ours called.

    Its address cannot be borrowed: the list of calling AEs is asked as if the call came from there.
    """
    name = f"{given.name} to us"
    refused = _by_configuration(name, given, dicom)
    if refused is not None:
        return refused
    reached = f"{given.ae_title} at {given.host} is let in as caller of {dicom.ae_title}"
    if _only_tls(dicom) and not any(map(is_here, resolved(given.host))):
        return well(name, f"{reached}, by TLS on port {dicom.tls.port} only")
    if not (dicom.port and is_ready(root, "receive")):
        return well(name, f"{reached} by the configuration (not tried: the service does not run)")
    error = _echo(dicom, given.ae_title)
    if error is None:
        return well(name, f"{reached}: C-ECHO under its name answered")
    if error.reason == CALLING_NOT_KNOWN and given.ae_title not in dicom.accept_calling:
        return well(name, f"{reached}, and from there only: under its name we were refused here")
    return wrong(
        name,
        f"the configuration lets it in, but the running service says: {error.reason}",
        "restart the service if the configuration was changed since its start; else see its log",
    )


def _by_configuration(name: str, given: DestinationSettings, dicom: Dicom) -> Finding | None:
    """Return why the destination cannot get in, or None."""
    addresses = resolved(given.host)
    if is_loopback(dicom.host) and addresses and not any(map(is_here, addresses)):
        return wrong(
            name,
            f"we listen on {dicom.host} only: {given.name} ({given.host}) cannot reach us",
            f'set dicom.host and list "{given.ae_title}@{addresses[0]}" in dicom.accept_calling',
        )
    refusals = {refuse(_request(given, dicom), 1, address, dicom) for address in addresses or ("",)}
    if Rejection.CALLED_AE in refusals:
        return wrong(name, *_own_title(dicom))
    return None if None in refusals else _not_let_in(name, given, dicom, addresses)


def _not_let_in(
    name: str, given: DestinationSettings, dicom: Dicom, addresses: tuple[str, ...]
) -> Finding:
    title = given.ae_title
    entries = [each for each in dicom.accept_calling if each.partition("@")[0] == title]
    entry = f'"{title}@{addresses[0]}"' if addresses else f'"{title}@IP"'
    if entries:
        allowed = ", ".join(each.partition("@")[2] for each in entries)
        return wrong(
            name,
            f"dicom.accept_calling lets {title} in from {allowed}, its host is {given.host}",
            f"correct one of the two, such as {entry}",
        )
    return wrong(
        name,
        f"calling AE title {title} is not in dicom.accept_calling: we would reject it",
        f"add {entry}; letter by letter as the PACS calls itself",
    )


def _own_title(dicom: Dicom) -> tuple[str, str]:
    known = ", ".join(dicom.accept_called) or "none"
    return (
        f"wrong called AE title: {dicom.ae_title} is our own, but we answer only to {known}",
        f'add "{dicom.ae_title}" to dicom.accept_called',
    )


def _request(given: DestinationSettings, dicom: Dicom) -> A_ASSOCIATE:
    request = A_ASSOCIATE()
    request.application_context_name = _APPLICATION_CONTEXT
    request.called_ae_title = ae_title(dicom.ae_title)
    request.calling_ae_title = ae_title(given.ae_title)
    return request


def _echo(dicom: Dicom, calling: str) -> DestinationError | None:
    """Send C-ECHO to our own listener; return why not, or None."""
    host = "127.0.0.1" if _only_tls(dicom) else from_here(dicom.host)
    return why_not(peer_at((host, dicom.port), dicom.ae_title, calling))


def _only_tls(dicom: Dicom) -> bool:
    """Say whether plain DICOM is answered on this machine only, as ``receive/listener.py`` does."""
    return bool(dicom.tls.certificate) and not (dicom.accept_calling or dicom.insecure)
