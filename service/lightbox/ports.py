"""The eight sockets that exchangeable parts fit.

A Protocol stands here only where two implementations exist in this repository. Each has one
contract suite in ``tests/contracts/`` that every implementation passes, the fake included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, FloatMap, ImageTensor, LabelMap, PlayerValues
from lightbox.domain.attribution import Estimate
from lightbox.domain.events import Event, Recorded
from lightbox.domain.explained import Explained
from lightbox.domain.jobs import Job
from lightbox.domain.result import Result, ResultKind


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Return seconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...


class Staged(Protocol):
    """Bytes that are on disk, and not to be found under their path yet."""

    def publish(self) -> None:
        """Let them show up under their path, durably."""
        ...

    def discard(self) -> None:
        """Remove them; nothing happens where they were published or removed."""
        ...


class Storage(Protocol):
    """Where bytes are kept, by a path relative to the data directory."""

    def put(self, path: str, data: bytes) -> None:
        """Write durably: file and folder are synced when this returns."""
        ...

    def stage(self, path: str, data: bytes) -> Staged:
        """Begin to write: the content is synced when this returns, and nobody finds it yet."""
        ...

    def read(self, path: str) -> bytes:
        """Return all bytes.

        Raises
        ------
        FileNotFoundError
            If nothing is stored under this path.
        """
        ...

    def delete(self, path: str) -> None:
        """Remove; nothing happens where nothing is."""
        ...

    def free_bytes(self) -> int:
        """Return what can still be written."""
        ...


class Ledger(Protocol):
    """What was written down. One writer per chain; every chain can be read."""

    def record(self, *events: Event) -> tuple[Recorded, ...]:
        """Append durably, in order; an event whose key is known already returns the old row.

        Raises
        ------
        LedgerError
            If the rows are not on disk. Nothing may be acknowledged then.
        """
        ...

    def begin(self, event: Event) -> Callable[[], Recorded]:
        """Begin to append; what is returned waits until it is on disk, and raises as ``record``."""
        ...

    def newest_first(self) -> Iterator[Recorded]:
        """Yield the rows of the own chain, the newest first."""
        ...

    def since(self, positions: Mapping[str, int]) -> tuple[Recorded, ...]:
        """Return all rows after these positions (chain → sequence), chains in time order."""
        ...

    def timeline(self, study_instance_uid: str) -> tuple[Recorded, ...]:
        """Return the events of one study from all chains, by time."""
        ...

    def find(self, key: str) -> Recorded | None:
        """Return the row with this key from any chain."""
        ...


class Queue(Protocol):
    """Hands jobs to a worker, by urgency and deadline. Only a hand: the ledger is the truth."""

    def place(self, job: Job) -> None:
        """Enqueue; placing a job twice is placing it once."""
        ...

    def serve(self, handler: Handler) -> None:
        """Start executing jobs with ``handler`` in threads of the engine; returns at once."""
        ...

    def cancel(self, job_id: str) -> None:
        """Let it not start, or stop it at its next step."""
        ...

    def move(self, job: Job) -> None:
        """Let a job that waits wait in the place that its urgency has now; others are let be."""
        ...

    def waiting(self) -> Mapping[str, int]:
        """Return how many jobs wait, by urgency."""
        ...

    def close(self, seconds: float) -> None:
        """Stop taking jobs, wait at most so long for the running ones."""
        ...


class Step(Protocol):
    """Makes the result of a function durable under a name, within one job."""

    def __call__(self, name: str, function: Callable[[], str]) -> str:
        """Run once; after a crash the stored text is returned instead."""
        ...


Handler = Callable[[str, Step], None]
"""What a worker does: (job id, step) → nothing; it records its own events."""


@dataclass(frozen=True, slots=True)
class Output:
    """What one forward pass gives for a batch.

    Attributes
    ----------
    logits : array, shape (B, classes), float32
    cam : array, shape (B, h, w), float32, or None
        Class-activation map of each sample's winning class, by the package's fast method.
    activation, gradient : array, shape (B, K, h, w) or (B, K, d, h, w), float32, or None
        The target layer, and d logit / d layer of one class; only from :meth:`Runtime.layers`.
    targets : tuple of int
        Class of each sample's gradient; empty: the winning one.
    outline : array, shape (B, h, w), float32, or None
        Of a segmentation network: the logit of each cell of the model frame, above 0 inside.
    distance : array, shape (B,), float32, or None
        How far each image is from those that the network knows, where its package says so.
    """

    logits: FloatMap
    cam: FloatMap | None = None
    activation: FloatMap | None = None
    gradient: FloatMap | None = None
    targets: tuple[int, ...] = ()
    outline: FloatMap | None = None
    distance: FloatMap | None = None

    def row(self, number: int) -> Output:
        """Return what :meth:`Runtime.predict` gave for one image."""
        one = slice(number, number + 1)
        parts = (self.cam, self.outline, self.distance)
        cam, outline, distance = (None if part is None else part[one] for part in parts)
        return Output(self.logits[one], cam, outline=outline, distance=distance)

    @classmethod
    def joined(cls, parts: Sequence[Output]) -> Output:
        """Put parts of one batch together, each as :meth:`Runtime.predict` gave it."""
        return cls(
            np.concatenate([part.logits for part in parts]),
            _joined([part.cam for part in parts]),
            outline=_joined([part.outline for part in parts]),
            distance=_joined([part.distance for part in parts]),
        )


def _joined(parts: Sequence[FloatMap | None]) -> FloatMap | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if there else None


class Runtime(Protocol):
    """Runs a network. One warm instance per model."""

    @property
    def together(self) -> int:
        """Most images that have the same bits in one pass of :meth:`predict` as each alone."""
        ...

    @property
    def arithmetic(self) -> Mapping[str, str]:
        """What decides the last bits of :meth:`value`: engine, version, device, threads, batch."""
        ...

    def predict(self, images: ImageTensor) -> Output:
        """Run images, shape (B, C, H, W)."""
        ...

    def layers(self, images: ImageTensor, targets: Sequence[int] = ()) -> Output:
        """Run images; give the target layer and its gradient too.

        ``targets`` names the class of each image; empty: the winning ones.
        """
        ...

    def value(
        self,
        image: FloatMap,
        baseline: FloatMap,
        regions: LabelMap,
        coalitions: CoalitionMatrix,
    ) -> FloatMap:
        """Return logits, shape (n_coalitions, classes), of masked images.

        The masking is done on the device: a pixel is ``image`` (C, H, W) where its region is
        in the coalition, ``baseline`` (C, H, W) elsewhere; ``regions`` is (H, W).
        """
        ...


class Game(Protocol):
    """v(S) of one image: what an explainer may ask."""

    @property
    def n_players(self) -> int:
        """Number of players."""
        ...

    def value(self, coalitions: CoalitionMatrix) -> PlayerValues:
        """Return v(S) of each row, shape (n_coalitions,)."""
        ...


class Explainer(Protocol):
    """Shares v(N) - v(empty) out among the players, a chunk at a time."""

    def refine(self, game: Game) -> Iterator[Estimate]:
        """Yield a valid estimate after every chunk; the caller decides whether to go on."""
        ...


class ResultWriter(Protocol):
    """Makes one kind of DICOM object."""

    kind: ResultKind

    def write(self, explained: Explained) -> bytes | None:
        """Return a valid DICOM file, or None where this kind does not apply.

        Raises
        ------
        ResultError
            If no valid object can be made.
        """
        ...


class Destination(Protocol):
    """A node that keeps our results."""

    name: str

    def echo(self) -> None:
        """Check that it answers.

        Raises
        ------
        DeliveryError
            With the words that a PACS administrator needs.
        """
        ...

    def send(self, result: Result) -> str:
        """Store one object; return a note ("" in the normal case).

        Raises
        ------
        DeliveryError
            If it did not take the object.
        """
        ...

    def close(self) -> None:
        """Release the association."""
        ...
