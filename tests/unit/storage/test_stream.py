from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightbox.storage.faults import FaultAt, fail
from lightbox.storage.files import ALIGNED, Files, Operation, Part
from lightbox.storage.stream import BLOCK, Blocks, Stream

LARGE = 3 * BLOCK + 5 * ALIGNED + 7


@pytest.fixture
def blocks() -> Iterator[Blocks]:
    with closing(Blocks()) as made:
        yield made


def content(length: int) -> bytes:
    return bytes(range(251)) * (length // 251) + bytes(length % 251)


class Seen(Files):
    """Remembers how each write was made, and lets none past the cache where it is told so."""

    def __init__(self, *, knows_a_way: bool = True) -> None:
        super().__init__()
        self.past, self.through = 0, 0
        self.knows_a_way = knows_a_way

    def _write_directly(self, descriptor: int, block: memoryview) -> int:
        if not self.knows_a_way:
            return 0
        done = super()._write_directly(descriptor, block)
        self.past += done
        return done

    def _write(self, descriptor: int, parts: Sequence[Part]) -> int:
        done = super()._write(descriptor, parts)
        self.through += done
        return done


def written(
    folder: Path, files: Files, blocks: Blocks, pieces: list[bytes], head: bytes = b""
) -> bytes:
    descriptor = files.create(folder / "file")
    try:
        stream = Stream(files, blocks, descriptor, head)
        for piece in pieces:
            stream.add(piece)
        stream.end()
        assert stream.size == len(head) + sum(map(len, pieces))
        assert stream.sha256 == hashlib.sha256(b"".join(pieces)).hexdigest()
    finally:
        files.close(descriptor)
    return (folder / "file").read_bytes()


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(0, LARGE),
    cuts=st.lists(st.integers(0, LARGE), max_size=12),
    head=st.binary(max_size=400),
    knows_a_way=st.booleans(),
)
def test_a_file_holds_what_came_however_it_was_cut(
    length: int, cuts: list[int], head: bytes, knows_a_way: bool
) -> None:
    data = content(length)
    ends = sorted({min(cut, length) for cut in cuts} | {0, length})
    pieces = [data[a:b] for a, b in zip(ends, [*ends[1:], length], strict=True)]
    with tempfile.TemporaryDirectory() as folder, closing(Blocks()) as blocks:
        files = Seen(knows_a_way=knows_a_way)
        assert written(Path(folder), files, blocks, pieces, head) == head + data
        assert files.past + files.through == len(head) + length


@pytest.mark.parametrize("length", [1, ALIGNED, 100_000])
def test_what_is_short_goes_through_the_cache(tmp_path: Path, blocks: Blocks, length: int) -> None:
    files = Seen()
    assert written(tmp_path, files, blocks, [content(length)]) == content(length)
    assert (files.past, files.through) == (0, length)


def test_of_what_is_long_only_the_end_goes_through_the_cache(
    tmp_path: Path, blocks: Blocks
) -> None:
    files = Seen()
    assert written(tmp_path, files, blocks, [content(LARGE)]) == content(LARGE)
    if not files.past:
        pytest.skip(f"the file system of {tmp_path} knows no way past the cache")
    assert files.through == LARGE % ALIGNED


@pytest.mark.parametrize("says", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_file_system_without_a_way_past_the_cache_is_asked_once(
    tmp_path: Path, blocks: Blocks, monkeypatch: pytest.MonkeyPatch, says: int
) -> None:
    asked: list[int] = []

    def refuses(_descriptor: int, _command: int, flags: int) -> int:
        if flags:
            asked.append(flags)
            raise OSError(says, os.strerror(says))
        return 0

    monkeypatch.setattr("fcntl.fcntl", refuses)
    files = Files()
    assert written(tmp_path, files, blocks, [content(LARGE)]) == content(LARGE)
    assert asked == [os.O_DIRECT]


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_block_that_is_not_written_is_told_at_the_latest_at_the_end(
    tmp_path: Path, blocks: Blocks, nth: int
) -> None:
    files = Files(FaultAt(Operation.WRITE, nth, fail(errno.ENOSPC)))
    with pytest.raises(OSError, match="No space"):
        written(tmp_path, files, blocks, [content(LARGE)])


def test_nobody_writes_any_more_when_it_is_abandoned(tmp_path: Path, blocks: Blocks) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    class Slow(Files):
        def write_past_cache(self, descriptor: int, block: memoryview) -> None:
            begun.set()
            assert go_on.wait(10)
            super().write_past_cache(descriptor, block)
            ended.set()

    files = Slow()
    stream = Stream(files, blocks, files.create(tmp_path / "file"))
    stream.add(content(BLOCK + 1))
    assert begun.wait(10)
    threading.Timer(0, go_on.set).start()
    stream.abandon()
    assert ended.is_set()


def test_where_all_threads_are_busy_one_writes_oneself(tmp_path: Path, blocks: Blocks) -> None:
    busy, go_on = [], threading.Event()

    def keep_busy() -> None:
        assert go_on.wait(10)

    while (job := blocks.aside(keep_busy)) is not None:
        busy.append(job)
    assert busy
    try:
        assert written(tmp_path, Files(), blocks, [content(LARGE)]) == content(LARGE)
    finally:
        go_on.set()
    for each in busy:
        each.result(10)


def test_no_thread_that_cannot_be_had_leaves_a_write_behind(
    tmp_path: Path, blocks: Blocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    files = Files()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot)
        descriptor = files.create(tmp_path / "first")
        stream = Stream(files, blocks, descriptor)
        with suppress(RuntimeError):
            stream.add(content(LARGE))
        stream.abandon()
        files.close(descriptor)
    assert written(tmp_path, files, blocks, [content(LARGE)]) == content(LARGE)
    blocks.close()
    assert (tmp_path / "file").read_bytes() == content(LARGE)


def test_after_the_threads_have_ended_one_writes_oneself(tmp_path: Path, blocks: Blocks) -> None:
    blocks.close()
    blocks.close()
    assert written(tmp_path, Files(), blocks, [content(LARGE)]) == content(LARGE)


def test_blocks_are_used_again(blocks: Blocks) -> None:
    first = blocks.take()
    blocks.give_back(first)
    assert blocks.take() is first
    assert blocks.take() is not first


def test_a_block_that_is_written_is_free_while_the_next_one_still_comes(
    tmp_path: Path, blocks: Blocks
) -> None:
    first = blocks.take()
    blocks.give_back(first)
    stream = Stream(Files(), blocks, os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY))
    stream.add(content(BLOCK + 1))
    blocks.close()  # and with it what the threads had in hand
    assert blocks.take() is first
    stream.abandon()
