"""``lightbox models check``: a package in a real runtime, with a real decoder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from lightbox.app.catalogue import methods
from lightbox.domain.arrays import Mask
from lightbox.domain.errors import UsageError
from lightbox.domain.frame import Frame
from lightbox.explain.plugin import MapMethod
from lightbox.infer.confidence import probabilities
from lightbox.infer.decode import DecodePool
from lightbox.infer.decode_wire import FramesRequest
from lightbox.infer.package_check import (
    CheckLine,
    Expected,
    ExpectedSample,
    check,
    share_outlined,
)
from lightbox.infer.packages import EXPECTED, MANIFEST, SAMPLES, LoadedPackage, load
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.infer.signatures.signed import signature_check
from lightbox.settings import Settings
from lightbox.tools.accepted import accepts_line
from lightbox.tools.explained_files import mask_for
from lightbox.tools.localisation import localisation_line, mark, overlap_of
from lightbox.tools.map_measures import Measuring, Onboarding, Sample
from lightbox.tools.model_range import Learned, learned, range_line

_TABLES = re.compile(r"\n*^\[\[explanation\.measured\]\]\n(?:(?!\[).*\n?)*", re.MULTILINE)
_METHOD = re.compile(r"^(\[explanation\]\n(?:(?!\[).*\n)*?)method = .*\n", re.MULTILINE)
_HEAD = re.compile(r"^\[explanation\]\n", re.MULTILINE)


def check_package(folder: Path, settings: Settings) -> list[CheckLine]:
    """Ask everything that can be asked of the package in ``folder``."""
    signatures = signature_check(settings.models)
    with closing(DecodePool(1, settings.dicom.limits)) as decode:
        lines = check(folder, _starter(settings), decode, signatures)
    if all(line.passed for line in lines):
        loaded = load(folder)
        runtime = _starter(settings)(loaded)
        samples = samples_of(loaded, folder / SAMPLES, settings)
        overlap = overlap_of(loaded, runtime, samples)
        files = sorted((folder / SAMPLES).rglob("*.dcm"))
        lines.append(accepts_line(loaded.package, files, settings.dicom.limits.nesting))
        lines.append(localisation_line(loaded.package.explanation, overlap))
        lines.append(range_line(loaded, runtime, samples))
    return lines


def map_methods() -> dict[str, MapMethod]:
    """Return the methods of the catalogue that can be measured as fast maps."""
    return {name: each for name, each in methods().items() if isinstance(each, MapMethod)}


def measure_package(
    folder: Path,
    images: Path | None,
    settings: Settings,
    shown: Callable[[Sequence[Sample]], Iterable[Sample]] = iter,
) -> Onboarding:
    """Measure every map of a package, and what each baseline leaves.

    Parameters
    ----------
    folder : Path
        The package.
    images : Path or None
        Folder of DICOM files, NAME.mask.png beside NAME.dcm where there is a mask; None: the
        package's samples.
    settings : Settings
        Worker and limits are used.
    shown : callable
        May draw a bar around the images.

    Raises
    ------
    UsageError
        If there are no images.
    ModelPackageError
        If the package is not right.
    """
    loaded = load(folder)
    found = samples_of(loaded, images or folder / SAMPLES, settings)
    return Measuring(loaded, _starter(settings), map_methods()).run(found, shown)


def samples_of(loaded: LoadedPackage, images: Path, settings: Settings) -> list[Sample]:
    """Read the first frame of each DICOM file in a folder, with its mask.

    Raises
    ------
    UsageError
        If there is none, or a mask is no picture of its image's size.
    """
    files = sorted(images.rglob("*.dcm"))
    if not files:
        raise UsageError(f"folder {images}", "holds no .dcm file", "name one with images")
    found = []
    with closing(DecodePool(1, settings.dicom.limits)) as decode:
        for file in files:
            request = FramesRequest(
                str(file.resolve()),
                str(file.relative_to(images)),
                loaded.package.preprocessing,
                (1,),
            )
            with closing(decode.frames(request)) as frames:
                (frame,) = frames
            found.append(Sample(frame, _mask_of(file, frame)))
    return found


def _mask_of(file: Path, frame: Frame) -> Mask | None:
    mask, source = mask_for(file, file.parent), frame.geometry.source_shape
    if mask is not None and mask.shape != source:
        raise UsageError(
            f"mask of {file}",
            f"it has {mask.shape[0]} x {mask.shape[1]} pixels, the image has "
            f"{source[0]} x {source[1]}",
            "draw it on the source image",
        )
    return mask


def learn_range(
    folder: Path, images: Path, validation: Path, settings: Settings, layer: str = ""
) -> Learned:
    """Learn from two folders of DICOM files, read as the service reads them, what a network knows.

    Raises
    ------
    UsageError
        If one holds none, or both hold the same image.
    ModelPackageError, UnreadableError
        If the package is not right, or a file cannot be decoded.
    """
    loaded = load(folder)
    some, others = (samples_of(loaded, where, settings) for where in (images, validation))
    known = {each.frame.tensor.tobytes() for each in some}
    both = [each for each in others if each.frame.tensor.tobytes() in known]
    if both:
        raise UsageError(
            f"folder {validation}",
            f"{len(both)} of its {len(others)} images are in {images}, too",
            "set the limit on images of other patients: those it learned from lie too near",
        )
    tensors = (np.concatenate([each.frame.tensor for each in every]) for every in (some, others))
    return learned(loaded, *tensors, layer=layer)


def write_measured(folder: Path, found: Onboarding) -> str:
    """Write the table into the manifest, and name the best fit map as the default.

    Returns
    -------
    str
        The default.

    Raises
    ------
    UsageError
        If no map is fit to be one.
    """
    best = found.best
    if best is None:
        reasons = "; ".join(f"{each.method}: {each.unfit}" for each in found.maps)
        raise UsageError(f"package {folder}", f"no map is fit: {reasons}", "ship it without maps")
    path = folder / MANIFEST
    text = _TABLES.sub("\n", path.read_text(encoding="utf-8")).rstrip() + "\n"
    if not _HEAD.search(text):
        text += "\n[explanation]\n"
    text = _METHOD.sub(r"\1", text)
    text = _HEAD.sub(f'[explanation]\nmethod = "{best.method}"\n', text)
    for each in found.maps:
        rows = each.model_dump(exclude_none=True)
        keys = "".join(
            f'{key} = "{value}"\n' if isinstance(value, str) else f"{key} = {value}\n"
            for key, value in rows.items()
        )
        text += f"\n[[explanation.measured]]\n{keys}"
    path.write_text(text, encoding="utf-8")
    if best.chance is not None:
        mark(folder, best.misses)
    return best.method


def write_expected(folder: Path, settings: Settings) -> int:
    """Write what the network says of each sample: what ``check`` compares with from then on.

    Where its maps miss the lesions of the samples, the manifest says so from then on.

    Returns
    -------
    int
        How many samples there are.

    Raises
    ------
    UsageError
        If there is none.
    ModelPackageError, UnreadableError, UnsoundError
        If the package is not right, a sample cannot be decoded, or the network says nothing of it.
    """
    loaded = load(folder)
    package, root = loaded.package, folder / SAMPLES
    runtime = _starter(settings)(loaded)
    said, samples = {}, samples_of(loaded, root, settings)
    for each in samples:
        output = runtime.predict(each.frame.tensor)
        row = probabilities(package, output.logits)[0]
        scores = {f.name: round(float(p), 5) for f, p in zip(package.findings, row, strict=True)}
        share = share_outlined(each.frame, output)
        said[each.frame.ref.sop_instance_uid] = ExpectedSample(
            finding=package.finding(int(row.argmax())).name,
            scores=scores,
            outlined=None if share is None else round(share, 5),
        )
    mark(folder, overlap_of(loaded, runtime, samples).misses)
    text = Expected(samples=said).model_dump_json(indent=2, exclude_none=True)
    (folder / EXPECTED).write_text(text + "\n", encoding="utf-8")
    return len(said)


def _starter(settings: Settings) -> Callable[[LoadedPackage], OnnxRuntime]:
    given = settings.worker

    def start(loaded: LoadedPackage) -> OnnxRuntime:
        return OnnxRuntime(loaded, given.device, given.threads, given.max_batch)

    return start
