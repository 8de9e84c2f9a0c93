"""Durable steps that keep failures to themselves.

An engine that stores what a step returns would store what it raises too, and the message of a
foreign exception may quote a header. So a failure is carried past the engine: it sees a mark.
"""

from __future__ import annotations

from collections.abc import Callable

from lightbox.domain.errors import CancelledError, StoppingError

_FAILED = "!"


class Steps:
    """The port ``Step`` for one job.

    Parameters
    ----------
    run : callable (name, body) → str
        Runs the body and stores its text; after a crash it returns the stored text instead.
        Raises CancelledError where the job was cancelled.
    is_stopping : callable () → bool
        Whether the process stops, so that no further step may start.
    """

    def __init__(
        self, run: Callable[[str, Callable[[], str]], str], is_stopping: Callable[[], bool]
    ) -> None:
        self._run = run
        self._is_stopping = is_stopping

    def __call__(self, name: str, function: Callable[[], str]) -> str:
        """Run the function once, durably, under this name."""
        if self._is_stopping():
            raise StoppingError(f"step {name}")
        failures: list[Exception] = []

        def body() -> str:
            try:
                return f"={function()}"
            except Exception as error:  # noqa: BLE001  # carried past the engine, raised below
                failures.append(error)
                return _FAILED

        try:
            stored = self._run(name, body)
        except CancelledError:
            raise
        except Exception as error:
            # Not the job's fault: the store is gone, or the job has another owner by now.
            raise StoppingError(f"step {name}: {type(error).__name__}") from error
        if failures:
            raise failures[0]
        # A failure before a crash: its exception is lost, so the step is done again.
        return function() if stored == _FAILED else stored[1:]
