"""``lightbox bench fast``: what the map costs on top of the prediction.

Ours is the session that the service runs (logits and Grad-CAM out of one pass); ``bare`` is the
package's graph as it came, in a session with the same options.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lightbox.domain.arrays import FloatMap, ImageTensor
from lightbox.domain.errors import UsageError
from lightbox.infer.packages import SAMPLES, LoadedPackage
from lightbox.settings import Settings
from lightbox.tools.bench_report import BARE, OURS, Case, Measured, interleaved, seconds_of
from lightbox.tools.doors import Doors

_WARM_UP = 2


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
        for batch in plan.batches:
            rows: ImageTensor = images[np.arange(batch) % len(images)]
            for _ in range(_WARM_UP):
                doors.runtime.predict(rows)
                bare(rows)
            measured = interleaved(
                {
                    OURS: seconds_of(partial(doors.runtime.predict, rows), doors.clock),
                    BARE: seconds_of(partial(bare, rows), doors.clock),
                },
                plan.rounds,
            )
            cases.append(_milliseconds(measured, batch, doors))
            cases.append(_bits(doors.runtime.predict(rows).logits, bare(rows), batch))
    return cases


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
    scaled = Measured({who: [1e3 * s for s in found] for who, found in measured.rounds.items()})
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
