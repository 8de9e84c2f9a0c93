"""Counters that keep one peer, or all of them together, from taking everything."""

from __future__ import annotations

import threading
from collections import Counter

from lightbox.domain.errors import RefusalReason, RefusedError


class Admission:
    """How many associations are established, overall and per address.

    Connections that have not asked for an association hold no place here.

    Parameters
    ----------
    overall : int
        Most associations at once.
    per_peer : int
        Most associations of one address.
    """

    def __init__(self, overall: int, per_peer: int) -> None:
        self._overall = overall
        self._per_peer = per_peer
        self._by_peer: Counter[str] = Counter()
        self._active = 0
        self._lock = threading.Lock()

    def configure(self, overall: int, per_peer: int) -> None:
        """Keep other limits from now on; nobody who is in is sent away."""
        with self._lock:
            self._overall, self._per_peer = overall, per_peer

    @property
    def active(self) -> int:
        """How many are established now."""
        return self._active

    def enter(self, peer: str) -> bool:
        """Take a place; False where there is none."""
        with self._lock:
            if self._active >= self._overall or self._by_peer[peer] >= self._per_peer:
                return False
            self._active += 1
            self._by_peer[peer] += 1
            return True

    def leave(self, peer: str) -> None:
        """Give the place back."""
        with self._lock:
            self._active -= 1
            self._by_peer[peer] -= 1
            if not self._by_peer[peer]:
                del self._by_peer[peer]


class Memory:
    """Bytes of strangers that are held in memory, all associations together.

    Parameters
    ----------
    limit : int
        Most bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._lock = threading.Lock()

    def configure(self, limit: int) -> None:
        """Keep another limit from now on."""
        with self._lock:
            self._limit = limit

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._held

    def take(self, count: int) -> None:
        """Ask for ``count`` bytes.

        Raises
        ------
        RefusedError
            If that would be too much.
        """
        with self._lock:
            if self._held + count > self._limit:
                raise RefusedError(
                    RefusalReason.OUT_OF_RESOURCES,
                    "receive memory",
                    f"{self._limit} bytes are in use",
                    "raise dicom.limits.memory or lower dicom.max_associations",
                )
            self._held += count

    def give_back(self, count: int) -> None:
        """Return ``count`` bytes."""
        with self._lock:
            self._held -= count
