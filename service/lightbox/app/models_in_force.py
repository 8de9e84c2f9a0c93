"""Which version of a model is in force, where a running service was given another one.

``models.json`` in the data directory names it; the packages themselves are copies beside it, so
that nobody's edit changes what is served. What a version replaced is kept: its jobs go on with its
weights, and one command brings it back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lightbox.domain.errors import ConfigurationError, ModelPackageError, OperationError
from lightbox.infer.packages import MANIFEST, Found, LoadedPackage, load
from lightbox.infer.signatures.signed import SignatureCheck

FILE = "models.json"
_INSTALLED = ""
"""The version under ``[models] path``."""


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of one model.

    Attributes
    ----------
    history : tuple of str
        Names of copies, the one in force first; "" is what is under ``[models] path``.
    beside : str or None
        The one that was in force before the last change.
    """

    history: tuple[str, ...] = (_INSTALLED,)
    beside: str | None = None

    def given(self, name: str) -> Versions:
        """Return them with another one in force."""
        return Versions((name, *self.history), self.history[0])

    def rolled_back(self, model: str) -> Versions:
        """Return them with the one before in force.

        Raises
        ------
        OperationError
            If there was none.
        """
        if len(self.history) < 2:
            raise OperationError(
                f"model {model}", "has not been replaced", "see: lightbox models list"
            )
        return Versions(self.history[1:], self.history[0])


class Serving(NamedTuple):
    """What is served, and what it replaced."""

    found: Found
    replaced: tuple[LoadedPackage, ...]


def in_force(data: Path, installed: Found, signatures: SignatureCheck | None = None) -> Serving:
    """Put the versions that are in force in place of the installed ones.

    A copy that cannot be served is a problem of its own: the installed one never takes its place
    unasked. What was replaced needs no signature: its jobs name its weights.
    """
    chosen = versions(data)
    served, replaced = [], []
    problems = list(installed.problems)
    for each in installed.packages:
        name = each.package.name
        of_model = chosen.get(name, Versions())
        try:
            served.append(_loaded(data, each, of_model.history[0], signatures))
        except ModelPackageError as error:
            problems.append(error)
        if of_model.beside is not None:
            try:
                replaced.append(_loaded(data, each, of_model.beside))
            except ModelPackageError as error:
                problems.append(error)
    found = installed._replace(packages=tuple(served), problems=tuple(problems))
    return Serving(found, tuple(replaced))


def versions(data: Path) -> Mapping[str, Versions]:
    """Return the models that were replaced, by name.

    Raises
    ------
    ConfigurationError
        If what was written down is damaged: nobody knows then what is to be served.
    """
    path = data.expanduser() / FILE
    try:
        said = json.loads(path.read_bytes())
    except (FileNotFoundError, PermissionError):  # who may not look there is not the service
        return {}
    except ValueError as error:
        mend = "restore it from a backup; without it the installed models are served"
        raise ConfigurationError(str(path), f"is damaged: {error}", mend) from error
    return {name: Versions(tuple(each["history"]), each["beside"]) for name, each in said.items()}


def folder_of(data: Path, model: str, name: str) -> Path:
    """Return the folder of a copy."""
    return data.expanduser() / "models" / model / name


def copies_of(data: Path, model: str) -> Iterator[LoadedPackage]:
    """Yield every version of a model that was in force while the service ran."""
    for manifest in sorted(folder_of(data, model, "").glob(f"*/{MANIFEST}")):
        with suppress(ModelPackageError):  # one that is damaged is none of them
            yield load(manifest.parent)


def _loaded(
    data: Path, installed: LoadedPackage, name: str, signatures: SignatureCheck | None = None
) -> LoadedPackage:
    if name == _INSTALLED:
        return installed
    return load(folder_of(data, installed.package.name, name), signatures)
