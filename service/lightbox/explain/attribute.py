"""The door of this step: a prediction gets its attribution, fast or audited.

The fast path reads what the forward pass gave. The audit is a generator: it yields an estimate
after every chunk of evaluations and returns the attribution, so whoever drives it holds the device
only while ``next()`` runs and may leave it, or come back after a crash, between any two chunks.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from lightbox.domain.attribution import Attribution, Estimate
from lightbox.domain.background import Background
from lightbox.domain.errors import ExplanationError
from lightbox.explain.audit import Audit, AuditPlan
from lightbox.explain.judge import quality_of_map
from lightbox.explain.known.identity import audit_identity
from lightbox.explain.plugin import Budget, GameMethod, MapMethod, Method
from lightbox.explain.quality.soundness import check_map
from lightbox.explain.sentences import sentences_of_map
from lightbox.explain.subject import Subject
from lightbox.ports import Clock, Output, Runtime
from lightbox.settings import AuditSettings

RESOLUTION = {"probability": 0.01, "log_odds": 0.04}
"""Differences of v that count as none; 0.04 log-odds are at most 0.01 in probability."""


class Attribute:
    """Makes attributions.

    Parameters
    ----------
    methods : mapping of str to Method
        The catalogue's methods, by name.
    settings : AuditSettings
        The ``[audit]`` section.
    clock : Clock
        For ``Attribution.seconds``.
    backgrounds : mapping of str to Background
        Background images of the models that have some, by the digest of their weights.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        settings: AuditSettings,
        clock: Clock,
        backgrounds: Mapping[str, Background] = MappingProxyType({}),
    ) -> None:
        self._backgrounds = backgrounds
        self._methods = methods
        self._settings = settings
        self._clock = clock

    def configure(self, settings: AuditSettings) -> None:
        """Go by other tolerances from now on; an audit that has begun keeps its own."""
        self._settings = settings

    def fast(self, subject: Subject, output: Output, method: str = "") -> Attribution:
        """Bring the map of a forward pass into source pixels and measure it.

        Parameters
        ----------
        subject : Subject
            Frame and prediction that ``output`` belongs to.
        output : Output
            Of the key frame alone (one row), of ``Runtime.layers`` for any method and class, of
            ``Runtime.predict`` for the package's own and the winning class.
        method : str
            A map method of the catalogue; empty: the package's.

        Returns
        -------
        Attribution
            In source pixels, with the quality that costs no further evaluation.

        Raises
        ------
        ExplanationError
            If there is no such method, no map, a map of another class, or one that says nothing.
        """
        started = self._clock.monotonic()
        method = method or subject.package.explanation.method
        chosen = self._methods.get(method)
        if not isinstance(chosen, MapMethod):
            raise self._unknown(method, MapMethod)
        _check_source(subject, output, method)
        if subject.is_no_outline:
            return _nothing(subject, method)
        estimate = chosen.cells(output)
        cells = estimate.cells
        if cells is None:
            raise ExplanationError(method, "the method gave no map", "use another method")
        check_map(method, cells)
        geometry = subject.frame.geometry
        source_map = geometry.attribution_to_source(cells)
        quality = quality_of_map(cells, source_map)
        shape = (cells.shape[0], cells.shape[1])
        return Attribution(
            method=method,
            target=subject.prediction.target,
            source_map=source_map,
            cell_pixels=geometry.cell_size(shape),
            estimate=estimate,
            parameters={
                "target_layer": subject.package.explanation.target_layer or "last spatial layer",
                "cells": f"{shape[0]}x{shape[1]}",
            },
            temperature=subject.package.calibration.temperature,
            quality=quality,
            warnings=tuple(sentences_of_map(quality)),
            seconds=self._clock.monotonic() - started,
        )

    def identity(self, subject: Subject, runtime: Runtime, method: str, chunk: int) -> str:
        """Return what tells an audit apart: two with the same identity have the same outcome."""
        return audit_identity(subject, runtime, self._settings, method, chunk)

    def audit(
        self, subject: Subject, runtime: Runtime, fast: Attribution | None, plan: AuditPlan
    ) -> Generator[Estimate, None, Attribution]:
        """Share v(N) - v(empty) out among the regions of the frame.

        Parameters
        ----------
        subject : Subject
            What is explained.
        runtime : Runtime
            Of the same model; used only while ``next()`` runs.
        fast : Attribution or None
            The fast map to compare with.
        plan : AuditPlan
            Method, chunk and file of values.

        Yields
        ------
        Estimate
            After every chunk.

        Returns
        -------
        Attribution
            As the value of ``StopIteration``, or of ``yield from``.

        Raises
        ------
        ExplanationError
            If there is no such method, or no honest values can be found.
        """
        spent, resumed = 0.0, self._clock.monotonic()
        chosen = self._methods.get(plan.method)
        if not isinstance(chosen, GameMethod):
            raise self._unknown(plan.method, GameMethod)
        subject = replace(subject, background=self._backgrounds.get(subject.package.sha256))
        work = Audit(subject, runtime, fast, plan, self._budget(subject, plan), chosen)
        for estimate in work.steps():
            spent += self._clock.monotonic() - resumed
            yield estimate
            resumed = self._clock.monotonic()
        attribution = work.attribution()
        return replace(attribution, seconds=spent + self._clock.monotonic() - resumed)

    def _budget(self, subject: Subject, plan: AuditPlan) -> Budget:
        return Budget(
            tolerance=self._settings.tolerance,
            max_evaluations=self._settings.max_evaluations,
            chunk=plan.chunk,
            resolution=RESOLUTION[subject.package.explanation.link],
            interactions=self._settings.interactions,
        )

    def _unknown(self, method: str, kind: type[Method]) -> ExplanationError:
        names = sorted(name for name, found in self._methods.items() if isinstance(found, kind))
        return ExplanationError(f"method {method}", "not one of this path", f"use {names}")


def _nothing(subject: Subject, method: str) -> Attribution:
    """Return the map of an outline that is not there: there are no cells to ask why of."""
    rows, columns = subject.frame.geometry.source_shape
    return Attribution(
        method=method,
        target=subject.prediction.target,
        source_map=np.zeros((rows, columns), dtype=np.float32),
        cell_pixels=(0.0, 0.0),
        estimate=Estimate(evaluations=1, total=1),
        temperature=subject.package.calibration.temperature,
        warnings=("Nothing was outlined: there is no map of why.",),
    )


def _check_source(subject: Subject, output: Output, method: str) -> None:
    """Refuse a map of another class or method than was asked for."""
    own, target = subject.package.explanation.method, subject.prediction.target
    if output.activation is None and method != own:
        raise ExplanationError(
            method,
            f"the graph gives the map of {own} only",
            f'name it under [explanation] method, or use lightbox explain --method "{method}"',
        )
    shown = output.targets[0] if output.targets else int(np.argmax(output.logits[0]))
    if shown != target:
        raise ExplanationError(
            f"{method} of output {target}",
            f"the graph gives the map of the winning output {shown} only",
            "use the method shapley for another finding",
        )
