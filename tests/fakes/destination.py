"""A destination in memory, whose answers a test scripts."""

from __future__ import annotations

from collections import deque

from lightbox.deliver.status import Action, DestinationError
from lightbox.domain.errors import DeliveryError
from lightbox.domain.result import Result


class FakeDestination:
    """Takes everything, unless scripted otherwise or down."""

    def __init__(self, name: str = "pacs") -> None:
        self.name = name
        self.stored: list[str] = []
        self.asked: list[str] = []
        self.echoes = 0
        self.closed = 0
        self.down = False
        self._script: deque[str | Exception] = deque()

    def script(self, *answers: str | Exception) -> None:
        """Answer the next results like this: a note, or an error to raise."""
        self._script.extend(answers)

    def echo(self) -> None:
        """Answer, unless down."""
        self.echoes += 1
        if self.down:
            raise self._refused()

    def send(self, result: Result) -> str:
        """Keep the result, unless down or scripted to fail."""
        self.asked.append(result.sop_instance_uid)
        if self.down:
            raise self._refused()
        answer = self._script.popleft() if self._script else ""
        if isinstance(answer, Exception):
            raise answer
        self.stored.append(result.sop_instance_uid)
        return answer

    def close(self) -> None:
        """Count it."""
        self.closed += 1

    def _refused(self) -> DeliveryError:
        return DestinationError(Action.UNREACHABLE, self.name, "connection refused", "start it")
