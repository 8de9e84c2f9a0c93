"""A runtime that makes do with less where the device has too little memory.

Smaller batches first, then the processor, then nothing: the caller decides what may wait. After a
while the device is tried again with all it is meant for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from lightbox.domain.arrays import CoalitionMatrix, FloatMap, ImageTensor, LabelMap
from lightbox.domain.errors import OutOfMemoryError
from lightbox.ports import Clock, Output

_log = logging.getLogger(__name__)

CPU = "cpu"
AGAIN_AFTER = 60.0
"""Seconds until the device is tried again with its full batch; each failure doubles them."""
_AGAIN_AT_MOST = 3600.0


class Engine(Protocol):
    """What is eased: a runtime whose batch can be made smaller."""

    batch: int

    @property
    def device(self) -> str:
        """What it runs on."""
        ...

    @property
    def note(self) -> str:
        """Why not on a GPU, or ""."""
        ...

    @property
    def target_layer(self) -> str:
        """Tensor that the CAM is of."""
        ...

    @property
    def way(self) -> str:
        """How the CAM is made."""
        ...

    @property
    def together(self) -> int:
        """Most images that may share a pass."""
        ...

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, rows, columns."""
        ...

    @property
    def arithmetic(self) -> Mapping[str, str]:
        """What decides the last bits."""
        ...

    def warm(self) -> None:
        """Run once."""
        ...

    def predict(self, images: ImageTensor) -> Output:
        """Run images."""
        ...

    def layers(self, images: ImageTensor, targets: Sequence[int] = ()) -> Output:
        """Run images; give the target layer and its gradient too."""
        ...

    def value(
        self, image: FloatMap, baseline: FloatMap, regions: LabelMap, coalitions: CoalitionMatrix
    ) -> FloatMap:
        """Return logits of masked images."""
        ...


@dataclass(frozen=True, slots=True)
class Ease:
    """What a runtime makes do with."""

    device: str
    batch: int
    reason: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"runs on {self.device}, {self.batch} at a time: {self.reason}"


T = TypeVar("T")


class EasedRuntime:
    """Implements ``ports.Runtime``; one thread at a time, as the gate has it.

    Parameters
    ----------
    open_on : callable (device or "") → Engine
        Opens the network; "": on the device that is meant for it.
    clock : Clock
        Tells when to try again with more.
    noticed : callable (words) → None
        Is told what it makes do with, and "" when it needs to no more.

    Attributes
    ----------
    ease : Ease or None
        What it makes do with; None where nothing is wrong.
    """

    def __init__(
        self, open_on: Callable[[str], Engine], clock: Clock, noticed: Callable[[str], None]
    ) -> None:
        self._open_on = open_on
        self._clock = clock
        self._noticed = noticed
        self._full = self._now = open_on("")
        self._most = self._full.batch
        self._spare: Engine | None = None
        self.ease: Ease | None = None
        self._wait = AGAIN_AFTER
        self._again_at = 0.0
        self.note, self.way = self._full.note, self._full.way
        self.target_layer = self._full.target_layer
        self.image_shape = self._full.image_shape

    @property
    def device(self) -> str:
        """What really runs now."""
        return self._now.device

    @property
    def batch(self) -> int:
        """Images of one pass now."""
        return self._now.batch

    @property
    def together(self) -> int:
        """Most images that may share a pass of :meth:`predict` and keep their bits."""
        return min(self._now.together, self._now.batch)

    @property
    def arithmetic(self) -> Mapping[str, str]:
        """What decides the last bits of :meth:`value` now."""
        return self._now.arithmetic

    def warm(self) -> None:
        """Run once, with less where there is too little memory from the start."""
        self._with_less(lambda engine: engine.warm())

    def predict(self, images: ImageTensor) -> Output:
        """Run images, shape (B, C, H, W), in parts where all at once are too many.

        Raises
        ------
        OutOfMemoryError
            If not even one image fits, on the processor either.
        """
        self._try_again()

        def run(engine: Engine) -> Output:
            # Only an eased engine is asked in parts: its batch is what was found to fit.
            step = engine.batch if self.ease else len(images)
            return Output.joined(
                [engine.predict(images[at : at + step]) for at in range(0, len(images), step)]
            )

        return self._with_less(run)

    def layers(self, images: ImageTensor, targets: Sequence[int] = ()) -> Output:
        """Run images; give the target layer and its gradient too.

        Raises
        ------
        OutOfMemoryError
            As :meth:`predict`.
        """
        self._try_again()
        return self._with_less(lambda engine: engine.layers(images, targets))

    def value(
        self, image: FloatMap, baseline: FloatMap, regions: LabelMap, coalitions: CoalitionMatrix
    ) -> FloatMap:
        """Return logits, shape (n_coalitions, classes), of masked images.

        Raises
        ------
        OutOfMemoryError
            As :meth:`predict`.
        """
        self._try_again()
        return self._with_less(lambda engine: engine.value(image, baseline, regions, coalitions))

    def _with_less(self, work: Callable[[Engine], T]) -> T:
        while True:
            try:
                return work(self._now)
            except OutOfMemoryError as error:
                if not self._step_down(error.reason):
                    raise

    def _step_down(self, reason: str) -> bool:
        """Make do with less; say whether there was less to be had."""
        if self._now.batch > 1:
            self._now.batch //= 2
        elif self._now.device != CPU:
            if self._spare is None:
                self._spare = self._open_on(CPU)
            self._now = self._spare
        else:
            self._say(reason)
            return False
        self._say(reason)
        return True

    def _say(self, reason: str) -> None:
        if self.ease is None:
            self._again_at = self._clock.monotonic() + self._wait
            self._wait = min(2 * self._wait, _AGAIN_AT_MOST)
        self.ease = Ease(self._now.device, self._now.batch, reason)
        _log.warning("the network %s", self.ease)
        self._noticed(str(self.ease))

    def _try_again(self) -> None:
        """Go back to the device with its full batch, once in a while."""
        now = self._clock.monotonic()
        if self.ease is None:
            if now > self._again_at + self._wait:
                self._wait = AGAIN_AFTER  # it has gone well for long enough
            return
        if now >= self._again_at:
            self._now = self._full
            self._now.batch = self._most
            self._spare = None
            self.ease = None
            self._again_at = now
            self._noticed("")
