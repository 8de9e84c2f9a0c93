"""An audit under way: the game, the explainer's chunks, then the measurements."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lightbox.domain.arrays import CoalitionMatrix
from lightbox.domain.attribution import Attribution, Contrast, Estimate, PairValues
from lightbox.domain.errors import ExplanationError
from lightbox.domain.regions import region_name
from lightbox.explain.baselines.choice import baseline_of
from lightbox.explain.further import (
    contrast_of,
    interaction_coalitions,
    interactions_of,
    rival_of,
)
from lightbox.explain.game import ImageGame, Masking, Question
from lightbox.explain.judge import (
    Played,
    fast_means_of,
    quality_of_map,
    quality_of_values,
)
from lightbox.explain.players.choice import regions_of
from lightbox.explain.plugin import Budget, GameMethod
from lightbox.explain.quality.completeness import completeness_residual
from lightbox.explain.quality.soundness import check_numbers
from lightbox.explain.robustness import Robustness
from lightbox.explain.sentences import sentences_of_map, sentences_of_values
from lightbox.explain.subject import Subject
from lightbox.ports import Runtime


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """How an audit is done.

    Attributes
    ----------
    method : str
        A game method of the catalogue.
    chunk : int
        Evaluations between two yields.
    values_path : Path or None
        File of v(S), for resume and replay; None: memory only.
    """

    method: str = "shapley"
    chunk: int = 64
    values_path: Path | None = None


class Audit:
    """One audit: drive :meth:`steps` to its end, then take :meth:`attribution`.

    Parameters
    ----------
    subject : Subject
        What is explained.
    runtime : Runtime
        Of the same model.
    fast : Attribution or None
        The fast map to compare with.
    plan : AuditPlan
        Where the values are kept.
    budget : Budget
        How far the method may go.
    method : GameMethod
        Who shares the value out.
    """

    def __init__(
        self,
        subject: Subject,
        runtime: Runtime,
        fast: Attribution | None,
        plan: AuditPlan,
        budget: Budget,
        method: GameMethod,
    ) -> None:
        spec, frame = subject.package.explanation, subject.frame
        self._subject, self._fast, self._budget, self._method = subject, fast, budget, method
        regions = regions_of(spec, frame)
        self._masking = Masking(
            image=frame.tensor[0],
            baseline=baseline_of(spec, frame.tensor, regions, subject.background),
            regions=regions,
        )
        question = Question(
            target=subject.prediction.target,
            link=spec.link,
            temperature=subject.package.calibration.temperature,
            model_sha256=subject.package.sha256,
            rival=rival_of(subject.package, subject.prediction),
        )
        self._question = question
        self._runtime = runtime
        self._game = ImageGame(runtime, self._masking, question, plan.values_path)
        self._robustness = Robustness(subject, runtime, fast, self._masking, question, budget.chunk)
        self._players = frame.geometry.labels_to_source(self._masking.regions)
        self._played: Played | None = None
        self._contrast: Contrast | None = None
        self._pairs: PairValues | None = None

    def steps(self) -> Generator[Estimate]:
        """Run the explainer, then whatever the measurements will look up, chunk by chunk."""
        n, spec = self._game.n_players, self._subject.package.explanation
        last = Estimate(converged=False)
        for last in self._method.explainer(self._budget).refine(self._game):
            yield last
        if last.values is None:
            raise ExplanationError(self._method.card.name, "the method gave no values")
        check_numbers(self._method.card.name, last.values)
        table = self._game.table()
        yield from self._further(last)
        yield from self._ask(_ends_and_all_but_one(n), last)
        ends = self._game.value(_ends_and_all_but_one(n))
        self._played = Played(
            finding=self._subject.finding,
            names=tuple(region_name(region, spec.grid) for region in range(n)),
            link=spec.link,
            resolution=self._budget.resolution,
            seed=self._budget.seed,
            estimate=last,
            values=last.values,
            v_empty=float(ends[0]),
            v_full=float(ends[1]),
            occlusion=float(ends[1]) - ends[2:],
            table=table,
            fast_means=fast_means_of(self._fast, self._players, n),
        )
        yield from self._ask(self._played.further_coalitions(), last)
        if not self._played.is_flat:
            for _ in self._robustness.steps():
                yield self._counted(last)

    def _further(self, last: Estimate) -> Generator[Estimate]:
        """Answer what the same evaluations answer, where the method shares all of v out."""
        if "efficiency" not in self._method.card.axioms:
            return
        if self._question.rival >= 0:
            self._contrast = contrast_of(self._game, self._question.rival)
            yield self._counted(last)
        if self._budget.interactions:
            yield from self._ask(interaction_coalitions(self._game.n_players, self._budget), last)
            self._pairs = interactions_of(self._game)
            yield self._counted(last)

    def attribution(self) -> Attribution:
        """Put everything together; no evaluation is left to be made."""
        played = self._played
        assert played is not None
        spec, values = self._subject.package.explanation, played.values
        shown = np.append(values, 0.0)[self._players].astype(np.float32)  # label -1: no region
        quality = quality_of_map(values, shown) if values.any() else {}
        of_map = sentences_of_map(quality) if quality and not played.is_flat else []
        residual = 0.0
        if "efficiency" in self._method.card.axioms:
            residual = completeness_residual(values, played.v_empty, played.v_full)
            quality["completeness_residual"] = abs(residual)
        quality |= quality_of_values(played, self._game)
        quality |= self._robustness.quality(played)
        return Attribution(
            method=self._method.card.name,
            target=self._subject.prediction.target,
            source_map=shown,
            cell_pixels=self._cell_pixels(),
            estimate=self._counted(played.estimate),
            parameters=self._parameters(),
            players=self._players,
            regions=self._masking.regions,
            baseline=self._masking.baseline,
            link=spec.link,
            temperature=self._subject.package.calibration.temperature,
            v_empty=played.v_empty,
            v_full=played.v_full,
            occlusion=played.occlusion,
            completeness_residual=residual,
            quality=quality,
            warnings=(*sentences_of_values(played, quality), *of_map),
            contrast=self._contrast,
            arithmetic={**self._runtime.arithmetic, "coalitions": self._game.asked_digest()},
            interactions=self._pairs,
        )

    def _ask(self, rows: CoalitionMatrix, last: Estimate) -> Generator[Estimate]:
        """Have v of these rows computed, a chunk at a time; nothing is yielded for known ones."""
        for start in range(0, len(rows), self._budget.chunk):
            before = self._game.computed
            self._game.value(rows[start : start + self._budget.chunk])
            if self._game.computed > before:
                yield self._counted(last)

    def _counted(self, estimate: Estimate) -> Estimate:
        """Count what the measurements asked for as well."""
        spent = self._game.evaluations
        return replace(estimate, evaluations=spent, total=max(estimate.total, spent))

    def _parameters(self) -> dict[str, str]:
        spec, budget = self._subject.package.explanation, self._budget
        found = {
            "regions": f"{spec.regions} {spec.grid[0]}x{spec.grid[1]}",
            "baseline": spec.baseline,
            "link": spec.link,
            "tolerance": f"{budget.tolerance:g}",
            "max_evaluations": str(budget.max_evaluations),
            "seed": str(budget.seed),
        }
        if budget.interactions:
            found["interactions"] = "pairs"
        if self._robustness.second:
            found["second_baseline"] = self._robustness.second
        if spec.baseline == "blur":
            found["baseline_cells"] = str(spec.baseline_cells)
        return found

    def _cell_pixels(self) -> tuple[float, float]:
        """Rows and columns of source pixels of one region, in the mean (they cover what is visible)."""
        visible = self._players >= 0
        grid = self._subject.package.explanation.grid
        rows, columns = visible.any(axis=1).sum(), visible.any(axis=0).sum()
        return float(rows) / grid[0], float(columns) / grid[1]


def _ends_and_all_but_one(n_players: int) -> CoalitionMatrix:
    """List the empty and the grand coalition, then all but each one; shape (n + 2, n)."""
    rows = np.ones((n_players + 2, n_players), dtype=np.bool_)
    rows[0] = False
    rows[np.arange(n_players) + 2, np.arange(n_players)] = False
    return rows


def finished(
    chunks: Generator[Estimate, None, Attribution],
    turn: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Attribution:
    """Drive an audit to its end, each chunk inside of a turn of its own."""
    while True:
        with turn():
            try:
                next(chunks)
            except StopIteration as end:
                attribution: Attribution = end.value
                return attribution
