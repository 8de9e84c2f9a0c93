"""Which machine an address is: this one, or another."""

from __future__ import annotations

import ipaddress
import socket


def resolved(host: str) -> tuple[str, ...]:
    """Return the IP addresses of a host, none where its name is unknown."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(row[4][0]) for row in found))


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach the address."""
    found = resolved(host)
    return bool(found) and all(ipaddress.ip_address(one.split("%")[0]).is_loopback for one in found)


def is_here(address: str) -> bool:
    """Say whether an IP address is one of this machine: only its own can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def from_here(listening: str) -> str:
    """Return the address at which this machine reaches what listens on ``listening``."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(listening, listening)  # noqa: S104  # compared, not bound
