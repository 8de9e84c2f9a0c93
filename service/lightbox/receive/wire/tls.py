"""DICOM over TLS: BCP 195 profile (PS3.15 B.12): TLS 1.2 or newer, ephemeral keys, AEAD only."""

from __future__ import annotations

import ssl
from pathlib import Path

from lightbox.domain.errors import ConfigurationError
from lightbox.settings import Tls

_AEAD = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"


def tls_context(settings: Tls) -> ssl.SSLContext:
    """Return the context of our listener.

    Raises
    ------
    ConfigurationError
        If certificate, key or authorities are missing or cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_AEAD)
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


def _must_exist(key: str, path: str) -> None:
    if not path or not Path(path).is_file():
        raise _unusable(key, path, "is no file")


def _unusable(key: str, path: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"{key} {path!r}", reason, "name a readable PEM file")
