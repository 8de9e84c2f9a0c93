"""How many evaluations an estimate needs, and whether its intervals hold the truth.

Games whose Shapley values are known (``games.py``); on them the estimator of ``shapley`` and those
of other packages, where they are installed, run with several seeds. Nothing here depends on the
speed of the machine, and what was found is kept (``traces.py``).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from lightbox.domain.arrays import PlayerValues
from lightbox.explain.plugin import Budget, GameMethod
from lightbox.tools.bench.games import KnownGame, estimated, random_table
from lightbox.tools.bench.peers.shapley_estimators import Trace, budgets, installed_peers
from lightbox.tools.bench.report import OURS, Case
from lightbox.tools.bench.traces import Traces

GOALS = (0.02, 0.01)
"""Errors, as a share of the range of the exact values, that evaluations are counted to."""

TOLERANCE = 0.02
"""What ``shapley`` is asked for where its own stopping is measured."""

_OF_INTERVALS = (66, 130, 258, 514, 1026, 2050)
"""Evaluations after which intervals are held against the truth."""


def evaluations_to(trace: Trace, goal: float) -> int | None:
    """Return the evaluations after which every later estimate stays below ``goal``; None: never."""
    needed: int | None = None
    for spent, error in trace:
        if error > goal:
            needed = None
        elif needed is None:
            needed = spent
    return needed


def our_estimate(game: KnownGame, budget: int, seed: int) -> PlayerValues:
    """Estimate as ``shapley`` does where it may not enumerate."""
    return estimated(game, budget, seed).values


def paired_estimate(game: KnownGame, budget: int, seed: int) -> PlayerValues:
    """Estimate by paired regression alone: what lies beneath ours."""
    return estimated(game, budget, seed, only_singles=True).values


def of_games(
    games: Sequence[KnownGame], traces_of: Traces, seeds: int, largest: int, how: str
) -> Iterator[Case]:
    """Yield evaluations to each goal, and errors after some evaluations, of all estimators.

    Parameters
    ----------
    games : sequence of KnownGame
        Of equally many players; of none nothing is yielded.
    traces_of : Traces
        What is kept of earlier runs.
    seeds : int
        Runs of each estimator on each game.
    largest : int
        Largest budget of an estimator.
    how : str
        What a reader must know of the games.
    """
    if not games:
        return
    n = games[0].n_players
    sizes = budgets(n, largest)
    contestants = {
        OURS: our_estimate,
        "paired regression, ours": paired_estimate,
        **installed_peers(),
    }
    traces: dict[str, list[Trace]] = {
        who: [
            traces_of.trace(who, estimate, game, sizes, seed)
            for game in games
            for seed in range(seeds)
        ]
        for who, estimate in contestants.items()
    }
    for goal in GOALS:
        yield _to_goal(traces, goal, sizes[-1], f"{n} regions, {how}")
    for size in sizes[:: max(1, len(sizes) // 4)]:
        medians = {
            who: 100.0 * statistics.median(trace[sizes.index(size)][1] for trace in runs)
            for who, runs in traces.items()
        }
        ours = medians.pop(OURS)
        yield Case(
            f"error at budget {size}, {n} regions", ours, "% of the range", medians, note=how
        )


def _to_goal(traces: Mapping[str, list[Trace]], goal: float, most: int, how: str) -> Case:
    """Return the median over games and seeds; a run that never got there counts as the most."""
    medians: dict[str, float] = {}
    never: list[str] = []
    for who, runs in traces.items():
        needed = [evaluations_to(run, goal) for run in runs]
        missed = sum(one is None for one in needed)
        if missed:
            never.append(f"{who}: {missed} of {len(needed)} runs did not get there in {most}")
        medians[who] = statistics.median(most if one is None else one for one in needed)
    note = f"root mean square error, median of {len(traces[OURS])} runs; {how}"
    ours = medians.pop(OURS)
    name = f"evaluations to {goal:.0%} error, {how.partition(',')[0]}"
    return Case(name, ours, "evaluations", medians, note="; ".join([note, *never]))


def stopping(
    games: Sequence[KnownGame], method: GameMethod, seeds: int, how: str
) -> Iterator[Case]:
    """Yield what ``shapley`` spends to its own stop, and how often it stopped too soon.

    Of games that it would enumerate nothing is yielded.
    """
    if not games or 1 << games[0].n_players < Budget().max_evaluations:
        return
    spent, wrong, open_ended = [], 0, 0
    for game in games:
        for seed in range(seeds):
            budget = Budget(tolerance=TOLERANCE, seed=seed)
            *_, last = method.explainer(budget).refine(game)
            assert last.values is not None
            off = float(np.abs(last.values - game.exact).max())
            wrong += off > TOLERANCE * max(game.span, budget.resolution)
            open_ended += not last.converged
            spent.append(last.evaluations)
    note = f"{len(spent)} runs, {open_ended} of them not converged, most {max(spent)}; {how}"
    n = games[0].n_players
    named = f"tolerance {TOLERANCE:.0%}, {n} regions"
    yield Case(f"evaluations, {named}", statistics.median(spent), "evaluations", note=note)
    yield Case(f"runs off by more, {named}", wrong / len(spent), "share of runs", note=note)


def intervals(count: int) -> Iterator[Case]:
    """Yield how often 95 % intervals hold the truth, on random games of twelve players."""
    games = [random_table(12, 10_000 + seed).known() for seed in range(count)]
    for budget in _OF_INTERVALS:
        held: dict[str, float] = {}
        for who, singles in ((OURS, False), ("paired regression, ours", True)):
            inside = []
            for seed, game in enumerate(games):
                found = estimated(game, budget, seed, only_singles=singles)
                off = np.abs(found.values - game.exact)
                inside.append((off <= 1.96 * found.standard_errors + 1e-12).mean())
            held[who] = float(np.mean(inside))
        ours = held.pop(OURS)
        name = f"coverage of 95 % intervals at {budget} evaluations"
        yield Case(name, ours, "share of values", held, note=f"{count} random games, 12 players")
