"""The decoding child: the only process in which strangers' pixel data is decoded.

Started as ``python -m lightbox.infer.decode_child MEMORY SECONDS SAMPLES`` by ``decode.py``. Reads
a request per line from stdin, answers on stdout (``decode_wire.py``). Has bounded memory and CPU
time, can write no file, has no network where the kernel allows to leave it, and ends when its
parent does.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import math
import os
import resource
import sys
import warnings
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEG2000Lossless

from lightbox.domain.errors import UnreadableError
from lightbox.domain.model_package import Preprocessing
from lightbox.infer.decode_wire import LENGTH_BYTES, Header, Task
from lightbox.infer.decoders.second_opinion import DecodersDifferError, SecondOpinion
from lightbox.infer.pixels import Decoded, decoded
from lightbox.infer.preprocess import model_input

_NEW_USER = 0x10000000  # CLONE_NEWUSER, CLONE_NEWNET of sched.h; os.unshare is of Python 3.12
_NEW_NETWORK = 0x40000000


def main(memory: int, seconds: float, samples: int) -> None:
    """Answer requests until stdin ends."""
    replies = _private_stdout()
    _leave_network()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    _limit(resource.RLIMIT_AS, memory)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    with ThreadPoolExecutor(1) as beside:
        beside.submit(_warm).result()
        gc.freeze()  # what stays is not looked through again and again
        _send(replies, Header(kind="ready"))
        answer = partial(_answer, replies, samples, SecondOpinion(), beside)
        for line in sys.stdin:
            _allow_cpu(seconds)
            answer(Task.model_validate_json(line))


def _private_stdout() -> BinaryIO:
    """Keep the pipe for us: what a C library prints to stdout goes to stderr."""
    mine = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(mine, "wb", buffering=1 << 16)


def _leave_network() -> None:
    """Enter an empty network namespace, if the kernel lets us (containers often do not).

    Root needs no user namespace for that, and must not lose its right to read the files.
    """
    flags = _NEW_NETWORK if os.geteuid() == 0 else _NEW_NETWORK | _NEW_USER
    ctypes.CDLL(None).unshare(flags)


def _warm() -> None:
    """Load the decoders and touch the resampler before the first patient waits for it."""
    get_decoder(JPEG2000Lossless)
    model_input(Preprocessing(size=(8, 8)), np.eye(16))


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (bounded, hard))


def _allow_cpu(seconds: float) -> None:
    """Let this task use so much CPU time from now on; more ends the process (SIGXCPU)."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + seconds))


def _answer(
    replies: BinaryIO, samples: int, opinions: SecondOpinion, beside: Executor, task: Task
) -> None:
    try:
        for frame in decoded(Path(task.path), task.numbers or None, samples, opinions):
            _send_frame(replies, frame, task, beside)
            if frame.last:
                return  # from here on the parent listens to the answer to another request
    except DecodersDifferError as error:
        differ = error.combination.words
        told = Header(kind="unreadable", reason=error.reason, mend=error.mend, differ=differ)
        _send(replies, told)
    except UnreadableError as error:
        _send(replies, Header(kind="unreadable", reason=error.reason, mend=error.mend))
    except MemoryError:
        reason = "needs more memory than a decoder may use"
        _send(replies, Header(kind="unreadable", reason=reason, mend="dicom.limits.decode_memory"))
    except OSError as error:
        reason = f"cannot be read: {(error.strerror or str(error)).lower()}"
        _send(replies, Header(kind="unreadable", reason=reason))
    except Exception as error:  # noqa: BLE001  # decoders raise anything at all; this is their cage
        _send(replies, Header(kind="unreadable", reason=_sentence(error)))


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    if " " not in text or isinstance(error, LookupError):  # such as a lone tag
        text = f"{type(error).__name__} {text}".strip()
    return f"its pixel data cannot be decoded: {text[:300]}"


def _send_frame(replies: BinaryIO, frame: Decoded, task: Task, beside: Executor) -> None:
    """Send a frame; its picture is drawn on another core, if there is one, than its tensor is made."""
    drawn = beside.submit(frame.draw)
    tensor = model_input(task.preprocessing, frame.values, frame.spacing)
    picture = drawn.result()
    header = Header(
        kind="frame",
        number=frame.number,
        tensor=tensor.shape,
        picture=picture.shape,
        spacing=frame.spacing,
        last=frame.last,
    )
    _send(replies, header, tensor, np.ascontiguousarray(picture))


def _send(replies: BinaryIO, header: Header, *arrays: np.ndarray) -> None:
    text = header.model_dump_json(exclude_defaults=False).encode()
    replies.write(len(text).to_bytes(LENGTH_BYTES, "big"))
    replies.write(text)
    replies.writelines(array.data.cast("B") for array in arrays)
    replies.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
