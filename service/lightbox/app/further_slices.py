"""The key slices of a series beside the key frame: chosen, looked at and explained one by one.

Nothing here is recorded: which they are follows from the scores, so a repetition finds the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lightbox.domain.attribution import Attribution, Estimate
from lightbox.domain.errors import ExplanationError
from lightbox.domain.jobs import Job, JobPath
from lightbox.domain.key_slices import KeySlice, key_slices
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.prediction import FrameRef
from lightbox.explain.subject import Subject
from lightbox.infer.looked import Looked
from lightbox.ports import Output
from lightbox.results.header.stack import in_order, planes_of


def have_slices(job: Job, package: ModelPackage) -> bool:
    """Say whether results of a job may show several slices; an audit is of the key frame alone."""
    return job.path is JobPath.FAST and package.unit == "series"


def further_slices(
    package: ModelPackage,
    looked: Looked,
    unit: tuple[Job, tuple[bytes, ...]],
    look: Callable[[FrameRef], Looked],
    explain: Callable[[Subject, Output], Attribution],
) -> tuple[KeySlice, ...]:
    """Return the key slices without the key frame, in the order of the stack.

    Parameters
    ----------
    package : ModelPackage
        The model.
    looked : Looked
        What the look at the whole unit gave.
    unit : tuple of Job, tuple of bytes
        The job and the headers of its instances.
    look : callable
        Looks at one frame again, alone.
    explain : callable
        Returns the map of a frame, as the results may show it.

    Raises
    ------
    LightboxError
        As ``look``.
    """
    if len(looked.judged) < 2:
        return ()
    job, sources = unit
    judged = {each.ref: each for each in looked.judged}
    order = in_order(planes_of(job.instances, sources, looked.frame.pixel_spacing))
    stack = [judged[ref] for ref in order if ref in judged]
    key = looked.prediction.key_frame
    chosen = key_slices(stack, key, _least(package, looked))
    return tuple(_key_slice(package, looked, look(ref), explain) for ref in chosen if ref != key)


def _least(package: ModelPackage, looked: Looked) -> float:
    """Return the probability from which a slice shows what was found.

    Where not even the key frame reaches the threshold, and where nothing was found, all are shown.
    """
    finding = package.finding(looked.prediction.target)
    threshold = looked.prediction.threshold(finding)
    counts = not finding.negative and looked.prediction.confidence >= threshold
    return threshold if counts else 0.0


def _key_slice(
    package: ModelPackage,
    key: Looked,
    looked: Looked,
    explain: Callable[[Subject, Output], Attribution],
) -> KeySlice:
    prediction = looked.prediction.as_told(key.prediction)
    try:
        attribution = explain(Subject(package, looked.frame, prediction), looked.output)
    except ExplanationError as error:
        attribution = Attribution(
            method=package.explanation.method,
            target=prediction.target,
            source_map=np.zeros(looked.frame.geometry.source_shape, dtype=np.float32),
            cell_pixels=(0.0, 0.0),
            estimate=Estimate(),
            warnings=(f"No map is shown: {error.reason}.",),
        )
    return KeySlice(prediction, looked.frame, attribution)
