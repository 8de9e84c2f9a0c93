"""A model is replaced while the service runs, and one command brings the old one back.

The new package is proven and copied first. Then the processes that know models start anew, the
listener goes on: what comes meanwhile is accepted and waits. Jobs that name the old weights are
done with them; whatever is placed from then on names the new ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path

from lightbox.app.doorbell import answers, ring
from lightbox.app.models_in_force import FILE, Versions, folder_of, versions
from lightbox.app.operate.switch import put
from lightbox.domain.errors import OperationError
from lightbox.domain.events import OperatorActed
from lightbox.domain.jobs import Job
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.operations import Outcome, Request
from lightbox.infer.packages import MANIFEST, LoadedPackage, digest, load, said
from lightbox.infer.signatures.signed import SignatureCheck
from lightbox.ports import Ledger
from lightbox.storage.files import Files

_ROLES = ("control", "work")


class Replacement:
    """Replaces models.

    Parameters
    ----------
    data : Path
        The data directory.
    ledger : Ledger
        What was asked for is recorded here before it is done.
    served : callable
        Returns the models that are served.
    waiting : callable
        Returns the jobs that have no end yet.
    signatures : callable or None
        Proves whose a package is, where the site asks for it.
    """

    def __init__(
        self,
        data: Path,
        ledger: Ledger,
        served: Collection[ModelPackage],
        waiting: Callable[[], Collection[Job]],
        signatures: SignatureCheck | None = None,
    ) -> None:
        self._data = data
        self._ledger = ledger
        self._served = {package.name: package for package in served}
        self._waiting = waiting
        self._signatures = signatures

    def use(self, request: Request) -> Outcome:
        """Serve the package in the folder ``request.detail`` as the model ``request.subject``.

        Raises
        ------
        OperationError
            If it is of another model, or what was replaced before is not done yet.
        ModelPackageError
            If it is not right, or not signed by whom the site asks for.
        """
        now = self._now(request.subject)
        offered = said(load(Path(request.detail), self._signatures))
        if offered.package.name != now.name:
            raise OperationError(
                f"package {request.detail}",
                f"is of the model {offered.package.name}, not of {now.name}",
                "a model is replaced by another version of itself",
            )
        name = _copied(self._data, offered, Files())
        of_model = versions(self._data).get(now.name, Versions()).given(name)
        by = f", signed by {offered.signer}" if offered.signer else ""
        return self._put_in_force(request, now, of_model, f"{_words(offered.package)}{by}")

    def roll_back(self, request: Request) -> Outcome:
        """Serve the version that was in force before.

        Raises
        ------
        OperationError
            If there was none, or what was replaced before is not done yet.
        """
        now = self._now(request.subject)
        of_model = versions(self._data).get(now.name, Versions()).rolled_back(now.name)
        return self._put_in_force(request, now, of_model, "the version before it")

    def _now(self, model: str) -> ModelPackage:
        """Return the model that is served; refuse while jobs of yet another version wait."""
        now = self._served.get(model)
        if now is None:
            raise OperationError(
                f"model {model}", "is not served", f"served: {', '.join(sorted(self._served))}"
            )
        older = [j for j in self._waiting() if j.model == model and j.model_sha256 != now.sha256]
        if older:
            raise OperationError(
                f"model {model}",
                f"{len(older)} jobs of the version before wait still",
                "ask again when they are done",
            )
        if not answers(self._data, "supervisor"):
            raise OperationError(
                f"model {model}",
                "nobody starts the processes anew here",
                "put the package under [models] path and restart the service",
            )
        return now

    def _put_in_force(
        self, request: Request, now: ModelPackage, of_model: Versions, then: str
    ) -> Outcome:
        self._ledger.record(
            OperatorActed(
                request.action, now.name, request.by, request.at, detail=f"{_words(now)} to {then}"
            )
        )
        _keep(self._data, now.name, of_model, Files())
        ring(self._data, "supervisor", json.dumps({"anew": _ROLES}).encode())
        line = f"model {now.name}: from {_words(now)} to {then}, in a few seconds"
        waits = "the listener goes on, what comes meanwhile waits; jobs of the old one keep it"
        return Outcome(is_done=True, lines=(line, waits))


def _keep(data: Path, model: str, of_model: Versions, files: Files) -> None:
    """Write down what is in force, durably, whole or not at all."""
    made = {**versions(data), model: of_model}
    told = {name: {"history": each.history, "beside": each.beside} for name, each in made.items()}
    put(files, data / FILE, json.dumps(told, indent=1).encode())


def _copied(data: Path, source: LoadedPackage, files: Files) -> str:
    """Copy a package into the data directory, durably; return the name of the copy."""
    stated = digest((source.folder / MANIFEST).read_bytes())
    name = digest(f"{stated}{source.package.sha256}".encode())[:16]
    target = folder_of(data, source.package.name, name)
    for path in sorted(source.folder.rglob("*")):
        if path.is_file():
            where = target / path.relative_to(source.folder)
            files.make_folder(where.parent)
            put(files, where, path.read_bytes())
    return name


def _words(package: ModelPackage) -> str:
    return f"{package.version} ({package.sha256[:12]})"
