"""The system's clock; the only place that asks for the time."""

from __future__ import annotations

import time


class SystemClock:
    """Implements the ``Clock`` port."""

    def now(self) -> float:
        """Return seconds since 1970, UTC."""
        return time.time()  # noqa: TID251  # this is the port

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()
