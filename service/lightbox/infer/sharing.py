"""Images of several studies in one forward pass.

Nobody waits for company: whoever gets the device takes along those that want it at that moment
with the same urgency. They find their answer ready when their own turn comes. An image is shared
only where that changes no bit of its answer (``Runtime.together``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from lightbox.domain.arrays import ImageTensor
from lightbox.domain.errors import LightboxError
from lightbox.ports import Clock, Output, Runtime


@dataclass(slots=True, eq=False)
class _Wanted:
    images: ImageTensor
    urgency: str
    output: Output | None = None
    seconds: float = 0.0


class Passes:
    """Passes of one model.

    Parameters
    ----------
    runtime : Runtime
        Of this model.
    clock : Clock
        Measures the passes.
    passed : callable (int) → None
        Is told how many images each pass had.
    """

    def __init__(
        self, runtime: Runtime, clock: Clock, passed: Callable[[int], None] = lambda _: None
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._passed = passed
        self._lock = threading.Lock()
        self._waiting: list[_Wanted] = []

    def predict(
        self,
        images: ImageTensor,
        urgency: str,
        turn: Callable[[], AbstractContextManager[object]],
    ) -> tuple[Output, float]:
        """Run images; one alone in a turn of its own, or in the one of somebody before it.

        Parameters
        ----------
        images : array, shape (B, C, H, W)
        urgency : str
            Only images of the same urgency share a pass: none makes a more urgent one wait.
        turn : callable
            Gives the device for the length of a ``with`` block.

        Returns
        -------
        Output, float
            Of these images, and the seconds of the pass.

        Raises
        ------
        LightboxError
            As the runtime; who was taken along then runs alone.
        """
        wanted = _Wanted(images, urgency)
        if len(images) == 1:
            with self._lock:
                self._waiting.append(wanted)
        try:
            with turn():
                if wanted.output is None:
                    self._run(wanted)
        finally:
            with self._lock:
                if wanted in self._waiting:
                    self._waiting.remove(wanted)
        assert wanted.output is not None
        return wanted.output, wanted.seconds

    def _run(self, first: _Wanted) -> None:
        """Run the holder of the device and those who wait beside it."""
        with self._lock:
            room = max(0, self._runtime.together - len(first.images))
            others = [w for w in self._waiting if w is not first and w.urgency == first.urgency]
            party = [first, *others[: room if len(first.images) == 1 else 0]]
            self._waiting = [w for w in self._waiting if w not in party]
        try:
            self._pass(party)
        except LightboxError:
            if len(party) == 1:
                raise
            self._pass([first])  # perhaps one of the others is to blame: each runs alone

    def _pass(self, party: list[_Wanted]) -> None:
        began = self._clock.monotonic()
        output = self._runtime.predict(np.concatenate([each.images for each in party]))
        seconds = self._clock.monotonic() - began
        self._passed(len(output.logits))
        if len(party) == 1:
            party[0].output, party[0].seconds = output, seconds
            return
        for row, each in enumerate(party):
            each.seconds = seconds
            each.output = output.row(row)
