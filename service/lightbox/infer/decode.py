"""Warm child processes that decode pixel data: a file that hangs or kills one harms nobody else."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import ValidationError

from lightbox.domain.errors import UnreadableError
from lightbox.domain.frame import Frame
from lightbox.domain.prediction import FrameRef
from lightbox.infer.decode_wire import (
    LENGTH_BYTES,
    LONGEST_HEADER,
    FramesRequest,
    Header,
    Task,
)
from lightbox.infer.preprocess import geometry_for
from lightbox.settings import Limits

_START_SECONDS = 60.0
_PIPE_BYTES = 1 << 20
"""So that a child decodes a few frames ahead while the network runs."""


_KEPT_PAGES = {
    "MALLOC_MMAP_THRESHOLD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
}
"""glibc keeps the pages of arrays that come and go with each frame: given back each time, they cost
half of the time of a 512 x 512 image. Where another C library runs, nothing happens."""

_MOST_TOLD = 32
"""Combinations that decoders differ about and of which is told: a sender may make them up."""


def _nobody(_combination: str, _words: str) -> None:
    """Tell nobody."""


class ClosedError(RuntimeError):
    """The pool was closed while a file was being decoded; it says nothing about the file."""


class DecodePool:
    """A few warm children; each decodes one file at a time.

    Parameters
    ----------
    processes : int
        How many; they start at once and are ready a moment later.
    limits : Limits
        Memory, CPU time and samples of one instance.
    grace : float
        A child that is silent for twice its CPU time and so many seconds more is ended.
    differ : callable (combination, words) → None
        Is told of manufacturer, syntax and bits that two decoders make different pixels of.
    """

    def __init__(
        self,
        processes: int = 2,
        limits: Limits | None = None,
        grace: float = 10.0,
        differ: Callable[[str, str], None] = _nobody,
    ) -> None:
        self._limits = limits or Limits()
        self._grace = grace
        self._differ = differ
        self._told: set[str] = set()
        self._idle: queue.Queue[_Child | None] = queue.Queue()
        self._children: set[_Child] = set()
        self._closed = False
        for _ in range(processes):
            self._idle.put(self._started())

    def configure(self, limits: Limits) -> None:
        """Keep other limits from now on: each child is replaced before its next file."""
        if limits != self._limits:
            self._limits = limits

    def frames(self, request: FramesRequest) -> Generator[Frame]:
        """Decode frames, one after the other; whoever stops before the last costs the pool a child.

        Raises
        ------
        UnreadableError
            Naming the file and why: no image, broken pixel data, too large, too slow, a crash.
        ClosedError
            If the pool is closed.
        """
        child = self._take()
        finished = False
        try:
            last = yield from child.frames(request)
            finished = True
        except _LostError as error:
            if self._closed:
                raise ClosedError from error
            name = Path(request.path).name
            raise UnreadableError(name, f"its pixel data cannot be decoded: {error}") from error
        except _DifferError as error:
            finished = True
            if len(self._told) < _MOST_TOLD or error.combination in self._told:
                self._told.add(error.combination)
                self._differ(error.combination, error.reason)
            raise
        except UnreadableError:
            finished = True
            raise
        finally:
            self._give_back(child, finished=finished)
        yield last  # while others have the child

    def _take(self) -> _Child:
        child = self._idle.get()
        if child is None or self._closed:
            self._idle.put(None)  # for whoever waits beside us
            raise ClosedError
        if child.is_alive() and child.limits is self._limits:
            return child
        self._discard(child)
        return self._started()

    def _give_back(self, child: _Child, *, finished: bool) -> None:
        if self._closed:
            return
        if not finished:
            self._discard(child)
            child = self._started()
        self._idle.put(child)

    def _started(self) -> _Child:
        limits = self._limits
        child = _Child(limits, 2 * limits.decode_time + self._grace)
        self._children.add(child)
        return child

    def _discard(self, child: _Child) -> None:
        child.kill()
        self._children.discard(child)

    def close(self) -> None:
        """End the children."""
        self._closed = True
        self._idle.put(None)
        for child in tuple(self._children):
            self._discard(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _DifferError(UnreadableError):
    """Two decoders differ about it."""

    combination = ""


class _LostError(Exception):
    """The child ended, fell silent or said something that it must not say."""


class _Child:
    """One process and the two pipes to it."""

    def __init__(self, limits: Limits, patience: float) -> None:
        self.limits = limits
        self._patience = patience
        self._ready = False
        program = [sys.executable, "-m", "lightbox.infer.decode_child"]
        bounds = [str(limits.decode_memory), str(limits.decode_time), str(limits.pixels)]
        self._process = subprocess.Popen(  # noqa: S603  # our own module, no input of strangers
            [*program, *bounds],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,  # Ctrl-C in a terminal is for the parent
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests = self._process.stdin
        self._replies = self._process.stdout.fileno()
        with contextlib.suppress(OSError):  # a site may bound pipes; then it is only slower
            fcntl.fcntl(self._replies, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._poll = select.poll()
        self._poll.register(self._replies, select.POLLIN)

    def is_alive(self) -> bool:
        """Say whether it can take a file."""
        return self._process.poll() is None

    def frames(self, request: FramesRequest) -> Generator[Frame, None, Frame]:
        """Ask for frames and check each answer; the last one is returned."""
        if not self._ready:
            self._message(_START_SECONDS)
            self._ready = True
        self._ask(request)
        while True:
            header = self._message(self._patience)
            match header.kind:
                case "frame":
                    frame = self._frame(header, request)
                    if header.last:
                        return frame
                    yield frame
                case "unreadable":
                    raise _unreadable(Path(request.path).name, header)
                case "ready":
                    raise _LostError("the decoder answered out of turn")

    def kill(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._requests.close()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _ask(self, request: FramesRequest) -> None:
        task = Task(path=request.path, numbers=request.numbers, preprocessing=request.preprocessing)
        try:
            self._requests.write(task.model_dump_json().encode() + b"\n")
            self._requests.flush()
        except OSError as error:
            raise _LostError(self._epitaph()) from error

    def _frame(self, header: Header, request: FramesRequest) -> Frame:
        spec = request.preprocessing
        rank = len(header.picture)
        if header.tensor != (1, spec.channels, *spec.size) or rank not in {2, 3}:
            raise _LostError("the decoder answered with another shape")
        if min(header.picture) < 1 or np.prod(header.picture) > self.limits.pixels:
            raise _LostError("the decoder answered with another size")
        tensor = self._filled(np.empty(header.tensor, dtype=np.float32))
        picture = self._filled(np.empty(header.picture, dtype=np.uint8))
        rows, columns = header.picture[:2]
        return Frame(
            ref=FrameRef(request.sop_instance_uid, header.number),
            tensor=tensor,
            picture=picture,
            geometry=geometry_for(spec, (rows, columns), header.spacing),
            pixel_spacing=header.spacing,
        )

    def _filled(self, array: np.ndarray) -> np.ndarray:
        """Read the bytes of an array into it."""
        self._read_into(array.data.cast("B"), self._patience)
        return array

    def _message(self, patience: float) -> Header:
        length = int.from_bytes(self._read(LENGTH_BYTES, patience), "big")
        if length > LONGEST_HEADER:
            raise _LostError("the decoder answered with another format")
        try:
            return Header.model_validate_json(self._read(length, patience))
        except ValidationError as error:
            raise _LostError("the decoder answered with another format") from error

    def _read(self, size: int, patience: float) -> bytearray:
        """Read exactly so many bytes, or say why that cannot be."""
        buffer = bytearray(size)
        self._read_into(memoryview(buffer), patience)
        return buffer

    def _read_into(self, view: memoryview, patience: float) -> None:
        until = time.monotonic() + patience
        while len(view) > 0:
            if not self._poll.poll(max(0.0, until - time.monotonic()) * 1000):
                raise _LostError(f"no answer within {patience:.0f} s")
            count = os.readv(self._replies, [view])
            if count == 0:
                raise _LostError(self._epitaph())
            view = view[count:]

    def _epitaph(self) -> str:
        """Say how the process ended."""
        code = self._process.wait()
        if code == -signal.SIGXCPU:
            return f"it took more than {self.limits.decode_time:.0f} s of CPU time"
        if code < 0:
            return f"the decoder crashed ({signal.Signals(-code).name})"
        return f"the decoder gave up (exit {code})"  # a panic of a decoder written in Rust


def _unreadable(name: str, header: Header) -> UnreadableError:
    """Return the error that a child's answer is."""
    if not header.differ:
        return UnreadableError(name, header.reason, header.mend)
    error = _DifferError(name, header.reason, header.mend)
    error.combination = header.differ
    return error


def _environment() -> dict[str, str]:
    """Only what Python needs: no token, key or address of the service gets into a child."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    python = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**kept, **one_thread, **python, **_KEPT_PAGES}
