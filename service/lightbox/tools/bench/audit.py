"""``lightbox bench audit``: what an evaluation costs, and how many an estimate needs.

Cost: seconds per v(S) through the masking graph, ``bare`` being the same batches of plain images
through the package's own graph, captum its KernelShap as it comes on the same weights in torch; a
figure of a quiet machine, in minutes. Counts: games of the package's samples whose Shapley values
are known (``games.py``), and random ones, until the error stays below 2 % and 1 % (``counts.py``),
and the bias of int8; they take hours and do not mind what else the machine does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from lightbox.domain.errors import UsageError
from lightbox.domain.frame import Frame
from lightbox.explain.game import Masking
from lightbox.explain.plugin import GameMethod
from lightbox.infer.packages import LoadedPackage
from lightbox.settings import Settings
from lightbox.tools.bench.counts import intervals, of_games, stopping
from lightbox.tools.bench.fast import samples
from lightbox.tools.bench.games import image_game, known_game, masking_of, random_table
from lightbox.tools.bench.int8 import Int8, bias_case
from lightbox.tools.bench.peers.kernel_shap import kernel_shap
from lightbox.tools.bench.report import BARE, OURS, Case, Measured, interleaved, seconds_of
from lightbox.tools.bench.traces import Traces
from lightbox.tools.doors import Doors
from lightbox.tools.explain import Offline, Wish

PARTS = ("cost", "counts")
"""What can be measured alone."""

MOST_SECONDS = 30.0
"""Of the default audit of an image on two cores."""

_INT8 = "ours in int8"

_OF_INT8 = 12
"""Most regions that are enumerated a second time, in int8."""

_LEAST_SPAN = 0.05
"""Range of values of a real game that is worth estimating: below it, hardly any region matters."""


@dataclass(frozen=True, slots=True)
class AuditBenchPlan:
    """How much is measured.

    Attributes
    ----------
    parts : tuple of str
        Of :data:`PARTS`.
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
        Where evaluations and traces are kept for the next time.
    """

    parts: tuple[str, ...] = PARTS
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
    cases: list[Case] = []
    traces = Traces(plan.folder)
    with Doors(settings, loaded) as doors:
        files = samples(loaded)[:: max(1, len(samples(loaded)) // plan.images)][: plan.images]
        frames = [doors.frame(file) for file in files]
        for grid in plan.grids or (loaded.package.explanation.grid,):
            masked = [masking_of(loaded, frame, grid) for frame in frames]
            few = "cost" in plan.parts or masked[0].n_players <= _OF_INT8
            able = few and doors.runtime.device == "cpu"
            int8 = Int8(doors, loaded.weights, masked) if able else None
            if "cost" in plan.parts:
                cases += _cost(doors, loaded, masked[0], int8, plan.rounds)
            if "counts" in plan.parts:
                bench = _Counting(doors, plan, traces, settings.audit.tolerance)
                cases += bench.cases(frames, masked, int8)
    if "cost" in plan.parts:
        cases.append(_default_audit(settings, loaded, files))
    if plan.random_games and "counts" in plan.parts:
        some = [random_table(16, seed).known() for seed in range(plan.images)]
        how = f"{plan.images} random games"
        cases += of_games(some, traces, plan.seeds, plan.largest, how)
        cases += intervals(plan.random_games)
    return cases


@dataclass(frozen=True, slots=True)
class _Counting:
    """Counts evaluations on the games of images."""

    doors: Doors
    plan: AuditBenchPlan
    traces: Traces
    tolerance: float

    def cases(
        self, frames: Sequence[Frame], masked: Sequence[Masking], int8: Int8 | None
    ) -> Iterator[Case]:
        """Yield all that is counted for one way to cut images into regions."""
        plan, method = self.plan, self.doors.methods["shapley"]
        assert isinstance(method, GameMethod)
        games = [
            image_game(self.doors, frame, each, plan.folder)
            for frame, each in zip(frames, masked, strict=True)
        ]
        known = [known_game(game, plan.reference) for game in games]
        worth = [game for game, _ in known if game.span >= _LEAST_SPAN]
        how = f"{len(worth)} of {len(known)} images, the others' values span less than "
        how += f"{_LEAST_SPAN:g}; {known[0][1]}"
        if int8 is not None and worth and games[0].n_players <= _OF_INT8:
            shifts = [
                int8.bias(game, exact)
                for game, (exact, _) in zip(games, known, strict=True)
                if exact.span >= _LEAST_SPAN
            ]
            yield bias_case(shifts, self.tolerance, games[0].n_players)
        yield from of_games(worth, self.traces, plan.seeds, plan.largest, how)
        yield from stopping(worth, method, plan.seeds, how)


def _cost(
    doors: Doors, loaded: LoadedPackage, masking: Masking, int8: Int8 | None, rounds: int
) -> Iterator[Case]:
    """Compare a full batch of masked copies with a batch of as many plain images; then in int8."""
    runtime = doors.runtime
    size, bare = runtime.batch, runtime.bare(loaded.weights)
    images = np.repeat(masking.image[None], size, axis=0)
    rows = np.random.default_rng(0).random((size, masking.n_players)) < 0.5
    works: dict[str, Callable[[], object]] = {
        OURS: partial(runtime.value, masking.image, masking.baseline, masking.regions, rows),
        BARE: partial(bare, images),
    }
    if int8 is not None:
        works[_INT8] = partial(int8.value, masking.image, masking.baseline, masking.regions, rows)
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
    quantised = each.pop(_INT8, None)
    yield Measured(each).case(name, "ms per evaluation", note)
    if quantised is not None:
        note += "; measured only, audits are in float32"
        others = Measured({**each, OURS: quantised})
        yield others.case(f"{name}, in int8", "ms per evaluation", note)


def _default_audit(settings: Settings, loaded: LoadedPackage, files: Sequence[Path]) -> Case:
    """Audit images as the service does, with all that is measured beside; the longest one counts."""
    with Offline(settings, loaded) as offline:
        answers = [offline.explain(file, Wish(method="shapley")) for file in files]
    seconds = [answer["seconds"]["explain"] for answer in answers if answer["refused"] is None]
    if len(seconds) < len(answers):
        raise UsageError("the default audit", "was refused", "ask lightbox explain for the reason")
    spent = max(answer["evaluations"] for answer in answers)
    note = f"{len(answers)} images, at most {spent} evaluations"
    name = "the default audit of an image, longest"
    return Case(name, max(seconds), "s", {"goal": MOST_SECONDS}, note=note)
