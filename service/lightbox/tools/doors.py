"""The worker's doors around one model, without ledger, queue or gate.

What is explained offline, replayed or measured goes through the doors that the service uses, put
together here once for all three.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np

from lightbox.app import build
from lightbox.app.catalogue import methods
from lightbox.app.clock import SystemClock
from lightbox.app.further_slices import further_slices, have_slices
from lightbox.app.instance_file import instance_of
from lightbox.domain.attribution import Attribution
from lightbox.domain.errors import ExplanationError
from lightbox.domain.explained import Explained
from lightbox.domain.frame import Frame
from lightbox.domain.jobs import Job, JobPath, job_identity
from lightbox.domain.key_slices import KeySlice
from lightbox.domain.result import Result, ResultKind
from lightbox.domain.urgency import Urgency
from lightbox.explain.attribute import Attribute
from lightbox.explain.audit import AuditPlan, finished
from lightbox.explain.sentences import as_shown
from lightbox.explain.subject import Subject
from lightbox.infer.decode import DecodePool
from lightbox.infer.decode_wire import FramesRequest
from lightbox.infer.looked import Looked
from lightbox.infer.packages import LoadedPackage
from lightbox.infer.predict import Predict
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.infer.sharing import Passes
from lightbox.ports import Output
from lightbox.results.write import Write
from lightbox.settings import ResultSettings, Settings
from lightbox.storage.files import Files
from lightbox.storage.folder import FolderStorage

ALL_KINDS = {
    "secondary_capture": True,
    "segmentation": True,
    "structured_report": True,
    "parametric_map": True,
}


class Doors:
    """Predicts, explains and writes with one model, as the worker does.

    Parameters
    ----------
    settings : Settings
        Audit, worker, limits and result sections are used.
    loaded : LoadedPackage
        The model.
    root : Path
        Folder that the paths of instances are relative to.
    """

    def __init__(self, settings: Settings, loaded: LoadedPackage, root: Path = Path("/")) -> None:
        given, package = settings.worker, loaded.package
        self.package = package
        self.clock = SystemClock()
        self.methods = methods()
        self.runtime = OnnxRuntime(loaded, given.device, given.threads, given.max_batch)
        backgrounds = {package.sha256: loaded.background} if loaded.background else {}
        self.attribute = Attribute(self.methods, settings.audit, self.clock, backgrounds)
        self._decode = DecodePool(1, settings.dicom.limits)
        self.predict = Predict(
            {package.sha256: Passes(self.runtime, self.clock)},
            {package.sha256: package},
            self._decode,
            root,
            self.clock,
            given.max_batch,
        )
        chunk = settings.audit.chunk
        self._chunk = given.max_batch if chunk == "auto" else chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._decode.close()

    def frame(self, file: Path) -> Frame:
        """Decode the first frame of a file, preprocessed for the model.

        Raises
        ------
        UnreadableError
            If it cannot be decoded.
        """
        request = FramesRequest(str(file.resolve()), file.name, self.package.preprocessing, (1,))
        with closing(self._decode.frames(request)) as frames:
            (first,) = frames  # to the end: whoever stops early costs the pool a child
        return first

    def job_of(self, file: Path, rule: str) -> Job:
        """Return an urgent job on one file, whether or not the model accepts it.

        Parameters
        ----------
        file : Path
            A DICOM file (PS3.10).
        rule : str
            What stands where a rule would that placed it.

        Raises
        ------
        UnreadableError
            If it is none.
        """
        package, instance, now = self.package, instance_of(file), self.clock.now()
        method = package.explanation.method
        return Job(
            job_id=job_identity(JobPath.FAST, (instance,), package.sha256, method),
            path=JobPath.FAST,
            study_instance_uid=instance.study_instance_uid,
            series_instance_uid=instance.series_instance_uid,
            instances=(instance,),
            model=package.name,
            model_sha256=package.sha256,
            method=method,
            urgency=Urgency.STAT,
            rule=rule,
            received_at=now,
            placed_at=now,
            deadline=now,
        )

    def subject(self, looked: Looked) -> Subject:
        """Return what is to be explained."""
        return Subject(self.package, looked.frame, looked.prediction)

    def fast(self, looked: Looked, method: str = "") -> Attribution:
        """Return a map of any method of the catalogue, for any class.

        What the prediction's own pass did not give costs a second one.

        Parameters
        ----------
        looked : Looked
            Prediction and frame.
        method : str
            A map method; empty: the package's.

        Raises
        ------
        ExplanationError
            As ``Attribute.fast``.
        """
        own, target = self.package.explanation.method, looked.prediction.target
        output, winner = looked.output, int(np.argmax(looked.output.logits[0]))
        if (method or own) != own or target != winner:
            output = self.runtime.layers(looked.frame.tensor, (target,))
        return self.attribute.fast(self.subject(looked), output, method)

    def slices(
        self, job: Job, looked: Looked, sources: tuple[bytes, ...], method: str = ""
    ) -> tuple[KeySlice, ...]:
        """Return the key slices beside the key frame, with their maps as they were found.

        Raises
        ------
        LightboxError
            If one of them cannot be looked at again.
        """
        if not have_slices(job, self.package):
            return ()

        def explain(of: Subject, output: Output) -> Attribution:
            return self.fast(Looked(of.prediction, of.frame, output), method)

        look = partial(self.predict.look_at, job, turn=nullcontext)
        return further_slices(self.package, looked, (job, sources), look, explain)

    def map_to_compare(self, looked: Looked) -> Attribution | None:
        """Return the fast map; None where it is withheld."""
        with suppress(ExplanationError):  # no map to compare with is no reason to have no audit
            return self.fast(looked)
        return None

    def audit(
        self, looked: Looked, fast: Attribution | None, method: str, values: Path | None = None
    ) -> Attribution:
        """Audit to its end, without letting anyone else go first.

        Parameters
        ----------
        looked : Looked
            Prediction and frame.
        fast : Attribution or None
            The fast map to compare with.
        method : str
            A game method of the catalogue.
        values : Path or None
            File of v(S): what is in it is not computed again, what is computed goes there.

        Raises
        ------
        ExplanationError
            If no honest values can be found.
        """
        plan = AuditPlan(method, self._chunk, values)
        return finished(self.attribute.audit(self.subject(looked), self.runtime, fast, plan))


def write_into(
    folder: Path,
    explained: Explained,
    results: ResultSettings,
    asked: Collection[ResultKind] = (),
) -> tuple[Result, ...]:
    """Write every kind of result that ``results`` wants into a folder of its own, as it is sent.

    Parameters
    ----------
    asked : collection of ResultKind
        Kinds beside them, as destinations ask for some.

    Raises
    ------
    ResultError
        If an object cannot be made or is not valid.
    """
    storage, package = FolderStorage(folder, Files()), explained.package
    not_shown, insists = package.explanation.not_shown, package.site_shows_all_maps
    shown = as_shown(explained.attribution, not_shown, insists=insists)
    fast = explained.fast if package.shows_maps else None
    made = replace(explained, attribution=shown, fast=fast)
    return Write(build.writers(results, asked), storage).write(made)


def write_one(
    folder: Path, explained: Explained, result: Result, results: ResultSettings
) -> Result | None:
    """Write one result again into a folder, whatever kinds the site wants now.

    Returns
    -------
    Result or None
        The one with its name, where its kind has several, else the first; None where this kind
        does not apply to what was found.

    Raises
    ------
    ResultError
        If the object cannot be made.
    """
    every = build.writers(results.model_copy(update=ALL_KINDS), frozenset(ResultKind))
    only = tuple(writer for writer in every if writer.kind is result.kind)
    made = Write(only, FolderStorage(folder, Files()), validate=False).write(explained)
    named = [one for one in made if one.sop_instance_uid == result.sop_instance_uid]
    return next(iter([*named, *made]), None)
