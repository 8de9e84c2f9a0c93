"""Games whose Shapley values are known, for measuring estimators on them.

Real ones are enumerated once through the runtime and can be kept in a folder; random ones are a
formula; of those too large to enumerate, two long independent estimates make a reference.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, PlayerValues
from lightbox.domain.frame import Frame
from lightbox.explain.baselines.choice import baseline_of
from lightbox.explain.game import ImageGame, Masking, Question, identity
from lightbox.explain.players.grid import grid_regions
from lightbox.explain.shapley_values.enumeration import (
    MOST_PLAYERS,
    coalitions,
    shapley_of_table,
)
from lightbox.explain.shapley_values.odd_regression import Answer, Pairs, fits
from lightbox.explain.shapley_values.pair_plan import pair_plan
from lightbox.infer.packages import LoadedPackage
from lightbox.ports import Game
from lightbox.tools.doors import Doors

_CHUNK = 2048
"""Evaluations between two writings into the folder: so much is lost by an interruption."""

_REFERENCE_SEEDS = (9_001, 9_002)


class KnownGame:
    """A game whose Shapley values are known; implements ``ports.Game`` and counts.

    Parameters
    ----------
    game : Game
        What is asked.
    exact : array, shape (n_players,)
        Its Shapley values.

    Attributes
    ----------
    asked : set of bytes
        The different coalitions that were asked for.
    """

    def __init__(self, game: Game, exact: PlayerValues) -> None:
        self._game = game
        self.n_players = game.n_players
        self.exact = exact
        self.asked: set[bytes] = set()

    @property
    def evaluations(self) -> int:
        """How many different coalitions were asked for."""
        return len(self.asked)

    @property
    def span(self) -> float:
        """Range of the exact values."""
        return float(np.ptp(self.exact))

    def value(self, coalitions: CoalitionMatrix) -> PlayerValues:
        """Return v(S) of each row of an array of shape (n_coalitions, n_players)."""
        packed = np.packbits(coalitions, axis=1)
        self.asked.update(row.tobytes() for row in packed)
        return self._game.value(coalitions)

    def error(self, values: PlayerValues) -> float:
        """Return the root mean square error as a share of the range of the exact values."""
        off = float(np.sqrt(np.mean((values - self.exact) ** 2)))
        return off / self.span if self.span else 0.0


class TableGame:
    """A game given by its 2^n values; implements ``ports.Game``.

    Parameters
    ----------
    table : array, shape (2^n,), float64
        v(S) at the number whose bit i says whether player i is present.
    """

    def __init__(self, table: PlayerValues) -> None:
        self.table = table
        self.n_players = int(table.size).bit_length() - 1

    def value(self, coalitions: CoalitionMatrix) -> PlayerValues:
        """Return v(S) of each row of an array of shape (n_coalitions, n_players)."""
        numbers = coalitions.astype(np.int64) @ (1 << np.arange(self.n_players, dtype=np.int64))
        found: PlayerValues = self.table[numbers]
        return found

    def known(self) -> KnownGame:
        """Return it with its Shapley values."""
        return KnownGame(self, shapley_of_table(self.table))


def random_table(n_players: int, seed: int) -> TableGame:
    """Draw a game: a logistic function of single players, pairs and triples."""
    draw = np.random.default_rng([seed, n_players])
    present = coalitions(0, 1 << n_players, n_players).astype(np.float64)
    score = present @ (draw.standard_normal(n_players) * draw.gamma(1, 1, n_players))
    for _ in range(n_players):
        i, j, k = draw.choice(n_players, 3, replace=False)
        pair = present[:, i] * present[:, j]
        score += draw.standard_normal() * pair
        score += 0.7 * draw.standard_normal() * pair * present[:, k]
    score = (score - score.mean()) / (score.std() or 1.0) * draw.uniform(0.5, 3.0)
    return TableGame(1.0 / (1.0 + np.exp(-score - draw.uniform(-1.0, 1.0))))


def masking_of(loaded: LoadedPackage, frame: Frame, grid: tuple[int, int]) -> Masking:
    """Return the image and the package's baseline over a grid of regions."""
    spec, regions = loaded.package.explanation, grid_regions(frame.geometry, grid)
    return Masking(
        image=frame.tensor[0],
        baseline=baseline_of(spec, frame.tensor, regions, loaded.background),
        regions=regions,
    )


def image_game(doors: Doors, frame: Frame, masking: Masking, folder: Path | None) -> ImageGame:
    """Return the game of the winning finding; what is evaluated is kept in the folder."""
    package = doors.package
    question = Question(
        target=int(np.argmax(doors.runtime.predict(frame.tensor).logits[0])),
        link=package.explanation.link,
        temperature=package.calibration.temperature,
        model_sha256=package.sha256,
    )
    kept = folder / f"{identity(masking, question).hex()[:24]}.values" if folder else None
    return ImageGame(doors.runtime, masking, question, kept)


def known_game(game: ImageGame, reference: int) -> tuple[KnownGame, str]:
    """Enumerate a game, or estimate it twice at length where it has too many players.

    Parameters
    ----------
    game : ImageGame
        What is asked.
    reference : int
        Evaluations of both estimates together.

    Returns
    -------
    game : KnownGame
    note : str
        How sure the values are.
    """
    n = game.n_players
    if n <= MOST_PLAYERS:
        table = np.concatenate(
            [
                game.value(coalitions(start, min(start + _CHUNK, 1 << n), n))
                for start in range(0, 1 << n, _CHUNK)
            ]
        )
        return TableGame(table).known(), "exact"
    each = reference // len(_REFERENCE_SEEDS)
    halves = [estimated(game, each, seed).values for seed in _REFERENCE_SEEDS]
    exact = np.mean(halves, axis=0)
    apart = float(np.sqrt(np.mean((halves[0] - halves[1]) ** 2))) / 2.0
    own = apart / float(np.ptp(exact))
    return KnownGame(game, exact), f"reference of {reference} evaluations, own error {own:.2%}"


def estimated(game: Game, budget: int, seed: int, *, only_singles: bool = False) -> Answer:
    """Estimate as ``shapley`` does where it may not enumerate.

    Parameters
    ----------
    game : Game
        What is asked.
    budget : int
        Evaluations.
    seed : int
        Of the plan.
    only_singles : bool
        Without further parities: paired regression alone.
    """
    plan = pair_plan(game.n_players, (budget - 2) // 2, seed)
    v_empty, v_full = game.value(np.array([[False], [True]]).repeat(game.n_players, axis=1))
    odd = np.concatenate(
        [_odd(game, plan[start : start + _CHUNK]) for start in range(0, len(plan), _CHUNK)]
    )
    every = fits(Pairs(plan, odd, float(v_full - v_empty)))
    if only_singles:
        return next(every).answer()
    *_, last = every
    return last.answer()


def _odd(game: Game, rows: CoalitionMatrix) -> PlayerValues:
    values = game.value(np.concatenate([rows, ~rows]))
    out: PlayerValues = (values[: len(rows)] - values[len(rows) :]) / 2.0
    return out
