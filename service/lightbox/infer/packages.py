"""Model packages on disk: a folder becomes a checked value, or one line that says why not."""

from __future__ import annotations

import hashlib
import io
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from lightbox.domain.background import Background
from lightbox.domain.errors import ModelPackageError
from lightbox.domain.feature_range import FeatureRange
from lightbox.domain.keys import complaint, nearest
from lightbox.domain.model_package import ModelPackage
from lightbox.infer.graphs.network import Network
from lightbox.infer.graphs.preceding import preceded
from lightbox.infer.preprocess import read_background
from lightbox.infer.signatures.signed import SignatureCheck, Signed

MANIFEST = "model.toml"
WEIGHTS = "weights.onnx"
CARD = "CARD.md"
EXPECTED = "expected.json"
SAMPLES = "samples"
BACKGROUND = "background.npz"
RANGE = "range.npz"
PREPROCESS = "preprocess.onnx"

FILL_IN = "FILL IN"
"""What ``models new`` writes where only people know what belongs there."""


@dataclass(frozen=True, slots=True)
class LoadedPackage:
    """A package whose manifest, weights and graph agree.

    Attributes
    ----------
    package : ModelPackage
        Its ``sha256`` names what is run: of ``weights.onnx``, or where there is one of
        ``preprocess.onnx`` and it, in a row.
    weights : bytes
        ``weights.onnx``, with ``preprocess.onnx`` before it; read once: what was hashed is what is
        run.
    card : str
        Text of ``CARD.md``, or "".
    background : Background or None
        Images of ``background.npz``, where the manifest states its digest.
    range : FeatureRange or None
        Of ``range.npz``, where the manifest has a table ``[range]``.
    """

    package: ModelPackage
    folder: Path
    weights: bytes
    card: str = ""
    background: Background | None = None
    range: FeatureRange | None = None

    @property
    def signer(self) -> str:
        """Who signed it, where the site asks for signatures; else ""."""
        return self.package.signer

    @property
    def known(self) -> tuple[FeatureRange, str] | None:
        """What the network knows, and the layer of its features."""
        stated = self.package.range
        return None if self.range is None or stated is None else (self.range, stated.layer)


class Found(NamedTuple):
    """Packages that can be served, why others cannot, and demonstrations that nobody asked for."""

    packages: tuple[LoadedPackage, ...]
    problems: tuple[ModelPackageError, ...]
    demonstrations: tuple[str, ...] = ()


def digest(data: bytes) -> str:
    """Return the SHA-256 of ``data``, 64 hexadecimal digits, as the manifest states it."""
    return hashlib.sha256(data).hexdigest()


def load(folder: Path, signatures: SignatureCheck | None = None) -> LoadedPackage:
    """Read a package and prove that its parts agree.

    Parameters
    ----------
    folder : Path
        The package.
    signatures : callable or None
        Proves whose it is (``signatures/signed.py``); None: the site asks for no signature.

    Raises
    ------
    ModelPackageError
        In one line: the file, the key, what was found, what was expected, what to do.
    """
    signed = signatures(folder) if signatures else None
    package = _parsed(folder / MANIFEST, _read(folder / MANIFEST, signed))
    weights = _read(folder / WEIGHTS)
    found = digest(weights)
    if found != package.sha256:
        raise ModelPackageError(
            str(folder / WEIGHTS),
            f"was changed: its SHA-256 is {found}, expected {package.sha256}",
            f"restore the file, or state sha256 in {MANIFEST} anew after checking where it is from",
        )
    if package.preprocessing.graph_sha256:
        package, weights = _preceded(package, weights, folder)
    network = Network.read(weights, str(folder / WEIGHTS))
    _agree(package, network, str(folder / MANIFEST))
    card = folder / CARD
    return LoadedPackage(
        package.signed_by(signed.signer) if signed else package,
        folder,
        weights,
        _read(card, signed).decode() if card.is_file() else "",
        _background(package, folder / BACKGROUND),
        _range(package, folder / RANGE),
    )


def _preceded(package: ModelPackage, weights: bytes, folder: Path) -> tuple[ModelPackage, bytes]:
    """Put the package's own preprocessing before its network; both name what is run."""
    stated, path = package.preprocessing.graph_sha256, folder / PREPROCESS
    first = _verified(path, stated, "preprocessing.graph_sha256")
    both = digest(f"{stated}{package.sha256}".encode())
    made = preceded(first, weights, str(path), str(folder / WEIGHTS))
    return package.model_copy(update={"sha256": both}), made


def find(
    root: Path,
    enabled: Sequence[str] = (),
    asked: str = "",
    signatures: SignatureCheck | None = None,
) -> Found:
    """Load all packages directly under ``root``; a bad one does not keep the others from serving.

    Parameters
    ----------
    root : Path
        Folder of model packages; folders without a manifest are not packages.
    enabled : sequence of str
        Names that are wanted; empty: all but demonstrations.
    asked : str
        A demonstration that somebody asks for by its name; "": none.
    signatures : callable or None
        As ``load`` takes it.
    """
    folders = sorted(path.parent for path in root.glob(f"*/{MANIFEST}"))
    loaded: dict[str, LoadedPackage] = {}
    problems: list[ModelPackageError] = []
    demonstrations: list[str] = []
    for folder in folders:
        stated = _stated(folder)
        names = {folder.name, str(stated.get("name", ""))}
        if enabled and not names & {*enabled}:
            continue
        if not enabled and stated.get("demonstration") and asked not in names:
            demonstrations.append(folder.name)
            continue
        try:
            candidate = said(load(folder, signatures))
        except ModelPackageError as error:
            problems.append(error)
            continue
        name = candidate.package.name
        if name in loaded:
            problems.append(_twice(folder, name, loaded[name].folder))
        else:
            loaded[name] = candidate
    known = set(loaded) | {folder.name for folder in folders}
    problems += [_absent(root, name, known) for name in enabled if name not in known]
    return Found(tuple(loaded.values()), tuple(problems), tuple(demonstrations))


def manifest(path: Path) -> ModelPackage:
    """Parse ``model.toml``.

    Raises
    ------
    ModelPackageError
        Naming the first wrong key, what was found, what was expected, the nearest right key.
    """
    return _parsed(path, _read(path))


def _parsed(path: Path, data: bytes) -> ModelPackage:
    try:
        table = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelPackageError(str(path), f"is not TOML: {error}", "correct the line") from error
    try:
        return ModelPackage.model_validate(table)
    except ValidationError as error:
        what = complaint(error, ModelPackage, table)
        thing = f"{path}: {what.key}" if what.key else str(path)
        raise ModelPackageError(thing, what.reason, what.mend) from error


def _read(path: Path, signed: Signed | None = None) -> bytes:
    """Read a file; of a signed package only what was signed.

    Where the manifest states a file's digest, the manifest's signature is the file's.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ModelPackageError(
            str(path), f"cannot be read: {reason}", "a package is a folder with this file in it"
        ) from error
    if signed:
        signed.refuse_others(path, data)
    return data


def _agree(package: ModelPackage, network: Network, thing: str) -> None:
    """Compare what the manifest says with what the graph says."""
    said = (package.preprocessing.channels, *package.preprocessing.size)
    if said != network.input_shape:
        raise ModelPackageError(
            f"{thing}: preprocessing",
            f"channels and size are {said}, the network's input is {network.input_shape}",
            "state the network's own",
        )
    task = "segmentation" if network.outline else "classification"
    if package.task != task:
        raise ModelPackageError(
            f"{thing}: task", f"found {package.task!r}, the network does {task}", f'task = "{task}"'
        )
    if len(package.findings) != network.classes:
        raise ModelPackageError(
            f"{thing}: findings",
            f"found {len(package.findings)}, the network has {network.classes} outputs",
            "one [[findings]] table per output, in the order of the outputs",
        )


def _background(package: ModelPackage, path: Path) -> Background | None:
    stated = package.explanation.background_sha256
    if not stated:
        return None
    data = _verified(path, stated, "explanation.background_sha256")
    return read_background(data, package.preprocessing, str(path))


def _range(package: ModelPackage, path: Path) -> FeatureRange | None:
    if package.range is None:
        return None
    data = _verified(path, package.range.sha256, "range.sha256")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return FeatureRange(arrays["means"], arrays["whitening"])
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ModelPackageError(
            str(path),
            "is no file of a feature range",
            "make it anew: lightbox models range DIR --images FOLDER",
        ) from error


def _verified(path: Path, stated: str, key: str) -> bytes:
    """Return the bytes of a file whose digest the manifest states."""
    data = _read(path)
    if digest(data) != stated:
        raise ModelPackageError(
            str(path),
            f"was changed: its SHA-256 is {digest(data)}, expected {stated}",
            f"restore the file, or state {key} in {MANIFEST} anew",
        )
    return data


def said(loaded: LoadedPackage) -> LoadedPackage:
    """Refuse a package that is only begun: its words would stand on pictures.

    Raises
    ------
    ModelPackageError
        If anything waits for a person to say it.
    """
    if FILL_IN in loaded.package.model_dump_json():
        raise ModelPackageError(
            str(loaded.folder / MANIFEST),
            f"still says {FILL_IN}",
            f"say it; lightbox models check {loaded.folder} lists where",
        )
    return loaded


def _stated(folder: Path) -> Mapping[str, object]:
    """Return the keys of a manifest that may be wrong; none if it cannot be read."""
    try:
        return tomllib.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _twice(folder: Path, name: str, first: Path) -> ModelPackageError:
    return ModelPackageError(
        f"{folder / MANIFEST}: name", f"{name!r} is also the name of {first}", "rename one"
    )


def _absent(root: Path, name: str, known: set[str]) -> ModelPackageError:
    mend = nearest(name, known) if known else "no package is there"
    return ModelPackageError(f"model {name!r}", f"is enabled, but is not under {root}", mend)
