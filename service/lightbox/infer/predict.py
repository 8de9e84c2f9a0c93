"""The door of this step: a job becomes a prediction with its key frame."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from lightbox.domain.arrays import FloatMap, Mask
from lightbox.domain.errors import ModelPackageError, NotApplicableError, UnreadableError
from lightbox.domain.frame import Frame
from lightbox.domain.jobs import Job
from lightbox.domain.key_slices import Judged
from lightbox.domain.lesion import Lesion, LesionPlane
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.prediction import FrameRef, Prediction
from lightbox.infer.confidence import Repeats, probabilities, suspicion
from lightbox.infer.decode import DecodePool
from lightbox.infer.decode_wire import FramesRequest
from lightbox.infer.looked import Looked
from lightbox.infer.sharing import Passes
from lightbox.ports import Clock, Output

Turn = Callable[[], AbstractContextManager[object]]
"""Gives the device for the length of a ``with`` block (``schedule/gate.py``)."""


class Predict:
    """Look at every frame of a unit; the most suspicious one speaks for it.

    Parameters
    ----------
    passes, packages : mapping
        By the digest of its weights: forward passes of a model's runtime, and its manifest.
    decode : DecodePool
        Where pixel data is decoded.
    root : Path
        Data directory that instances' paths are relative to.
    clock : Clock
        For the seconds in the prediction.
    max_batch : int
        Most frames of one forward pass.
    """

    def __init__(  # a door is built from its ports, once
        self,
        passes: Mapping[str, Passes],
        packages: Mapping[str, ModelPackage],
        decode: DecodePool,
        root: Path,
        clock: Clock,
        max_batch: int = 32,
    ) -> None:
        self._passes = passes
        self._packages = packages
        self._decode = decode
        self._root = root
        self._clock = clock
        self._max_batch = max_batch
        self._repeats = {name: Repeats(package) for name, package in packages.items()}

    def predict(self, job: Job, turn: Turn) -> Looked:
        """Predict the job's unit.

        Decoding happens outside of the turn, each forward pass inside of one.

        Raises
        ------
        ModelPackageError
            If the model is not served here.
        UnreadableError
            If an instance cannot be decoded: a unit with a hole is not judged.
        NotApplicableError
            If every frame is blank, or unlike what the model knows; such frames among others are
            passed over.
        UnsoundError
            If the logits are no prediction.
        OutOfMemoryError, DeviceLostError
            If the device cannot run it.
        """
        look = self._look(job, turn)
        with closing(self._frames(job, look.package)) as frames:
            while batch := look.decoding(lambda: list(islice(frames, self._max_batch))):
                look.at([frame for frame in batch if np.ptp(frame.tensor) > 0])
        if look.key is None and look.frames:
            assert look.package.range is not None
            raise NotApplicableError(
                f"{job.instances[0].sop_instance_uid}",
                f"is outside of the model's range: its features are {look.nearest:.1f} from those "
                f"that {job.model} knows, at most {look.package.range.threshold:.1f} are in it",
                "use a model made for such images",
            )
        if look.key is None:
            raise NotApplicableError(
                f"{job.instances[0].sop_instance_uid}",
                "shows nothing: all its pixels are equal",
                "check the image at the sender",
            )
        return look.finished()

    def again(self, job: Job, prediction: Prediction, turn: Turn) -> Looked:
        """Look at the key frame of a past prediction: the same bits as it was made of.

        Raises
        ------
        ModelPackageError, UnreadableError, UnsoundError, OutOfMemoryError, DeviceLostError
            As :meth:`predict`.
        """
        return replace(self.look_at(job, prediction.key_frame, turn), prediction=prediction)

    def look_at(self, job: Job, ref: FrameRef, turn: Turn) -> Looked:
        """Look at one frame of a unit that was predicted.

        Raises
        ------
        ModelPackageError, UnreadableError, UnsoundError, OutOfMemoryError, DeviceLostError
            As :meth:`predict`.
        """
        look = self._look(job, turn)
        with closing(self._frames(job, look.package, ref)) as frames:
            look.at(look.decoding(lambda: list(frames)), anywhere=True)
        return look.finished()

    def _look(self, job: Job, turn: Turn) -> _Look:
        asked = job.model_sha256
        package, passes = self._packages.get(asked), self._passes.get(asked)
        if package is None or passes is None:
            raise ModelPackageError(
                f"model {job.model!r}",
                "is not served here",
                f"served: {', '.join(sorted(p.name for p in self._packages.values())) or 'none'}",
            )
        return _Look(
            package,
            lambda images: passes.predict(images, job.urgency, turn),
            self._repeats[asked],
            self._clock,
        )

    def _frames(
        self, job: Job, package: ModelPackage, only: FrameRef | None = None
    ) -> Generator[Frame]:
        instances = job.instances
        if only is not None:
            instances = tuple(i for i in instances if i.sop_instance_uid == only.sop_instance_uid)
            if not instances:
                raise UnreadableError(only.sop_instance_uid, "is not an instance of this job")
        for instance in instances:
            request = FramesRequest(
                path=str((self._root / instance.path).absolute()),
                sop_instance_uid=instance.sop_instance_uid,
                preprocessing=package.preprocessing,
                numbers=() if only is None else (only.frame,),
            )
            with closing(self._decode.frames(request)) as frames:
                yield from frames


@dataclass(slots=True)
class _Look:
    """One unit's frames as they pass; kept are the most suspicious and what was outlined."""

    package: ModelPackage
    run: Callable[[FloatMap], tuple[Output, float]]
    repeats: Repeats
    clock: Clock
    frames: int = 0
    key: Frame | None = None
    most: float = -1.0
    output: Output | None = None
    planes: list[LesionPlane] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    nearest: float = np.inf
    seconds: dict[str, float] = field(default_factory=lambda: {"decode": 0.0, "infer": 0.0})

    def decoding(self, take: Callable[[], list[Frame]]) -> list[Frame]:
        """Take decoded frames and count the time."""
        began = self.clock.monotonic()
        taken = take()
        self.seconds["decode"] += self.clock.monotonic() - began
        return taken

    def at(self, batch: list[Frame], *, anywhere: bool = False) -> None:
        """Run a batch; remember the first of the most suspicious frames.

        Parameters
        ----------
        batch : list of Frame
        anywhere : bool
            Look at frames outside of the model's range, too: what was said of them is explained.
        """
        if not batch:
            return
        tensors = np.concatenate([frame.tensor for frame in batch])
        output = self._forward(tensors)
        calibrated = probabilities(self.package, output.logits)
        each = suspicion(self.package, calibrated)
        self.repeats.check(tensors, output.logits)
        self.frames += len(batch)
        inside = np.full(len(batch), fill_value=True) if anywhere else self._inside(output)
        if not inside.any():
            return
        winners = calibrated.argmax(axis=1)
        self.judged += [
            Judged(frame.ref, int(winner), float(most))
            for frame, winner, most, known in zip(batch, winners, each, inside, strict=True)
            if known
        ]
        each = np.where(inside, each, -1.0)
        first = int(each.argmax())
        if each[first] > self.most:
            self.key, self.most = batch[first], float(each[first])
            # A frame run alone, so that an audit which comes back to it finds the same bits.
            self.output = output if len(batch) == 1 else None
        if output.outline is not None:
            rows = zip(batch, output.outline, inside, strict=True)
            outlined = (outlined_in(frame, logits) for frame, logits, is_known in rows if is_known)
            self.planes += [plane for plane in outlined if plane is not None]

    def _inside(self, output: Output) -> Mask:
        """Say of each frame whether it is like those that the network knows."""
        known = self.package.range
        if known is None:
            return np.full(len(output.logits), fill_value=True)
        assert output.distance is not None  # without it nobody knows whether to answer
        self.nearest = float(np.fmin.reduce(output.distance, initial=self.nearest))
        inside: Mask = output.distance <= known.threshold
        return inside

    def finished(self) -> Looked:
        """Return the prediction of the key frame."""
        assert self.key is not None
        output = self.output or self._forward(self.key.tensor)
        calibrated = probabilities(self.package, output.logits)[0]
        prediction = self._prediction(self.key, calibrated)
        lesions = self._lesions(prediction)
        return Looked(prediction, self.key, output, lesions, tuple(self.judged))

    def _lesions(self, prediction: Prediction) -> tuple[Lesion, ...]:
        if not self.planes or self.package.finding(prediction.target).negative:
            return ()
        return (Lesion(prediction.target, prediction.confidence, tuple(self.planes)),)

    def _forward(self, images: FloatMap) -> Output:
        output, seconds = self.run(images)
        self.seconds["infer"] += seconds
        return output

    def _prediction(self, key: Frame, calibrated: FloatMap) -> Prediction:
        target = int(calibrated.argmax())
        findings = self.package.findings
        return Prediction(
            model=self.package.name,
            version=self.package.version,
            model_sha256=self.package.sha256,
            finding=findings[target].name,
            confidence=float(calibrated[target]),
            scores={f.name: float(p) for f, p in zip(findings, calibrated, strict=True)},
            target=target,
            key_frame=key.ref,
            frames=self.frames,
            decode_seconds=self.seconds["decode"],
            infer_seconds=self.seconds["infer"],
            thresholds=self.package.site_thresholds,
            signer=self.package.signer,
        )


def outlined_in(frame: Frame, logits: FloatMap) -> LesionPlane | None:
    """Bring an outline into source pixels; None where nothing of it lies in the source.

    Parameters
    ----------
    frame : Frame
        What was looked at.
    logits : array, shape (h, w)
        On an even grid over the model frame; above 0 is inside.
    """
    mask = frame.geometry.attribution_to_source(logits) > 0
    return LesionPlane(frame.ref, mask) if mask.any() else None
