"""What a signature says of a package: the digest of every file, and who said so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from lightbox.domain.errors import ConfigurationError, ModelPackageError
from lightbox.infer.signatures.bundle import Bundle, Statement, WrongSignerError
from lightbox.settings import ModelSettings

SIGNATURE = "model.sig"

_UNSIGNED = frozenset({SIGNATURE, ".git", ".gitattributes", ".github", ".gitignore"})
"""What the signing program leaves out, too; none of it is ever read as part of a package."""

_RESTORE = "restore the package as it was signed, or have it signed anew"
_SIGN = "sign it: see models/README.md, A signed package"


@dataclass(frozen=True, slots=True)
class Signed:
    """A package that was signed by somebody whose signature counts.

    Attributes
    ----------
    files : mapping
        Path in the package → SHA-256, as it was signed; every file of the folder is in it.
    signer : str
        Name of the key or the certificate, for people.
    """

    files: Mapping[str, str]
    signer: str

    def refuse_others(self, path: Path, data: bytes) -> None:
        """Refuse bytes that were read from a file of the package since and are not the signed ones.

        Raises
        ------
        ModelPackageError
            If they are not.
        """
        if hashlib.sha256(data).hexdigest() != self.files.get(path.name):
            raise ModelPackageError(str(path), "was changed while it was read", _RESTORE)


SignatureCheck = Callable[[Path], Signed]
"""Proves the signature of the package in a folder, or raises ``ModelPackageError``."""


def signature_check(settings: ModelSettings) -> SignatureCheck | None:
    """Return what proves signatures; None where the site asks for none.

    Raises
    ------
    ConfigurationError
        If the named file cannot be used, or what verifies signatures is not installed.
    """
    if not settings.signed_by:
        return None
    try:
        from lightbox.infer.signatures.signers import Signers
    except ImportError as error:
        raise ConfigurationError(
            "models.signed_by",
            "needs the Python package cryptography, which is not installed",
            "pip install 'lightbox-dicom[signing]'",
        ) from error
    signers = Signers.read(Path(settings.signed_by))
    return lambda folder: prove(folder, signers.verify)


def prove(folder: Path, verify: Callable[[Bundle], str]) -> Signed:
    """Prove that a package is signed, and that it is what was signed, file by file.

    Parameters
    ----------
    folder : Path
        The package.
    verify : callable
        Returns who made the signature of a bundle, or raises ``WrongSignerError``.

    Raises
    ------
    ModelPackageError
        In one line: what is missing, changed or more than was signed, or whose signature it is.
    """
    path = folder / SIGNATURE
    try:
        bundle = Bundle.model_validate_json(path.read_bytes())
        signer = verify(bundle)
        statement = Statement.model_validate_json(bundle.dsse_envelope.payload)
    except FileNotFoundError as error:
        reason = "is missing: models.signed_by asks for signed packages"
        raise ModelPackageError(str(path), reason, _SIGN) from error
    except OSError as error:
        raise ModelPackageError(str(path), _unread(error), "make it readable") from error
    except ValidationError as error:
        raise ModelPackageError(str(path), _broken(error), _SIGN) from error
    except WrongSignerError as error:
        mend = "get the package anew from who signs for you, or name their key in models.signed_by"
        raise ModelPackageError(str(path), str(error), mend) from error
    files = {each.name: each.digest for each in statement.predicate.resources}
    for name, reason in _differences(folder, files):
        raise ModelPackageError(str(folder / name), reason, _RESTORE)
    return Signed(files, signer)


def _unread(error: OSError) -> str:
    return f"cannot be read: {(error.strerror or str(error)).lower()}"


def _broken(error: ValidationError) -> str:
    """Say what is wrong with a bundle or statement, in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    said = f"{where}: {first['msg']}" if where else first["msg"]
    return f"is no signature of model_signing 1.0 by key or certificate: {' '.join(said.split())}"


def _differences(folder: Path, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each file that is not as it was signed, and how."""
    there = dict(_files(folder))
    for name in sorted(files.keys() - there.keys()):
        yield name, "is missing: it was signed with the package"
    for name in sorted(there.keys() - files.keys()):
        yield name, "was added: nobody signed it"
    for name, path in sorted(there.items()):
        if path.is_symlink() or not path.is_file():
            yield name, "is no file of its own: a signed package holds no links"
            continue
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            yield name, _unread(error)
            continue
        if found != files[name]:
            yield name, f"was changed: its SHA-256 is {found}, {files[name]} was signed"


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        name = PurePosixPath(*path.relative_to(folder).parts)
        if name.parts[0] not in _UNSIGNED and (path.is_symlink() or not path.is_dir()):
            yield str(name), path
