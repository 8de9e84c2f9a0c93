"""Traces of estimators that are known already: a measurement that was cut off goes on where it was.

One line of JSON each, appended. A trace belongs to a game, a seed, a list of budgets and the program
that made it: of another version of their packages, or after a change of ours, it is made anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lightbox import explain
from lightbox.tools.bench import games
from lightbox.tools.bench.games import KnownGame
from lightbox.tools.bench.peers.shapley_estimators import Estimate, Trace, trace_of
from lightbox.tools.bench.report import OURS

FILE = "traces.jsonl"

_PACKAGES = ("captum", "shap", "shapiq", "torch")


class Traces:
    """Runs estimators on games, each once.

    Parameters
    ----------
    folder : Path or None
        Where traces are kept; None: in memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / FILE if folder else None
        self._known: dict[str, Trace] = {}
        self._theirs, self._ours = _versions(), _own_digest()
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        if self._path and self._path.exists():
            text = self._path.read_text(encoding="utf-8")
            for line in text.splitlines():
                with suppress(ValueError, KeyError, TypeError):  # a line that was cut off
                    said = json.loads(line)
                    self._known[said["key"]] = tuple((int(n), float(e)) for n, e in said["trace"])
            if text and not text.endswith("\n"):
                self._write("")

    def trace(
        self, who: str, estimate: Estimate, game: KnownGame, sizes: Sequence[int], seed: int
    ) -> Trace:
        """Return what an estimator asked for with each budget, and how far off it was."""
        program = self._ours if OURS in who else self._theirs
        digest = hashlib.sha256(game.exact.tobytes())
        digest.update(json.dumps([who, list(sizes), seed, program]).encode())
        key = digest.hexdigest()[:32]
        if key not in self._known:
            self._known[key] = trace_of(estimate, game, sizes, seed)
            self._write(json.dumps({"who": who, "key": key, "trace": self._known[key]}))
        return self._known[key]

    def _write(self, line: str) -> None:
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")


def _versions() -> Mapping[str, str]:
    """Return the versions of the packages that are installed."""
    found: dict[str, str] = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _own_digest() -> str:
    """Return the digest of our own estimators."""
    root = Path(str(explain.__file__)).parent
    ours = [*sorted((root / "shapley_values").glob("*.py")), Path(str(games.__file__))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in ours)).hexdigest()
