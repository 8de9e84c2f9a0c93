"""The listener's certificate: whether a peer could shake hands with it, and for how long."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

from lightbox.ports import Clock
from lightbox.receive.wire.tls import tls_context
from lightbox.settings import Tls
from lightbox.tools.doctor_checks.finding import Finding, note, well, wrong

_NAME = "dicom.tls"
_DAY = 86400.0
_SOON = 30 * _DAY
_MEND = "have a new certificate made; restart the service with it"


def certificate(tls: Tls, clock: Clock) -> Iterator[Finding]:
    """Shake hands in memory with the context of our listener, as a peer that trusts it.

    Raises
    ------
    ConfigurationError
        If certificate, key or authorities cannot be used.
    """
    if not tls.certificate:
        return
    context = tls_context(tls)
    try:
        ends = _not_after(context, tls.certificate)
    except ssl.SSLCertVerificationError as error:
        yield wrong(_NAME, f"{tls.certificate}: {error.verify_message}", _MEND)
        return
    except ssl.SSLError as error:
        yield wrong(_NAME, f"{tls.certificate}: no handshake: {error.reason}", _MEND)
        return
    until = f"{tls.certificate} is valid until {datetime.fromtimestamp(ends, UTC):%Y-%m-%d}"
    left = ends - clock.now()
    if left < _SOON:
        yield note(_NAME, f"{until}, {left / _DAY:.0f} days from now", _MEND)
    else:
        who = "peers need a certificate" if tls.require_client else "peers need no certificate"
        yield well(_NAME, f"{until}; {who}")


def _not_after(ours: ssl.SSLContext, trusted: str) -> float:
    """Return when the certificate ends, seconds since 1970, after a handshake with it."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.check_hostname = False  # DICOM peers are told apart by their certificates
    theirs.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whoever signed it: trust it alone
    theirs.load_verify_locations(trusted)
    to_us, to_them = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = theirs.wrap_bio(to_them, to_us)
    we = ours.wrap_bio(to_us, to_them, server_side=True)
    for side in (peer, we):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    peer.do_handshake()
    found = peer.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(found["notAfter"]))
