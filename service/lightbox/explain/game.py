"""The game of one image: v(S) is what the model says when only the regions of S are shown.

v(S) = link(softmax(logits / temperature)[target]) at the image where its region is in S, the
baseline elsewhere. Beside it stands the contrast: how much more probable the target is than its
rival, so that the same evaluations say what decided between the two. Values are remembered, in memory and (where a path is given) in a file: what is
known is not computed again, so an audit that was cut off goes on where it was.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, FloatMap, LabelMap, PlayerValues
from lightbox.domain.errors import ExplanationError
from lightbox.explain.values_file import ValuesFile, packed_rows, unpacked_rows
from lightbox.ports import Runtime

Link = Literal["probability", "log_odds"]


@dataclass(frozen=True, slots=True)
class Masking:
    """How coalitions look.

    Attributes
    ----------
    image, baseline : array, shape (C, H, W), float32
    regions : array, shape (H, W), int16
        Region of each pixel, 0 to n_players - 1.
    """

    image: FloatMap
    baseline: FloatMap
    regions: LabelMap

    @property
    def n_players(self) -> int:
        """Number of regions."""
        return int(self.regions.max()) + 1


@dataclass(frozen=True, slots=True)
class Question:
    """Which output is asked about, on which scale, of which weights (SHA-256).

    Attributes
    ----------
    rival : int
        Output that the target is contrasted with; -1: none.
    """

    target: int
    link: Link
    temperature: float
    model_sha256: str
    rival: int = -1

    def contrast(self, logits: FloatMap) -> PlayerValues:
        """Return p(target) - p(rival) of each row of logits, shape (n_coalitions,), float64."""
        scaled = logits.astype(np.float64) / self.temperature
        shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        out: PlayerValues = shares[:, self.target] - shares[:, self.rival]
        return out

    def value(self, logits: FloatMap) -> PlayerValues:
        """Return v of each row of logits.

        Parameters
        ----------
        logits : array, shape (n_coalitions, classes)
            As the network gives them, before the temperature.

        Returns
        -------
        array, shape (n_coalitions,), float64

        Raises
        ------
        ExplanationError
            If the target does not exist or a logit is not a number.
        """
        if not 0 <= self.target < logits.shape[1] or logits.shape[1] == 1:
            raise ExplanationError(
                f"target {self.target}",
                f"the network has {logits.shape[1]} outputs",
                "ask for one of the model's findings; a single output has no probability",
            )
        if not np.isfinite(logits).all():
            raise ExplanationError(
                "v(S)", "the network's outputs are not finite numbers", "check the weights"
            )
        scaled = logits.astype(np.float64) / self.temperature
        chosen = scaled[:, self.target]
        others = np.delete(scaled, self.target, axis=1)
        top = others.max(axis=1)
        log_odds = chosen - top - np.log(np.exp(others - top[:, None]).sum(axis=1))
        out: PlayerValues = log_odds if self.link == "log_odds" else _logistic(log_odds)
        return out


class ImageGame:
    """v(S) of one image, through a runtime; implements ``ports.Game``.

    Parameters
    ----------
    runtime : Runtime
        Does the masking on its device: only coalition bits go there.
    masking : Masking
        Image, baseline and regions.
    question : Question
        Which output, on which scale.
    values_path : Path or None
        File that remembers the values; None: memory only.
    """

    def __init__(
        self, runtime: Runtime, masking: Masking, question: Question, values_path: Path | None
    ) -> None:
        self._runtime = runtime
        self.masking = masking
        self.question = question
        self._players = masking.n_players
        self._columns = 1 if question.rival < 0 else 2
        self._file = (
            ValuesFile(values_path, identity(masking, question), self._players, self._columns)
            if values_path
            else None
        )
        known = dict(self._file.load()) if self._file else {}
        self._known: dict[bytes, tuple[float, ...]] = known
        self._asked: dict[bytes, None] = {}
        self.computed = 0
        """How many v(S) the network was run for (the rest was remembered)."""

    @property
    def n_players(self) -> int:
        """Number of regions."""
        return self._players

    @property
    def evaluations(self) -> int:
        """How many different coalitions were asked for, remembered ones included."""
        return len(self._asked)

    def value(self, coalitions: CoalitionMatrix) -> PlayerValues:
        """Return v(S) of each row, shape (n_coalitions,); only unknown rows run the network."""
        packed, width = packed_rows(coalitions), (self._players + 7) // 8
        keys = [packed[at : at + width] for at in range(0, len(packed), width)]
        unknown = list(dict.fromkeys(key for key in keys if key not in self._known))
        if unknown:
            self._compute(unknown)
        self._asked.update(dict.fromkeys(keys))
        return np.fromiter((self._known[key][0] for key in keys), np.float64, len(keys))

    def table(self) -> tuple[CoalitionMatrix, PlayerValues]:
        """Return all coalitions that were asked for so far, in order, and their values."""
        return self._table(0)

    def contrast_table(self) -> tuple[CoalitionMatrix, PlayerValues]:
        """Return the same coalitions and their contrast; only where there is a rival."""
        return self._table(1)

    def asked_digest(self) -> str:
        """Return the SHA-256, 16 digits of it, of what was asked, in order: the coalition plan."""
        return hashlib.sha256(b"".join(self._asked)).hexdigest()[:16]

    def _table(self, column: int) -> tuple[CoalitionMatrix, PlayerValues]:
        known, asked = self._known, self._asked
        values = np.fromiter((known[key][column] for key in asked), np.float64, len(asked))
        return unpacked_rows(b"".join(asked), self._players), values

    def _compute(self, unknown: list[bytes]) -> None:
        packed = b"".join(unknown)
        rows = unpacked_rows(packed, self._players)
        masking = self.masking
        logits = self._runtime.value(masking.image, masking.baseline, masking.regions, rows)
        columns = [self.question.value(logits)]
        if self._columns > 1:
            columns.append(self.question.contrast(logits))
        values = np.stack(columns, axis=1)
        if self._file:
            self._file.append(packed, values)
        self._known.update(zip(unknown, map(tuple, values.tolist()), strict=True))
        self.computed += len(unknown)


def identity(masking: Masking, question: Question) -> bytes:
    """SHA-256 of everything that v depends on."""
    digest = hashlib.sha256(repr(question).encode())
    for array in (masking.image, masking.baseline, masking.regions):
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def _logistic(log_odds: PlayerValues) -> PlayerValues:
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(log_odds))
    out: PlayerValues = np.where(log_odds >= 0, 1.0, small) / (1.0 + small)
    return out
