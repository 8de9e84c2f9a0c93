"""A hospital's day in minutes: studies of three urgencies that arrive when they like.

Arrivals are a Poisson process of each urgency, drawn from a seed, so that every contestant meets
the same day. Each study is an image of its own: a sample with a little noise and new UIDs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from lightbox.deliver.association import Peer
from lightbox.domain.errors import UsageError
from lightbox.domain.urgency import Urgency
from lightbox.ports import Clock
from lightbox.tools.demo.data import Study
from lightbox.tools.send import send

CALLED = {Urgency.STAT: "LIGHTBOX_STAT", Urgency.HIGH: "LIGHTBOX", Urgency.ROUTINE: "LIGHTBOX"}
CALLING = {Urgency.STAT: "BENCH", Urgency.HIGH: "BENCH_HIGH", Urgency.ROUTINE: "BENCH"}
"""How each urgency is asked for; HIGH needs a rule for its calling AE."""
_SENDERS = 4


@dataclass(frozen=True, slots=True)
class Arrival:
    """One study: when it is sent, seconds after the first moment, how, and what."""

    at: float
    urgency: Urgency
    file: Path
    study_instance_uid: str


def moments(
    per_minute: Mapping[Urgency, float], seconds: float, seed: int
) -> list[tuple[float, Urgency]]:
    """Draw when studies arrive: exponential gaps, each urgency by itself.

    Parameters
    ----------
    per_minute : mapping
        Mean rate of each urgency.
    seconds : float
        Length of the day.
    seed : int
        The same seed gives the same day.
    """
    found: list[tuple[float, Urgency]] = []
    for number, (urgency, rate) in enumerate(sorted(per_minute.items())):
        draw = np.random.default_rng((seed, number))
        at = 0.0
        while rate > 0 and (at := at + float(draw.exponential(60.0 / rate))) < seconds:
            found.append((at, urgency))
    return sorted(found)


def studies_of(sources: Sequence[Study], folder: Path, seed: int) -> Iterator[tuple[Path, str]]:
    """Write studies without end; yield file and Study Instance UID.

    No two have the same pixels: what was audited once would be remembered.
    """
    folder.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    number = 0
    while True:
        dataset = pydicom.dcmread(sources[number % len(sources)].files[0])
        pixels = dataset.pixel_array.copy()
        some = draw.integers(0, pixels.size, 50)
        pixels.flat[some] = pixels.flat[draw.permutation(some)]
        dataset.PixelData = pixels.tobytes()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        file = folder / f"{number}.dcm"
        dataset.save_as(file)
        yield file, str(dataset.StudyInstanceUID)
        number += 1


def forward(arrivals: Sequence[Arrival], port: int, clock: Clock) -> None:
    """Send each study at its moment, several at once where they overlap.

    Raises
    ------
    UsageError
        If one is not accepted.
    """
    began, pause = clock.monotonic(), threading.Event()
    sent: list[Future[None]] = []
    with ThreadPoolExecutor(_SENDERS) as pool:
        for arrival in arrivals:
            pause.wait(max(0.0, began + arrival.at - clock.monotonic()))
            sent.append(pool.submit(send_one, arrival.file, arrival.urgency, port))
    for each in sent:
        each.result()


def send_one(file: Path, urgency: Urgency, port: int) -> None:
    """Forward one study with this urgency.

    Raises
    ------
    UsageError
        If it is not accepted.
    """
    peer = Peer("lightbox", CALLED[urgency], "127.0.0.1", port, CALLING[urgency])
    report = send([file], peer)
    if not report.ok:
        raise UsageError("lightbox", f"did not accept {file.name}", report.files[0].detail)
