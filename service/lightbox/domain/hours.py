"""Hours of the day, such as off-peak: when they begin, and how long to wait for that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_WRITTEN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Hours:
    """From one time of the day to another, across midnight where the second is the earlier.

    Attributes
    ----------
    opens, closes : int
        Minutes after midnight; equal: the whole day.
    """

    opens: int
    closes: int

    @classmethod
    def read(cls, text: str) -> Hours:
        """Read hours such as "22:00-06:00".

        Raises
        ------
        ValueError
            If these are no hours.
        """
        found = _WRITTEN.fullmatch(text)
        if found is None:
            raise ValueError('expected hours such as "22:00-06:00"')
        first, second, third, fourth = (int(part) for part in found.groups())
        return cls(first * 60 + second, third * 60 + fourth)

    def wait(self, local: datetime) -> float:
        """Return the seconds from a local time to the next moment inside; 0 inside.

        The clock on the wall decides: when it is put forward or back in between, the wait is off by
        that much, and who waits asks again.
        """
        minute = local.hour * 60 + local.minute
        if self.opens <= self.closes:
            inside = self.opens <= minute < self.closes or self.opens == self.closes
        else:
            inside = minute >= self.opens or minute < self.closes
        if inside:
            return 0.0
        start = local.replace(
            hour=self.opens // 60, minute=self.opens % 60, second=0, microsecond=0
        )
        return ((start if start > local else start + _DAY) - local).total_seconds()
