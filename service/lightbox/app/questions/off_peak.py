"""The hours in which audits run that nobody asked for (``[audit] window``)."""

from __future__ import annotations

from datetime import UTC, datetime

from lightbox.domain.hours import Hours
from lightbox.domain.jobs import Job
from lightbox.ports import Clock

OFF_PEAK = "audits until off-peak hours"
"""What holds such an audit back, where the name of a stopped model would stand."""


class OffPeak:
    """Says whether it is time for audits, by the clock on the wall of this machine.

    Parameters
    ----------
    window : str
        Such as "22:00-06:00", local time; "" is always.
    clock : Clock
        Time.
    """

    def __init__(self, window: str, clock: Clock) -> None:
        self._clock = clock
        self.configure(window)

    def configure(self, window: str) -> None:
        """Keep other hours from now on."""
        self._hours = Hours.read(window) if window else None

    def is_open(self) -> bool:
        """Say whether audits may run now."""
        if self._hours is None:
            return True
        return self._hours.wait(datetime.fromtimestamp(self._clock.now(), UTC).astimezone()) == 0.0

    def holds(self, job: Job) -> bool:
        """Say whether this job has to wait for the hours; one that a person asks for does not."""
        return job.off_peak and job.attempt == 1 and not self.is_open()
