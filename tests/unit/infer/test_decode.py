"""Decoding children: a file that is broken, too large, too slow or deadly harms nobody else."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from dicom_images import a_file, a_picture, an_image
from lightbox.domain.errors import UnreadableError
from lightbox.domain.frame import Frame
from lightbox.domain.model_package import Preprocessing
from lightbox.infer.decode import ClosedError, DecodePool
from lightbox.infer.decode_wire import FramesRequest
from lightbox.settings import Limits

SPEC = Preprocessing(size=(32, 24))
LEVELS = np.rint(a_picture() * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(processes=1) as one:
        yield one


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return a_file(tmp_path / "good.dcm", an_image(LEVELS, {"PixelSpacing": ["0.5", "0.25"]}))


def a_request(path: Path, *numbers: int, spec: Preprocessing = SPEC) -> FramesRequest:
    return FramesRequest(str(path), "1.2.3", spec, numbers)


def frames(pool: DecodePool, path: Path, *numbers: int, spec: Preprocessing = SPEC) -> list[Frame]:
    with closing(pool.frames(a_request(path, *numbers, spec=spec))) as each:
        return list(each)


def the_child(pool: DecodePool) -> int:
    """Return the process number of the only child."""
    (child,) = pool._children
    return child._process.pid


def test_a_frame_comes_with_tensor_picture_geometry_and_spacing(
    pool: DecodePool, good: Path
) -> None:
    (frame,) = frames(pool, good)

    assert frame.tensor.shape == (1, 1, 32, 24)
    assert frame.tensor.dtype == np.float32
    assert frame.picture.shape == LEVELS.shape
    assert frame.picture.dtype == np.uint8
    assert frame.geometry.source_shape == LEVELS.shape
    assert frame.geometry.model_shape == (32, 24)
    assert frame.pixel_spacing == (0.5, 0.25)
    assert (frame.ref.sop_instance_uid, frame.ref.frame) == ("1.2.3", 1)


def test_frames_are_numbered_from_one(pool: DecodePool, tmp_path: Path) -> None:
    path = a_file(tmp_path / "stack.dcm", an_image(np.stack([LEVELS] * 3)))

    assert [frame.ref.frame for frame in frames(pool, path)] == [1, 2, 3]
    assert [frame.ref.frame for frame in frames(pool, path, 3, 1)] == [3, 1]


def test_broken_pixel_data_is_unreadable_and_the_child_goes_on(
    pool: DecodePool, good: Path, tmp_path: Path
) -> None:
    image = an_image(LEVELS)
    image.PixelData = image.PixelData[:100]
    child = the_child(pool)

    with pytest.raises(UnreadableError, match=r"broken\.dcm: its pixel data cannot be decoded"):
        frames(pool, a_file(tmp_path / "broken.dcm", image))

    assert len(frames(pool, good)) == 1
    assert the_child(pool) == child


def test_damaged_files_are_decoded_or_unreadable_and_disturb_nobody(
    pool: DecodePool, good: Path, tmp_path: Path
) -> None:
    """Bytes of a compressed file are overwritten at random: some panic a decoder, none hangs it."""
    image = dcmread(a_file(tmp_path / "whole.dcm", an_image(np.stack([LEVELS] * 2))))
    image.compress(RLELossless)
    image.save_as(tmp_path / "whole.dcm")
    whole = (tmp_path / "whole.dcm").read_bytes()
    pixels = whole.rindex(b"\xe0\x7f\x10\x00")
    draw = np.random.default_rng(11)
    refused = []
    for _ in range(40):
        damaged = bytearray(whole)
        for place in draw.integers(pixels, pixels + 200, 4):
            damaged[place] = draw.integers(256)
        path = tmp_path / "damaged.dcm"
        path.write_bytes(damaged)
        try:
            frames(pool, path)
        except UnreadableError as error:
            refused.append(error.thing)

    assert set(refused) == {"damaged.dcm"}
    assert len(frames(pool, good)) == 1


def test_a_file_that_is_not_there_is_unreadable(pool: DecodePool, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r"gone\.dcm: cannot be read: no such file"):
        frames(pool, tmp_path / "gone.dcm")


def test_a_crash_is_named_and_the_child_replaced(
    pool: DecodePool, good: Path, tmp_path: Path
) -> None:
    path = a_file(tmp_path / "stack.dcm", an_image(np.stack([LEVELS] * 2000)))
    with closing(pool.frames(a_request(path))) as each:
        next(each)
        os.kill(the_child(pool), signal.SIGSEGV)
        with pytest.raises(UnreadableError, match=r"the decoder crashed \(SIGSEGV\)"):
            list(each)

    assert len(frames(pool, good)) == 1


def test_a_child_that_died_while_idle_costs_no_file(pool: DecodePool, good: Path) -> None:
    frames(pool, good)
    child = the_child(pool)
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)

    assert len(frames(pool, good)) == 1
    assert the_child(pool) != child


def test_whoever_stops_early_does_not_disturb_the_next(pool: DecodePool, tmp_path: Path) -> None:
    path = a_file(tmp_path / "stack.dcm", an_image(np.stack([LEVELS, 255 - LEVELS])))
    with closing(pool.frames(a_request(path))) as each:
        next(each)

    (frame,) = frames(pool, path, 2)

    assert frame.ref.frame == 2


def test_the_child_is_free_for_others_while_the_last_frame_is_looked_at(
    pool: DecodePool, good: Path, tmp_path: Path
) -> None:
    path = a_file(tmp_path / "stack.dcm", an_image(np.stack([LEVELS, 255 - LEVELS])))
    child = the_child(pool)
    with closing(pool.frames(a_request(path))) as each:
        next(each)
        last = next(each)
        assert len(frames(pool, good)) == 1
        assert last.ref.frame == 2
    assert the_child(pool) == child


def test_a_silent_child_is_given_up(good: Path) -> None:
    with DecodePool(1, Limits(decode_time=0.0), grace=0.3) as impatient:
        child = the_child(impatient)
        impatient_child = next(iter(impatient._children))
        impatient_child._message(60.0)  # it is ready
        impatient_child._ready = True
        os.kill(child, signal.SIGSTOP)

        with pytest.raises(UnreadableError, match=r"good\.dcm: .* no answer within 0 s"):
            frames(impatient, good)

        assert the_child(impatient) != child


def test_too_much_processor_time_ends_the_child(tmp_path: Path) -> None:
    many = a_file(tmp_path / "many.dcm", an_image(np.zeros((4000, 16, 16), np.uint8)))

    with (
        DecodePool(1, Limits(decode_time=1.0)) as pool,
        pytest.raises(UnreadableError, match="it took more than 1 s of CPU time"),
    ):
        frames(pool, many, spec=Preprocessing(size=(512, 512)))


def test_too_much_memory_is_refused_and_the_child_goes_on(good: Path, tmp_path: Path) -> None:
    """A deflated file of a few kilobytes becomes an image of 64 million pixels."""
    bomb = a_file(
        tmp_path / "bomb.dcm",
        an_image(np.zeros((8000, 8000), np.uint8)),
        DeflatedExplicitVRLittleEndian,
    )

    with DecodePool(1, Limits(decode_memory=800_000_000)) as pool:
        with pytest.raises(UnreadableError, match=r"bomb\.dcm: needs more memory"):
            frames(pool, bomb)
        assert len(frames(pool, good)) == 1


def test_a_child_knows_no_secrets_and_can_write_no_file(
    monkeypatch: pytest.MonkeyPatch, good: Path
) -> None:
    monkeypatch.setenv("LIGHTBOX__WEB__TOKEN", "secret")
    with DecodePool(1) as pool:
        frames(pool, good)
        proc = Path(f"/proc/{the_child(pool)}")

        assert b"secret" not in (proc / "environ").read_bytes()
        limits = (proc / "limits").read_text()
    assert any(line.split()[:4] == ["Max", "file", "size", "0"] for line in limits.splitlines())


def test_a_child_has_no_network(pool: DecodePool, good: Path) -> None:
    frames(pool, good)
    theirs = Path(f"/proc/{the_child(pool)}/ns/net").readlink()
    if theirs == Path("/proc/self/ns/net").readlink():
        pytest.skip("the kernel does not let a process leave its network")

    devices = Path(f"/proc/{the_child(pool)}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in devices] == ["lo"]


def test_a_closed_pool_says_so_and_leaves_no_process(good: Path) -> None:
    pool = DecodePool(1)
    child = the_child(pool)
    pool.close()

    with pytest.raises(ClosedError):
        frames(pool, good)
    assert not Path(f"/proc/{child}").exists()
