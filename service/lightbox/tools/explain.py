"""``lightbox explain``: predictions and explanations of files, without network, ledger or queue.

The same doors as in the service do the work: what is measured here is what is sent there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np

from lightbox.app import build
from lightbox.app.instance_file import instance_of
from lightbox.domain.arrays import Mask
from lightbox.domain.attribution import Attribution
from lightbox.domain.errors import LightboxError, NotApplicableError, UsageError
from lightbox.domain.explained import Explained
from lightbox.domain.jobs import Job, JobPath, job_identity
from lightbox.domain.quality import Plausibility
from lightbox.domain.result import OF_SERIES, Result
from lightbox.domain.study import Arrival, Described, Instance
from lightbox.domain.urgency import Urgency
from lightbox.explain.plugin import MapMethod
from lightbox.explain.quality.localisation import plausibility
from lightbox.infer.looked import Looked
from lightbox.infer.packages import LoadedPackage
from lightbox.receive.header import describe
from lightbox.results.header.header_bytes import header_of
from lightbox.results.picture.preview import preview
from lightbox.settings import Settings
from lightbox.storage.naming import token
from lightbox.studies.match import match
from lightbox.tools.arrays_file import write_arrays
from lightbox.tools.deidentified import Deidentifier
from lightbox.tools.doors import Doors, write_into


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of every file.

    Attributes
    ----------
    method : str
        Of the catalogue; "": the package's fast map.
    target : str
        Finding to explain; "": the winning one.
    out : Path or None
        Folder for arrays, pictures and DICOM objects; None: nothing is written.
    evaluate : bool
        Measure the map by an audit's evaluations too.
    mask : array or None
        Where the finding is, in source pixels.
    deidentify : bool
        Write results of a de-identified copy of the source.
    """

    method: str = ""
    target: str = ""
    out: Path | None = None
    evaluate: bool = False
    mask: Mask | None = None
    deidentify: bool = False


class Offline:
    """A model with everything around it, for many files.

    Parameters
    ----------
    settings : Settings
        Audit, worker and result sections are used.
    loaded : LoadedPackage
        The model.
    """

    def __init__(self, settings: Settings, loaded: LoadedPackage) -> None:
        self._settings = settings
        self._package = loaded.package
        self._doors = Doors(settings, loaded)
        self._stems: dict[str, Path] = {}
        self._deidentifier = Deidentifier(token())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._doors.__exit__()

    def explain(self, file: Path, wish: Wish, *others: Path) -> dict[str, Any]:
        """Explain one file, or the series of several; what cannot be comes back refused.

        Of a series the answer is about its key slice.
        """
        files = (file, *others)
        wish = replace(wish, method=wish.method or self._package.explanation.method)
        answer: dict[str, Any] = {
            "file": str(file.resolve()),
            "sop_instance_uid": None,
            "frame": None,
            "model": self._package.name,
            "version": self._package.version,
            "signer": self._package.signer,
            "finding": None,
            "confidence": None,
            "scores": {},
            "method": wish.method,
            "target": None,
            "refused": None,
            "files": {},
        }
        try:
            instances = tuple(instance_of(each) for each in files)
            headers = tuple(self._header(each, wish) for each in files)
            answer["sop_instance_uid"] = instances[0].sop_instance_uid
            if wish.deidentify:
                answer["sop_instance_uid"] = self._deidentifier.uid(instances[0].sop_instance_uid)
            job = self._job(instances, file, wish)
            looked = self._doors.predict.predict(job, nullcontext)
            answer |= _predicted(looked)
            if others:
                answer |= _key_of(files, instances, looked)
            winner, target = looked.prediction.target, self._target(looked, wish)
            answer["target"] = self._package.finding(target).name
            looked = replace(looked, prediction=replace(looked.prediction, target=target))
            attribution, fast = self._explain(looked, wish)
            answer |= _explained(looked, attribution)
            answer |= self._further(attribution)
            if wish.mask is not None:
                answer["plausibility"] = _as_dict(plausibility(attribution.source_map, wish.mask))
            if looked.output.outline is not None:
                answer["outline"] = _outlined(looked, wish.mask)
            if wish.out is not None:
                explained = Explained(
                    job=job,
                    package=self._package,
                    prediction=looked.prediction,
                    attribution=attribution,
                    frame=looked.frame,
                    sources=headers,
                    fast=fast,
                    lesions=looked.lesions if job.path is JobPath.FAST else (),
                    # The other slices are explained for the finding that wins.
                    slices=self._doors.slices(job, looked, headers, wish.method)
                    if target == winner and not wish.deidentify
                    else (),
                )
                if wish.deidentify:
                    explained = self._deidentifier.hide(explained, headers[0])
                stem = self._stem(file, wish)
                answer["files"] = self._write(explained, wish.out.resolve(), stem)
        except UsageError:
            raise
        except LightboxError as error:
            answer["refused"] = str(error)
        return answer

    def _job(self, instances: tuple[Instance, ...], file: Path, wish: Wish) -> Job:
        now = self._doors.clock.now()
        attributes = describe(file, (), self._settings.dicom.limits.nesting)
        instance = instances[0]
        here = Described(instance, Arrival(now, "", "", "", ""), attributes)
        found = match((self._package,), here)[0]
        if found.refused is not None:
            raise NotApplicableError(str(file), found.reason, "use a model made for such images")
        path = JobPath.FAST if isinstance(self._method(wish.method), MapMethod) else JobPath.AUDIT
        return Job(
            job_id=job_identity(path, instances, self._package.sha256, wish.method),
            path=path,
            study_instance_uid=instance.study_instance_uid,
            series_instance_uid=instance.series_instance_uid,
            instances=instances,
            model=self._package.name,
            model_sha256=self._package.sha256,
            method=wish.method,
            urgency=Urgency.ROUTINE,
            rule="lightbox explain",
            received_at=now,
            placed_at=now,
            deadline=now,
            caveat=found.caveat,
            modality=attributes.get("Modality", ""),
        )

    def _method(self, name: str) -> object:
        if name not in self._doors.methods:
            raise UsageError(
                f"method {name!r}",
                "is not known",
                f"known: {', '.join(sorted(self._doors.methods))}",
            )
        return self._doors.methods[name]

    def _target(self, looked: Looked, wish: Wish) -> int:
        names = [finding.name for finding in self._package.findings]
        if not wish.target:
            return looked.prediction.target
        if wish.target not in names:
            raise UsageError(
                f"target {wish.target!r}", "is not a finding of this model", f"use {names}"
            )
        return names.index(wish.target)

    def _explain(self, looked: Looked, wish: Wish) -> tuple[Attribution, Attribution | None]:
        """Return the attribution asked for, and the fast one where it is something else."""
        doors = self._doors
        if isinstance(self._method(wish.method), MapMethod):
            fast = doors.fast(looked, wish.method)
            if wish.evaluate:
                audit = doors.audit(looked, fast, "shapley")
                extra = {f"audit_{key}": value for key, value in audit.quality.items()}
                fast = replace(fast, quality={**fast.quality, **extra})
            return fast, None
        compare = doors.map_to_compare(looked)
        return doors.audit(looked, compare, wish.method), compare

    def _further(self, attribution: Attribution) -> dict[str, Any]:
        """Return what an audit's evaluations answered beside; nothing for maps."""
        found: dict[str, Any] = {}
        if (contrast := attribution.contrast) is not None:
            found["contrast"] = {
                "to": self._package.finding(contrast.rival).name,
                "values": contrast.values.tolist(),
                "standard_error_max": float(contrast.standard_errors.max()),
                "v_empty": contrast.v_empty,
                "v_full": contrast.v_full,
            }
        if (pairs := attribution.interactions) is not None:
            found["interactions"] = {
                "values": pairs.values.tolist(),
                "standard_error_max": float(pairs.standard_errors.max()),
            }
        return found

    def _header(self, file: Path, wish: Wish) -> bytes:
        return self._deidentifier.header(file) if wish.deidentify else header_of(file)

    def _write(self, explained: Explained, out: Path, stem: str) -> Mapping[str, str]:
        """Write arrays, picture and DICOM objects under names that say what they are."""
        out.mkdir(parents=True, exist_ok=True)
        arrays = write_arrays(out / f"{stem}.npz", explained.frame, explained.attribution)
        written = {"npz": str(arrays)}
        with TemporaryDirectory(dir=out) as made:
            folder = Path(made)
            made_here = write_into(folder, explained, self._settings.results, OF_SERIES)
            for result in made_here:
                name = _name_of(result, made_here)
                target = out / f"{stem}.{name}.dcm"
                written[name] = str((folder / result.path).rename(target))
                if result.shown_in:
                    shown = "png" if result.kind not in OF_SERIES else f"{name}.png"
                    picture = out / f"{stem}.{shown}"
                    picture.write_bytes(preview(target))
                    written[shown] = str(picture)
        return written

    def _stem(self, file: Path, wish: Wish) -> str:
        """Return the names' beginning: two files of one name do not overwrite each other.

        Names of files name patients as often as headers do.
        """
        stem = f"{'deidentified' if wish.deidentify else file.stem}.{wish.method}"
        taken = self._stems.setdefault(stem, file.resolve()) != file.resolve()
        if taken and not wish.deidentify:
            stem = f"{file.resolve().parent.name}.{stem}"
        number, wanted = 2, stem
        while self._stems.setdefault(stem, file.resolve()) != file.resolve():
            stem, number = f"{wanted}.{number}", number + 1
        return stem


def _predicted(looked: Looked) -> dict[str, Any]:
    prediction = looked.prediction
    return {
        "frame": prediction.key_frame.frame,
        "finding": prediction.finding,
        "confidence": prediction.confidence,
        "scores": dict(prediction.scores),
    }


def _key_of(
    files: tuple[Path, ...], instances: tuple[Instance, ...], looked: Looked
) -> dict[str, Any]:
    uid = looked.prediction.key_frame.sop_instance_uid
    at = next(i for i, instance in enumerate(instances) if instance.sop_instance_uid == uid)
    return {"file": str(files[at].resolve()), "sop_instance_uid": uid, "images": len(files)}


def _name_of(result: Result, results: Sequence[Result]) -> str:
    """Name a result by its kind; what there are several of is numbered."""
    same = [one for one in results if one.kind is result.kind]
    return result.kind if len(same) == 1 else f"{result.kind}{same.index(result) + 1}"


def _explained(looked: Looked, attribution: Attribution) -> dict[str, Any]:
    estimate, errors = attribution.estimate, attribution.estimate.standard_errors
    return {
        "evaluations": estimate.evaluations,
        "exact": estimate.exact,
        "tolerance": None if errors is None else float(attribution.parameters["tolerance"]),
        "standard_error_max": None if errors is None else float(errors.max()),
        "completeness_residual": None if errors is None else attribution.completeness_residual,
        "seconds": {
            "decode": looked.prediction.decode_seconds,
            "infer": looked.prediction.infer_seconds,
            "explain": attribution.seconds,
        },
        "quality": dict(attribution.quality),
        "warnings": list(attribution.warnings),
    }


def _as_dict(found: Plausibility) -> dict[str, float]:
    return {"pointing_game": found.pointing_game, "iou": found.iou, "mass": found.mass}


def _outlined(looked: Looked, mask: Mask | None) -> dict[str, float]:
    """Return the share of the key frame that is outlined; with a mask, the Dice coefficient too.

    The mask is one that :func:`plausibility` took: it has the frame's size and is not empty.
    """
    drawn = np.zeros(looked.frame.geometry.source_shape, np.bool_)
    for lesion in looked.lesions:
        for plane in lesion.planes:
            if plane.ref == looked.frame.ref:
                drawn |= plane.mask
    found = {"share": float(drawn.mean())}
    if mask is not None:
        found["dice"] = float(2 * (drawn & mask).sum() / (drawn.sum() + mask.sum()))
    return found


def loaded(settings: Settings, name: str) -> LoadedPackage:
    """Return a served model, or a demonstration by its name; of no name, the first.

    Raises
    ------
    UsageError
        If there is none of this name.
    """
    served = build.packages(settings, name)
    for each in served.loaded:
        if name in {each.package.name, ""}:
            return each
    problems = [str(problem) for problem in served.problems if name in str(problem)]
    known = ", ".join(served.by_name)
    raise UsageError(
        f"model {name!r}", problems[0] if problems else "is not served", f"served: {known}"
    )
