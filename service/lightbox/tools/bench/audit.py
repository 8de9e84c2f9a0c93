"""``lightbox bench audit``: what an evaluation costs, and how many an estimate needs.

Cost: seconds per v(S) through the masking graph, ``bare`` being the same batches of plain images
through the package's own graph, captum its KernelShap as it comes on the same weights in torch.
Evaluations: games of the package's samples whose Shapley values are known (``bench_games.py``), and
random ones; the estimator of ``shapley`` and those of other packages, where they are installed, run
on them with several seeds until their error stays below 2 % and 1 %.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from lightbox.domain.arrays import PlayerValues
from lightbox.explain.game import Masking
from lightbox.explain.plugin import Budget, GameMethod
from lightbox.infer.packages import LoadedPackage
from lightbox.settings import Settings
from lightbox.tools.bench.fast import samples
from lightbox.tools.bench.games import (
    KnownGame,
    estimated,
    image_game,
    known_game,
    masking_of,
    random_table,
)
from lightbox.tools.bench.int8 import Int8, bias_case
from lightbox.tools.bench.peers.kernel_shap import kernel_shap
from lightbox.tools.bench.peers.shapley_estimators import Trace, budgets, installed_peers, trace_of
from lightbox.tools.bench.report import BARE, OURS, Case, Measured, interleaved, seconds_of
from lightbox.tools.doors import Doors

GOALS = (0.02, 0.01)
"""Errors, as a share of the range of the exact values, that evaluations are counted to."""

TOLERANCE = 0.02
"""What ``shapley`` is asked for where its own stopping is measured."""

_OF_INTERVALS = (66, 130, 258, 514, 1026, 2050)
"""Evaluations after which intervals are held against the truth."""

_OF_INT8 = 12
"""Most regions that are enumerated a second time, in int8."""

_LEAST_SPAN = 0.05
"""Range of values of a real game that is worth estimating: below it, hardly any region matters."""


@dataclass(frozen=True, slots=True)
class AuditBenchPlan:
    """How much is measured.

    Attributes
    ----------
    rounds : int
        Paired rounds of the cost per evaluation.
    images : int
        Samples whose games are measured.
    seeds : int
        Runs of each estimator on each game.
    grids : tuple of pairs of int
        Rows and columns of regions; none: the package's own. 2^n evaluations per image.
    largest : int
        Largest budget of an estimator.
    random_games : int
        Random games, for intervals and estimators; 0: none.
    reference : int
        Evaluations of a reference where there are too many regions to enumerate.
    folder : Path or None
        Where evaluations are kept for the next time.
    """

    rounds: int = 10
    images: int = 2
    seeds: int = 10
    grids: tuple[tuple[int, int], ...] = ()
    largest: int = 4_096
    random_games: int = 200
    reference: int = 16_384
    folder: Path | None = field(default=None)


def bench_audit(settings: Settings, loaded: LoadedPackage, plan: AuditBenchPlan) -> list[Case]:
    """Measure cost and number of evaluations on the package's samples, then on random games.

    Raises
    ------
    UsageError
        If the package has no samples.
    """
    grids = plan.grids or (loaded.package.explanation.grid,)
    cases: list[Case] = []
    with Doors(settings, loaded) as doors:
        method = doors.methods["shapley"]
        assert isinstance(method, GameMethod)
        files = samples(loaded)[:: max(1, len(samples(loaded)) // plan.images)][: plan.images]
        frames = [doors.frame(file) for file in files]
        for grid in grids:
            masked = [masking_of(doors, frame, grid) for frame in frames]
            int8 = Int8(doors, loaded.weights, masked) if doors.runtime.device == "cpu" else None
            cases.append(_cost(doors, loaded, masked[0], int8, plan.rounds))
            games = [
                image_game(doors, frame, each, plan.folder)
                for frame, each in zip(frames, masked, strict=True)
            ]
            known = [known_game(game, plan.reference) for game in games]
            worth = [game for game, _ in known if game.span >= _LEAST_SPAN]
            how = f"{len(worth)} of {len(known)} images, the others' values span less than "
            how += f"{_LEAST_SPAN:g}; {known[0][1]}"
            if int8 is not None and games[0].n_players <= _OF_INT8:
                shifts = [
                    int8.bias(game, exact)
                    for game, (exact, _) in zip(games, known, strict=True)
                    if exact.span >= _LEAST_SPAN
                ]
                if shifts:
                    allowed = settings.audit.tolerance
                    cases.append(bias_case(shifts, allowed, games[0].n_players))
            cases += _of_games(worth, plan, how)
            cases += _stopping(worth, method, plan.seeds, how)
    if plan.random_games:
        some = [random_table(16, seed).known() for seed in range(plan.images)]
        cases += _of_games(some, plan, f"{plan.images} random games")
        cases += _intervals(plan.random_games)
    return cases


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


def _cost(
    doors: Doors, loaded: LoadedPackage, masking: Masking, int8: Int8 | None, rounds: int
) -> Case:
    """Compare a full batch of masked copies with a batch of as many plain images."""
    runtime = doors.runtime
    size, bare = runtime.batch, runtime.bare(loaded.weights)
    images = np.repeat(masking.image[None], size, axis=0)
    rows = np.random.default_rng(0).random((size, masking.n_players)) < 0.5
    works: dict[str, Callable[[], object]] = {
        OURS: partial(runtime.value, masking.image, masking.baseline, masking.regions, rows),
        BARE: partial(bare, images),
    }
    if int8 is not None:
        works["ours in int8"] = partial(
            int8.value, masking.image, masking.baseline, masking.regions, rows
        )
    theirs = kernel_shap(loaded.weights, runtime.target_layer, masking, runtime.arithmetic)
    if theirs is not None and runtime.device == "cpu":
        works["captum KernelShap"] = partial(theirs, size)
    for work in works.values():
        work()
    timed = {who: seconds_of(work, doors.clock) for who, work in works.items()}
    measured = interleaved(timed, rounds)
    each = {who: [1e3 * s / size for s in found] for who, found in measured.rounds.items()}
    note = f"batches of {size}, {masking.n_players} regions, {runtime.device}"
    name = f"cost of an evaluation, {masking.n_players} regions"
    return Measured(each).case(name, "ms per evaluation", note)


def _of_games(games: Sequence[KnownGame], plan: AuditBenchPlan, how: str) -> Iterator[Case]:
    """Yield evaluations to each goal, and errors after some evaluations, of all estimators."""
    if not games:
        return
    n = games[0].n_players
    sizes = budgets(n, plan.largest)
    contestants = {
        OURS: our_estimate,
        "paired regression, ours": paired_estimate,
        **installed_peers(),
    }
    traces: dict[str, list[Trace]] = {
        who: [trace_of(estimate, game, sizes, seed) for game in games for seed in range(plan.seeds)]
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


def _stopping(
    games: Sequence[KnownGame], method: GameMethod, seeds: int, how: str
) -> Iterator[Case]:
    """Yield what ``shapley`` spends to its own stop, and how often it stopped too soon."""
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


def _intervals(count: int) -> Iterator[Case]:
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
