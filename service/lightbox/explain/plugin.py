"""The shape of an explanation method: what every file in ``methods/`` offers.

Two sorts: a *map method* reads what the forward pass gave anyway, a *game method* asks for v(S)
of coalitions of regions. A method module ends in ``METHOD``, one of the two values below; the
catalogue names it, ``lightbox methods`` prints its card, the contract suite runs over it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from lightbox.domain.attribution import Estimate
from lightbox.ports import Explainer, Output


@dataclass(frozen=True, slots=True)
class MethodCard:
    """What a person needs to know before choosing a method.

    Attributes
    ----------
    name : str
        As on the command line and in results: lower case, underscores.
    family : str
        Such as "class activation", "Shapley values", "perturbation".
    paper : str
        Authors, year, identifier; deviations are said in ``note``.
    needs : str
        What it asks of model and runtime.
    cost : str
        In evaluations of the model, n being the number of regions.
    axioms : tuple of str
        Which of efficiency, symmetry, dummy, linearity hold; estimates: up to their errors.
    """

    name: str
    family: str
    paper: str
    needs: str
    cost: str
    axioms: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """How far a game method may go.

    Attributes
    ----------
    tolerance : float
        Half of the 95 % interval of each value is driven below this share of the range of values.
    max_evaluations : int
        Most evaluations; an estimator that reaches it says "not converged".
    chunk : int
        Evaluations between two yields.
    seed : int
        Of the coalition plan; the same seed gives the same coalitions.
    resolution : float
        Differences of v below this count as none (unit of v): a range smaller than it is not
        resolved any further, so that noise is never scaled up.
    interactions : bool
        Whether the interactions of all pairs are wanted too.
    """

    tolerance: float = 0.01
    max_evaluations: int = 20_000
    chunk: int = 256
    seed: int = 0
    resolution: float = 0.01
    interactions: bool = False


@dataclass(frozen=True, slots=True)
class MapMethod:
    """A method that reads the forward pass; ``cells`` gives an estimate with ``cells`` set."""

    card: MethodCard
    cells: Callable[[Output], Estimate]


@dataclass(frozen=True, slots=True)
class GameMethod:
    """A method over players; ``explainer`` makes one for a budget."""

    card: MethodCard
    explainer: Callable[[Budget], Explainer]


Method: TypeAlias = MapMethod | GameMethod
"""What the catalogue lists."""
