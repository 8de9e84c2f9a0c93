"""Proof that a model package does what it says: one line per question, in the order of a reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydicom.sr.codedict import codes

from lightbox.domain.errors import ExplanationError, ModelPackageError, UnreadableError
from lightbox.domain.frame import Frame
from lightbox.domain.keys import Location, spelled
from lightbox.domain.model_package import ModelPackage
from lightbox.infer.confidence import probabilities
from lightbox.infer.decode import DecodePool
from lightbox.infer.decode_wire import FramesRequest
from lightbox.infer.graphs.cam_graph import cam_graph
from lightbox.infer.graphs.network import Network
from lightbox.infer.packages import (
    CARD,
    EXPECTED,
    FILL_IN,
    MANIFEST,
    PREPROCESS,
    SAMPLES,
    WEIGHTS,
    LoadedPackage,
    load,
)
from lightbox.infer.predict import outlined_in
from lightbox.infer.signatures.signed import SignatureCheck
from lightbox.ports import Output, Runtime

_SCHEMES = frozenset(codes.schemes()) | {
    *("ACR", "BI", "caDSR", "CTV3", "I10C", "I10P", "I11", "I9", "I9C", "ICDO3", "MA", "MAYOASRG"),
    *("NYUMCCG", "PATHLEX", "RADELEMENT", "RO", "SNM3", "SRT", "UBERON"),
}
"""Those that pydicom knows, and others of public lists that a finding may be coded by (PS3.16 8)."""

_PAPERS = ("licence", "citation", "intended_use")

_LARGE = 400 * 2**20
"""Bytes of weights above which a package is a burden for a disk and a start; ViT-B/16 has 328 MiB."""


@dataclass(frozen=True, slots=True)
class CheckLine:
    """The answer to one question.

    Attributes
    ----------
    question : str
        What was looked at.
    passed : bool
        False: the package must not be served so.
    answer : str
        What was found; for a failure also what was expected and what to do.
    """

    question: str
    passed: bool
    answer: str


class ExpectedSample(BaseModel):
    """What the model says about one sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    finding: str
    scores: dict[str, float]
    outlined: float | None = None
    """Of a segmentation model: share of the sample's pixels that it outlines."""


class Expected(BaseModel):
    """``expected.json``: calibrated scores of every sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance: float = Field(default=1e-3, gt=0)
    samples: dict[str, ExpectedSample] = Field(min_length=1)


def check(
    folder: Path,
    start: Callable[[LoadedPackage], Runtime],
    decode: DecodePool,
    signatures: SignatureCheck | None = None,
) -> list[CheckLine]:
    """Ask everything that can be asked of a package without other data.

    Parameters
    ----------
    folder : Path
        The package.
    start : callable
        Opens a runtime on it.
    decode : DecodePool
        Decodes its samples.
    signatures : callable or None
        Proves whose it is, where the site asks for it.
    """
    try:
        loaded = load(folder, signatures)
    except ModelPackageError as error:
        return [CheckLine("package", passed=False, answer=str(error))]
    lines = [*_papers(loaded), *_graph(loaded)]
    if all(line.passed for line in lines if line.question == "target layer"):
        lines += _behaviour(loaded, start, decode)
    return lines


def _papers(loaded: LoadedPackage) -> Iterator[CheckLine]:
    package, size = loaded.package, len(loaded.weights)
    said = f"{WEIGHTS} is {package.sha256}, as stated"
    if package.preprocessing.graph_sha256:
        said = f"{PREPROCESS} and {WEIGHTS} are as stated; results name both as {package.sha256}"
    yield CheckLine("digest", passed=True, answer=said)
    if loaded.signer:
        yield CheckLine("signature", passed=True, answer=f"every file is signed by {loaded.signer}")
    yield CheckLine("size", size <= _LARGE, f"{size / 2**20:.1f} MiB of at most {_LARGE >> 20} MiB")
    for key in _PAPERS:
        stated = str(getattr(package, key)).strip()
        is_there = bool(stated) and FILL_IN not in stated
        mend = f"state {key} in {MANIFEST}: nobody may run a model without it"
        yield CheckLine(key.replace("_", " "), is_there, stated if is_there else mend)
    yield from _to_fill_in(package)
    yield from _unknown_schemes(package)
    words, open_places = len(loaded.card.split()), loaded.card.count(FILL_IN)
    found = f"{CARD}, {words} words" if words else f"write {CARD}: data, split, figures, limits"
    if open_places:
        found = f"{CARD} says {FILL_IN} in {open_places} places: data, split, figures, limits"
    yield CheckLine("card", words > 0 and not open_places, found)


def _unknown_schemes(package: ModelPackage) -> Iterator[CheckLine]:
    """Yield a line for each finding whose code a receiver could not look up (PS3.16 section 8)."""
    for finding in package.findings:
        for code in filter(None, (finding.code, finding.segment)):
            if code.scheme in _SCHEMES or code.scheme.startswith("99"):
                continue
            known = ", ".join(sorted(_SCHEMES))
            answer = (
                f"finding {finding.name!r}: {code.scheme!r} is no designator of a coding scheme "
                f"in DICOM; one of {known}, or one of your own that begins with 99"
            )
            yield CheckLine("code", passed=False, answer=answer)


def _to_fill_in(package: ModelPackage) -> Iterator[CheckLine]:
    """Yield one line per table of the manifest in which a person has not said everything."""
    stated = package.model_dump(mode="json", exclude=set(_PAPERS))
    for table, value in stated.items():
        keys = [spelled(at) for at in _unsaid(value, (table,))]
        if not keys:
            continue
        more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        say = "say" if more else "says"
        answer = f"{MANIFEST}: {keys[0]}{more} still {say} {FILL_IN}: say what only people know"
        yield CheckLine(table, passed=False, answer=answer)


def _unsaid(value: object, at: Location) -> Iterator[Location]:
    """Yield where a text below ``at`` waits for a person."""
    if isinstance(value, str) and FILL_IN in value:
        yield at
    below = value.items() if isinstance(value, dict) else ()
    for key, each in enumerate(value) if isinstance(value, list) else below:
        yield from _unsaid(each, (*at, key))


def _graph(loaded: LoadedPackage) -> Iterator[CheckLine]:
    thing, package = str(loaded.folder / WEIGHTS), loaded.package
    network = Network.read(loaded.weights, thing)
    shape = " x ".join(str(length) for length in network.input_shape)
    names = ", ".join(finding.name for finding in package.findings)
    gives = f"{network.classes}: {names}"
    if network.outline:
        cells = " x ".join(str(length) for length in network.shapes[network.outline][2:])
        gives = f"outline of {package.findings[0].name}, {cells}"
    yield CheckLine("shapes", passed=True, answer=f"image {shape}; {gives}")
    try:
        spec = package.explanation
        cam = cam_graph(loaded.weights, thing, spec.target_layer, spec.layer_layout, spec.method)
    except ModelPackageError as error:
        yield CheckLine("target layer", passed=False, answer=str(error))
        return
    chosen = "as named" if package.explanation.target_layer else "found"
    cells = f"{cam.cells[0]} x {cam.cells[1]} cells"
    answer = f"{cam.target_layer} ({chosen}), {cells}, {cam.way}"
    yield CheckLine("target layer", passed=True, answer=answer)
    yield CheckLine("fast map", passed=True, answer=_measured(package))


def _measured(package: ModelPackage) -> str:
    """Say which map is sent, and what the choice rests on."""
    chosen = package.explanation.method
    for each in package.explanation.measured:
        if each.method == chosen:
            return f"{chosen}, merit {each.merit:.2f} on {each.images} images"
    return f"{chosen}, by habit: lightbox models check DIR --measure --write measures it"


def _behaviour(
    loaded: LoadedPackage, start: Callable[[LoadedPackage], Runtime], decode: DecodePool
) -> Iterator[CheckLine]:
    try:
        runtime = start(loaded)
    except ModelPackageError as error:
        yield CheckLine("runtime", passed=False, answer=str(error))
        return
    path = loaded.folder / EXPECTED
    try:
        expected = Expected.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        mend = f"put a few files into {SAMPLES}/, then lightbox models check DIR --write-expected"
        yield CheckLine("expected", passed=False, answer=mend)
        return
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        yield CheckLine("expected", passed=False, answer=f"{EXPECTED}: {where}: {first['msg']}")
        return
    for name, sample in expected.samples.items():
        yield _reproduced(loaded, runtime, decode, (name, sample, expected.tolerance))


def _reproduced(
    loaded: LoadedPackage,
    runtime: Runtime,
    decode: DecodePool,
    asked: tuple[str, ExpectedSample, float],
) -> CheckLine:
    name, sample, tolerance = asked
    package, path = loaded.package, loaded.folder / SAMPLES / name
    request = FramesRequest(str(path.absolute()), "", package.preprocessing, (1,))
    try:
        with closing(decode.frames(request)) as frames:
            (frame,) = frames
        output = runtime.predict(frame.tensor)
        scores = dict(
            zip(
                (finding.name for finding in package.findings),
                (float(p) for p in probabilities(package, output.logits)[0]),
                strict=True,
            )
        )
    except (UnreadableError, ExplanationError) as error:
        return CheckLine(f"sample {name}", passed=False, answer=str(error))
    said = ExpectedSample(
        finding=max(scores, key=lambda name: scores[name]),
        scores=scores,
        outlined=share_outlined(frame, output),
    )
    return CheckLine(f"sample {name}", *_compared(sample, said, tolerance, output))


def share_outlined(frame: Frame, output: Output) -> float | None:
    """Return the share of the source's pixels that are outlined; None of a classifier."""
    if output.outline is None:
        return None
    plane = outlined_in(frame, output.outline[0])
    return 0.0 if plane is None else float(plane.mask.mean())


def _compared(
    sample: ExpectedSample, said: ExpectedSample, tolerance: float, output: Output
) -> tuple[bool, str]:
    scores, finding = said.scores, said.finding
    if set(sample.scores) != set(scores):
        return False, f"expected scores of {sorted(sample.scores)}, found {sorted(scores)}"
    worst = max(abs(scores[name] - value) for name, value in sample.scores.items())
    if finding != sample.finding or worst > tolerance:
        now = f"{finding} {scores[finding]:.4f}"
        return False, f"{now}, expected {sample.finding}; off by {worst:.2g} of {tolerance:g}"
    outlined = "" if said.outlined is None else f", {said.outlined:.1%} of it outlined"
    if abs((said.outlined or 0.0) - (sample.outlined or 0.0)) > tolerance:
        return False, f"{finding}{outlined}, expected {sample.outlined or 0.0:.1%}"
    is_empty = output.cam is not None and not (np.isfinite(output.cam).all() and output.cam.any())
    if is_empty and said.outlined != 0.0:
        return False, f"{finding} {scores[finding]:.4f}, but its map is empty or not finite"
    return True, f"{finding} {scores[finding]:.4f}{outlined}, off by {worst:.1g}"
