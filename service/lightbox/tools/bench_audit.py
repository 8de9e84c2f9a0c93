"""``lightbox bench audit``: what an evaluation costs, and how many an estimate needs.

Cost: seconds per v(S) through the masking graph, ``bare`` being the same batches of plain images
through the package's own graph. Evaluations: the game of a sample is enumerated once; on that
exact table the estimator of ``shapley`` is run with several seeds until its error stays below 2 %
and 1 %, and so are the estimators of other packages where they are installed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix, PlayerValues
from lightbox.domain.frame import Frame
from lightbox.explain.baselines import baseline_of
from lightbox.explain.game import ImageGame, Masking, Question
from lightbox.explain.players.grid import grid_regions
from lightbox.explain.shapley_values.enumeration import coalitions, shapley_of_table
from lightbox.explain.shapley_values.odd_regression import Pairs, fits
from lightbox.explain.shapley_values.pair_plan import pair_plan
from lightbox.infer.packages import LoadedPackage
from lightbox.settings import Settings
from lightbox.tools.bench_fast import samples
from lightbox.tools.bench_report import BARE, OURS, Case, Measured, interleaved, seconds_of
from lightbox.tools.doors import Doors
from lightbox.tools.peers.shapley_estimators import Trace, installed_peers, trace_of

GOALS = (0.02, 0.01)
"""Errors, as a share of the range of the exact values, that evaluations are counted to."""


@dataclass(frozen=True, slots=True)
class AuditBenchPlan:
    """How much is measured.

    Attributes
    ----------
    rounds : int
        Paired rounds of the cost per evaluation.
    images : int
        Samples whose games are enumerated.
    seeds : int
        Runs of each estimator on each game.
    grid : tuple of int
        Rows and columns of regions; (0, 0): the package's own. 2^n evaluations per image.
    """

    rounds: int = 10
    images: int = 2
    seeds: int = 10
    grid: tuple[int, int] = (0, 0)


def bench_audit(settings: Settings, loaded: LoadedPackage, plan: AuditBenchPlan) -> list[Case]:
    """Measure cost and number of evaluations on the package's samples.

    Raises
    ------
    UsageError
        If the package has no samples.
    """
    spec = loaded.package.explanation
    grid = plan.grid if all(plan.grid) else spec.grid
    with Doors(settings, loaded) as doors:
        files = samples(loaded)[:: max(1, len(samples(loaded)) // plan.images)][: plan.images]
        frames = [doors.frame(file) for file in files]
        masked = [_masking(doors, frame, grid) for frame in frames]
        cases = [_cost(doors, loaded, masked[0], plan.rounds)]
        games = [
            TableGame(_table(doors, frame, each))
            for frame, each in zip(frames, masked, strict=True)
        ]
    return cases + _to_goals(games, plan.seeds)


class TableGame:
    """A game whose 2^n values are known; implements ``ports.Game`` and counts what is asked.

    Parameters
    ----------
    table : array, shape (2^n,), float64
        v(S) at the number whose bit i says whether player i is present.
    """

    def __init__(self, table: PlayerValues) -> None:
        self._table = table
        self.n_players = int(table.size).bit_length() - 1
        self.exact = shapley_of_table(table)
        self.asked: set[int] = set()

    @property
    def evaluations(self) -> int:
        """How many different coalitions were asked for."""
        return len(self.asked)

    def value(self, coalitions: CoalitionMatrix) -> PlayerValues:
        """Return v(S) of each row of an array of shape (n_coalitions, n_players)."""
        numbers = coalitions.astype(np.int64) @ (1 << np.arange(self.n_players, dtype=np.int64))
        self.asked.update(numbers.tolist())
        found: PlayerValues = self._table[numbers]
        return found

    def error(self, values: PlayerValues) -> float:
        """Return the root mean square error as a share of the range of the exact values."""
        span = float(np.ptp(self.exact))
        return float(np.sqrt(np.mean((values - self.exact) ** 2))) / span if span else 0.0


def evaluations_to(trace: Trace, goal: float) -> int | None:
    """Return the evaluations after which every later estimate stays below ``goal``; None: never."""
    needed: int | None = None
    for spent, error in trace:
        if error > goal:
            needed = None
        elif needed is None:
            needed = spent
    return needed


def our_estimate(game: TableGame, budget: int, seed: int) -> PlayerValues:
    """Estimate as ``shapley`` does where it may not enumerate: complementary pairs, odd parities."""
    n = game.n_players
    plan = pair_plan(n, ((1 << n) - 2) // 2, seed)[: (budget - 2) // 2]
    ends = game.value(np.array([[False] * n, [True] * n]))
    values = game.value(np.concatenate([plan, ~plan]))
    odd = (values[: len(plan)] - values[len(plan) :]) / 2.0
    *_, last = fits(Pairs(plan, odd, float(ends[1] - ends[0])))
    return last.answer().values


def _masking(doors: Doors, frame: Frame, grid: tuple[int, int]) -> Masking:
    return Masking(
        image=frame.tensor[0],
        baseline=baseline_of(doors.package.explanation, frame.tensor),
        regions=grid_regions(frame.geometry, grid),
    )


def _table(doors: Doors, frame: Frame, masking: Masking) -> PlayerValues:
    package = doors.package
    logits = doors.runtime.predict(frame.tensor).logits
    question = Question(
        target=int(np.argmax(logits[0])),
        link=package.explanation.link,
        temperature=package.calibration.temperature,
        model_sha256=package.sha256,
    )
    game = ImageGame(doors.runtime, masking, question, None)
    return game.value(coalitions(0, 1 << masking.n_players, masking.n_players))


def _cost(doors: Doors, loaded: LoadedPackage, masking: Masking, rounds: int) -> Case:
    """Compare a full batch of masked copies with a batch of as many plain images."""
    size, bare = doors.runtime.batch, doors.runtime.bare(loaded.weights)
    images = np.repeat(masking.image[None], size, axis=0)
    rows = np.random.default_rng(0).random((size, masking.n_players)) < 0.5
    ours = partial(doors.runtime.value, masking.image, masking.baseline, masking.regions, rows)
    ours()
    bare(images)
    measured = interleaved(
        {OURS: seconds_of(ours, doors.clock), BARE: seconds_of(partial(bare, images), doors.clock)},
        rounds,
    )
    each = {who: [1e3 * s / size for s in found] for who, found in measured.rounds.items()}
    note = f"batches of {size}, {masking.n_players} regions, {doors.runtime.device}"
    return Measured(each).case("cost of an evaluation", "ms per evaluation", note)


def _to_goals(games: list[TableGame], seeds: int) -> list[Case]:
    contestants = {OURS: trace_of(our_estimate), **installed_peers()}
    traces: dict[str, list[Trace]] = {
        who: [tuple(estimate(game, seed)) for game in games for seed in range(seeds)]
        for who, estimate in contestants.items()
    }
    return [_to_goal(traces, goal, games[0].n_players, len(games)) for goal in GOALS]


def _to_goal(traces: Mapping[str, list[Trace]], goal: float, players: int, images: int) -> Case:
    """Return the median over images and seeds; a run that never got there counts as all 2^n."""
    everything = 1 << players
    medians: dict[str, float] = {}
    never: list[str] = []
    for who, runs in traces.items():
        needed = [evaluations_to(run, goal) for run in runs]
        missed = sum(one is None for one in needed)
        if missed:
            never.append(f"{who}: {missed} of {len(needed)} runs never got there")
        medians[who] = statistics.median(everything if one is None else one for one in needed)
    note = f"root mean square error, median of {len(traces[OURS])} runs on {images} exact tables"
    ours = medians.pop(OURS)
    name = f"evaluations to {goal:.0%} error, {players} regions"
    return Case(name, ours, "evaluations", medians, note="; ".join([note, *never]))
