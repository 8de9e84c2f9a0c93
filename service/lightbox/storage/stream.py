"""Bytes on their way into a file: gathered in blocks, each written while the next one comes.

A block goes past the page cache. To make room for it there, and to write it back at the sync, can
cost half of an image's processor time, and nobody reads the file before its sender is answered.
What is short goes through the cache: then it costs less than the wait.
"""

from __future__ import annotations

import hashlib
import mmap
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from lightbox.storage.files import ALIGNED, Files, Part

BLOCK = 576 * 1024
"""Bytes of a block: a CT slice of 512 x 512 and its header fit."""

_PAST_THE_CACHE_FROM = 256 * 1024
_HASH_FROM = 96 * 1024
"""Bytes that are hashed at a time: for each time the interpreter is let go of and fought for again,
and a peer's pieces may be short."""

_KEPT = 8
_WRITERS = 2
"""More wrote little faster, and each has a block."""


class Blocks:
    """Memory to gather bytes in, aligned as a disk wants it, and threads that write it.

    Whoever receives holds one block, and up to two of them a second one: what all associations
    together need is known. The threads are there from the start: one that cannot be had later
    would leave a write behind, for whoever comes next to do into a file that is another's by then.
    """

    def __init__(self) -> None:
        self._free: list[memoryview] = []  # append and pop are atomic
        self._jobs: queue.SimpleQueue[tuple[Future[None], Callable[[], None]] | None]
        self._jobs = queue.SimpleQueue()
        self._idle = threading.BoundedSemaphore(_WRITERS)
        self._writers = [
            threading.Thread(target=self._write, name="block", daemon=True) for _ in range(_WRITERS)
        ]
        for writer in self._writers:
            writer.start()

    def take(self) -> memoryview:
        """Return a block; what is in it means nothing."""
        try:
            return self._free.pop()
        except IndexError:
            return memoryview(mmap.mmap(-1, BLOCK, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))

    def give_back(self, block: memoryview) -> None:
        """Return one that nobody uses any more."""
        if len(self._free) < _KEPT:
            self._free.append(block)

    def aside(self, write: Callable[[], None]) -> Future[None] | None:
        """Let a thread of ours do it; None where all of them are busy."""
        if not self._idle.acquire(blocking=False):
            return None
        job: Future[None] = Future()
        self._jobs.put((job, write))
        return job

    def close(self) -> None:
        """End the threads after what they have in hand; whoever comes later writes himself."""
        writers, self._writers = self._writers, []
        for _ in writers:
            self._idle.acquire()
            self._jobs.put(None)
        for writer in writers:
            writer.join()

    def _write(self) -> None:
        while (todo := self._jobs.get()) is not None:
            job, write = todo
            try:
                write()
            except BaseException as error:  # noqa: BLE001  # told to whoever waits for it
                job.set_exception(error)
            else:
                job.set_result(None)
            del todo, job, write  # and with them the block
            self._idle.release()


class Stream:
    """The content of one new file. Use from one thread; end by :meth:`end` or :meth:`abandon`.

    Parameters
    ----------
    files : Files
        The disk.
    blocks : Blocks
        Where blocks come from, and who writes them.
    descriptor : int
        Of an empty file.
    head : bytes
        What the file begins with, a block of it at most; it is not hashed.

    Attributes
    ----------
    size : int
        Bytes taken so far, with the head.
    """

    def __init__(self, files: Files, blocks: Blocks, descriptor: int, head: bytes = b"") -> None:
        self._files = files
        self._blocks = blocks
        self._descriptor = descriptor
        self._block: memoryview | None = None
        self._filled = 0
        self._under_way: Future[None] | None = None
        self._is_past_cache = False
        self._sha256 = hashlib.sha256()
        self._hashed = 0  # bytes of this block
        self.size = len(head)
        if head:
            self._fill(memoryview(head))
            self._hashed = self._filled

    @property
    def sha256(self) -> str:
        """The hash of what was added, in hexadecimal; known when it has ended."""
        return self._sha256.hexdigest()

    def add(self, piece: Part) -> None:
        """Take the next bytes, copied.

        Raises
        ------
        OSError
            If the disk is full or fails; it may be an earlier block that was not written.
        """
        left = memoryview(piece)
        self.size += len(left)
        while len(left) > (room := BLOCK - self._filled):
            self._fill(left[:room])
            self._hand_over()
            left = left[room:]
        self._fill(left)
        if self._filled - self._hashed >= _HASH_FROM:
            self._hash()

    def end(self) -> None:
        """Write what is left: the file is complete then, and not synced.

        Raises
        ------
        OSError
            If the disk is full or fails.
        """
        self._hash()
        self._wait()
        if self._block is None:
            return
        filled = self._filled
        whole = filled - filled % ALIGNED if self.size >= _PAST_THE_CACHE_FROM else 0
        if whole:
            self._past_cache(self._block[:whole])
        if filled > whole:
            if self._is_past_cache:
                self._files.use_cache(self._descriptor)
            self._files.write(self._descriptor, [self._block[whole:filled]])
        self._let_go()

    def abandon(self) -> None:
        """Stop: nobody uses the descriptor any more when this returns."""
        with suppress(OSError):  # the file is thrown away
            self._wait()
        self._let_go()

    def _fill(self, piece: memoryview) -> None:
        if self._block is None:
            self._block = self._blocks.take()
        self._block[self._filled : self._filled + len(piece)] = piece
        self._filled += len(piece)

    def _hash(self) -> None:
        if self._block is not None:
            self._sha256.update(self._block[self._hashed : self._filled])
            self._hashed = self._filled

    def _hand_over(self) -> None:
        """Let the full block be written while the next one is gathered."""
        self._hash()
        self._wait()
        block, self._filled, self._hashed = self._block, 0, 0
        assert block is not None
        self._under_way = self._blocks.aside(partial(self._write, block))
        if self._under_way is None:
            self._past_cache(block)
        else:
            self._block = None

    def _write(self, block: memoryview) -> None:
        """Write it and give it back at once: a slow sender must not hold two."""
        try:
            self._past_cache(block)
        finally:
            self._blocks.give_back(block)

    def _past_cache(self, block: memoryview) -> None:
        self._is_past_cache = True
        self._files.write_past_cache(self._descriptor, block)

    def _wait(self) -> None:
        """Wait until the block before is written: they go to the disk in order."""
        job, self._under_way = self._under_way, None
        if job is not None:
            job.result()

    def _let_go(self) -> None:
        if self._block is not None:
            self._blocks.give_back(self._block)
            self._block, self._filled, self._hashed = None, 0, 0
