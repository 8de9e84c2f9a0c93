"""``lightbox bench fast``: what the map costs on top of the prediction.

Ours is the session that the service runs (logits and Grad-CAM out of one pass); ``bare`` is the
package's graph as it came, in a session with the same options. Where captum and pytorch-grad-cam
are installed they make the same map of the same weights in torch, beside torch's own forward pass.
``lightbox models bench`` measures the whole way of one image, from its file on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np

from lightbox.domain.arrays import FloatMap, ImageTensor
from lightbox.domain.errors import UsageError
from lightbox.domain.prediction import FrameRef
from lightbox.infer.packages import SAMPLES, LoadedPackage
from lightbox.settings import Settings
from lightbox.tools.bench.int8 import int8_cases
from lightbox.tools.bench.peers.class_activation import installed_maps, torch_forward
from lightbox.tools.bench.report import (
    BARE,
    OURS,
    Case,
    Measured,
    in_milliseconds,
    interleaved,
    seconds_of,
)
from lightbox.tools.doors import Doors

TORCH = "torch forward"
"""The peer that is torch's forward pass of the same weights, without a map."""

_WARM_UP = 2
_ROW = 8
"""Images that follow each other."""


@dataclass(frozen=True, slots=True)
class FastPlan:
    """How much is measured.

    Attributes
    ----------
    rounds : int
        Paired rounds of each batch size.
    batches : tuple of int
        Batch sizes.
    """

    rounds: int = 40
    batches: tuple[int, ...] = (1, 8)


def bench_fast(settings: Settings, loaded: LoadedPackage, plan: FastPlan) -> list[Case]:
    """Measure prediction with map against the bare forward pass, on the package's samples.

    Raises
    ------
    UsageError
        If the package has no samples.
    """
    cases: list[Case] = []
    with Doors(settings, loaded) as doors:
        images = np.concatenate(
            [doors.frame(file).tensor for file in samples(loaded)[: max(plan.batches)]]
        )
        bare = doors.runtime.bare(loaded.weights)
        peers = _peers(doors, loaded)
        for batch in plan.batches:
            rows: ImageTensor = images[np.arange(batch) % len(images)]
            contestants: dict[str, Callable[[], object]] = {
                OURS: partial(doors.runtime.predict, rows),
                BARE: partial(bare, rows),
                **{name: partial(peer, rows) for name, peer in peers.items()},
            }
            for _ in range(_WARM_UP):
                for work in contestants.values():
                    work()
            measured = interleaved(
                {name: seconds_of(work, doors.clock) for name, work in contestants.items()},
                plan.rounds,
            )
            cases.append(_milliseconds(measured, batch, doors))
            output, answer = doors.runtime.predict(rows), bare(rows)
            ours = output.logits if output.outline is None else output.outline
            cases.append(_bits(ours, answer.reshape(ours.shape), batch))
            cases += _maps(output.cam, peers, rows)
    return cases


def bench_whole(
    settings: Settings, loaded: LoadedPackage, rounds: int, image: Path | None = None
) -> list[Case]:
    """Measure one image from its file to its map, against the bare graph on the ready tensor.

    Ours is the worker's door: decoded in a warm child, preprocessed, predicted with its map,
    calibrated, its picture there. ``bare`` is onnxruntime alone, on as many threads, which do not
    spin between two runs. Either is measured right after a run of its own, whose weights are then
    as near to the processor as they will be. Ours comes to its network from a decoding; ``bare
    after a decoding`` does so, too, and leaves its time out. Then images in a row, each decoded
    while the network has the one before it; then int8, on all samples.

    Parameters
    ----------
    settings : Settings
        Worker and limits are used.
    loaded : LoadedPackage
        The model.
    rounds : int
        Paired rounds.
    image : Path or None
        A DICOM file, whatever it shows; None: the package's first sample.

    Raises
    ------
    UsageError
        If the package has no samples.
    UnreadableError
        If one cannot be decoded.
    """
    with Doors(settings, loaded) as doors:
        files = samples(loaded)
        file = image or files[0]
        job = doors.job_of(file.resolve(), "lightbox models bench")
        ref, gate = FrameRef(job.instances[0].sop_instance_uid), Lock()
        look = partial(doors.predict.look_at, job, ref, lambda: gate)
        ready, tensor = partial(doors.frame, file), doors.frame(file).tensor
        bare = partial(doors.runtime.bare(loaded.weights), tensor)

        def after(before: Callable[[], object], work: Callable[[], object]) -> Callable[[], float]:
            timed = seconds_of(work, doors.clock)
            return lambda: (before(), timed())[1]

        whole = {
            OURS: after(look, look),
            BARE: after(bare, bare),
            f"{BARE} after a decoding": after(lambda: (bare(), ready()), bare),
        }
        decoding = {OURS: after(ready, ready)}
        with ThreadPoolExecutor(2) as two:
            row = {
                OURS: seconds_of(lambda: [*two.map(lambda _: look(), range(_ROW))], doors.clock),
                BARE: seconds_of(lambda: [bare() for _ in range(_ROW)], doors.clock),
            }
            measured = [_warmed(contestants, rounds) for contestants in (whole, decoding, row)]
        threads = doors.runtime.arithmetic["threads"]
        note = f"{file.name}, {doors.runtime.device}, {threads} threads"
        tensors = np.concatenate([doors.frame(each).tensor for each in files])
        each = Measured(
            {who: [s / _ROW for s in found] for who, found in measured[2].rounds.items()}
        )
        return [
            in_milliseconds(measured[0]).case("one image, from file to map", "ms", note),
            in_milliseconds(measured[1]).case("of it decoding and preprocessing", "ms"),
            in_milliseconds(each).case(
                f"each of {_ROW} in a row, the next decoded meanwhile", "ms"
            ),
            *int8_cases(doors, loaded, tensors, rounds),
        ]


def _warmed(contestants: Mapping[str, Callable[[], float]], rounds: int) -> Measured:
    interleaved(contestants, _WARM_UP)
    return interleaved(contestants, rounds)


def _peers(doors: Doors, loaded: LoadedPackage) -> dict[str, Callable[[ImageTensor], FloatMap]]:
    """Return other packages' ways to the same map, on the processor and as many threads as ours."""
    runtime = doors.runtime
    if runtime.device != "cpu" or loaded.package.task == "segmentation":
        return {}
    threads = int(runtime.arithmetic["threads"])
    found = installed_maps(loaded.weights, runtime.target_layer, threads)
    forward = torch_forward(loaded.weights, runtime.target_layer) if found else None
    return found if forward is None else {**found, TORCH: forward}


def _maps(
    ours: FloatMap | None, peers: Mapping[str, Callable[[ImageTensor], FloatMap]], rows: ImageTensor
) -> Iterator[Case]:
    """Compare maps with those who give one value per cell of the layer, as ours does."""
    for name, peer in peers.items():
        theirs = peer(rows)
        if ours is not None and theirs.shape == ours.shape:
            apart = float(np.abs(theirs - ours).max() / ours.max())
            yield Case(f"Grad-CAM against {name}, batch {len(rows)}", apart, "share of the maximum")


def samples(loaded: LoadedPackage) -> list[Path]:
    """Return the DICOM files that came with a package.

    Raises
    ------
    UsageError
        If there are none.
    """
    found = sorted((loaded.folder / SAMPLES).glob("*.dcm"))
    if not found:
        raise UsageError(
            f"model {loaded.package.name!r}", "has no samples", "measure with a package that has"
        )
    return found


def _milliseconds(measured: Measured, batch: int, doors: Doors) -> Case:
    scaled = in_milliseconds(measured)
    note = (
        f"Grad-CAM by {doors.runtime.way} at {doors.runtime.target_layer}, {doors.runtime.device}"
    )
    return scaled.case(f"prediction with Grad-CAM, batch {batch}", "ms per batch", note)


def _bits(ours: FloatMap, bare: FloatMap, batch: int) -> Case:
    """Compare logits: 0 and "bit-equal" is what the service promises of its fast path."""
    apart = float(np.abs(ours.astype(np.float64) - bare.astype(np.float64)).max())
    equal = ours.dtype == bare.dtype and ours.tobytes() == bare.tobytes()
    note = "bit-equal" if equal else "not bit-equal"
    return Case(
        f"logits against the bare graph, batch {batch}", apart, "largest difference", note=note
    )
