"""TLS as a client: whom we believe, who we are, and why a handshake failed."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lightbox.deliver.status import Network
from lightbox.domain.errors import ConfigurationError
from lightbox.settings import DestinationTls

SYSTEM = "system"
"""In place of a PEM file: the authorities that this machine trusts."""

AEAD = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"
_OTHER_NAME = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH
_TIME = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, …_HAS_EXPIRED
_NOTHING_IN_COMMON = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "CIPHER", "INSUFFICIENT_SECURITY")
_ALERT_SECONDS = 1.0


def client_context(tls: DestinationTls, of: str) -> ssl.SSLContext:
    """Return the context of connections to one destination.

    Parameters
    ----------
    tls : DestinationTls
        Files, and whether names are compared.
    of : str
        Key of these settings, for errors: "destinations.pacs.tls".

    Raises
    ------
    ConfigurationError
        If a file is missing or cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(AEAD)
    context.check_hostname = tls.check_name
    if tls.ca in {"", SYSTEM}:
        context.load_default_certs()
    else:
        with _named(f"{of}.ca", tls.ca):
            context.load_verify_locations(tls.ca)
    if tls.certificate:
        with _named(f"{of}.key" if tls.key else f"{of}.certificate", tls.key or tls.certificate):
            context.load_cert_chain(tls.certificate, tls.key or None, password=_no_password)
    return context


def why_no_handshake(error: Exception) -> Network:
    """Return what an error of a connection over TLS means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OTHER_NAME:
            return Network.TLS_NAME
        return Network.TLS_TIME if error.verify_code in _TIME else Network.TLS_AUTHORITY
    reason = str(getattr(error, "reason", "") or "")
    if any(word in reason for word in _NOTHING_IN_COMMON):
        return Network.TLS_NOTHING_IN_COMMON
    return Network.TLS_OURS if "ALERT" in reason else Network.TLS_NOT_SPOKEN


def handshake(
    address: tuple[str, int], context: ssl.SSLContext, name: str, seconds: float
) -> Network | None:
    """Shake hands once; return why that failed, None where it did not.

    With TLS 1.3 the peer looks at our certificate when our side of the handshake is over: so listen
    for a moment whether it objects.
    """
    with socket.create_connection(address, timeout=seconds) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=name or None) as ours:
                ours.settimeout(min(seconds, _ALERT_SECONDS))
                with suppress(TimeoutError):
                    ours.recv(1)
        except (ssl.SSLError, OSError) as error:
            return why_no_handshake(error)
    return None


def speaks_tls(address: tuple[str, int], seconds: float) -> bool:
    """Say whether a port answers TLS, whoever it is; nothing is sent to it."""
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname = False
    anyone.verify_mode = ssl.CERT_NONE
    try:
        return handshake(address, anyone, "", seconds) not in {
            Network.TLS_NOT_SPOKEN,
            Network.CONNECT_TIMEOUT,
        }
    except OSError:
        return False


def _no_password() -> str:
    """Without this, OpenSSL would ask at the terminal."""
    return ""


@contextmanager
def _named(key: str, path: str) -> Iterator[None]:
    """Let errors in here name the key and the file."""
    mend = "name a readable PEM file without a password"
    if not Path(path).is_file():
        raise ConfigurationError(f"{key} {path!r}", "is no file", mend)
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(f"{key} {path!r}", str(error), mend) from error
