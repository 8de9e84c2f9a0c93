"""DICOM over TLS: BCP 195 profile (PS3.15 B.12): TLS 1.2 or newer, ephemeral keys, AEAD only."""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from lightbox.domain.errors import ConfigurationError
from lightbox.settings import Tls

_log = logging.getLogger(__name__)

AEAD = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"


def tls_context(settings: Tls) -> ssl.SSLContext:
    """Return the context of our listener.

    Raises
    ------
    ConfigurationError
        If certificate, key or authorities are missing or cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(AEAD)
    for key in ("certificate", "key"):
        _must_exist(f"dicom.tls.{key}", getattr(settings, key))
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("dicom.tls.certificate", settings.certificate, str(error)) from error
    if settings.require_client:
        _must_exist("dicom.tls.ca", settings.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    if settings.ca:
        try:
            context.load_verify_locations(settings.ca)
        except (OSError, ssl.SSLError) as error:
            raise _unusable("dicom.tls.ca", settings.ca, str(error)) from error
    return context


def names_of(certificate: Mapping[str, object]) -> tuple[str, ...]:
    """Return what a peer's certificate names: common names, DNS names, last parts of URIs.

    Parameters
    ----------
    certificate : mapping
        As ``ssl.SSLSocket.getpeercert`` gives it; empty where there was none.
    """
    names = [
        str(value)
        for part in _tuples(certificate.get("subject"))
        for key, value in _pairs(part)
        if key == "commonName"
    ]
    for kind, value in _pairs(certificate.get("subjectAltName")):
        if kind == "DNS":
            names.append(value)
        elif kind == "URI":
            names.append(re.split("[:/]", value)[-1])
    return tuple(dict.fromkeys(names))


def _tuples(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else ()


def _pairs(value: object) -> Iterator[tuple[str, str]]:
    for pair in _tuples(value):
        match pair:
            case (str(key), str(of)):
                yield key, of
            case _:
                pass


class Certificates:
    """The context of new connections: files that were renewed are read again, without a restart.

    What cannot be used is said once, and the old ones stay in force.

    Parameters
    ----------
    settings : Tls
        Names the files.

    Raises
    ------
    ConfigurationError
        If they cannot be used at the start.
    """

    def __init__(self, settings: Tls) -> None:
        self._settings = settings
        self._stamp = self._look()
        self._context = tls_context(settings)

    def context(self) -> ssl.SSLContext:
        """Return the context for one more connection. Called from one thread at a time."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._context = tls_context(self._settings)
                _log.info("dicom.tls: certificates were renewed and are in force")
            except ConfigurationError as error:
                _log.warning("dicom.tls: %s; the old certificates stay in force", error)
        return self._context

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        given = self._settings
        return tuple(_stamp(path) for path in (given.certificate, given.key, given.ca) if path)


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _must_exist(key: str, path: str) -> None:
    if not path or not Path(path).is_file():
        raise _unusable(key, path, "is no file")


def _unusable(key: str, path: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"{key} {path!r}", reason, "name a readable PEM file")
