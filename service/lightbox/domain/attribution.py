"""Attributions: the array that says where the model looked, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lightbox.domain.arrays import FloatMap, LabelMap, PlayerValues


@dataclass(frozen=True, slots=True)
class Estimate:
    """A valid answer of an explainer after some chunk.

    Attributes
    ----------
    cells : array, shape (h, w), float32, or None
        For map methods: attribution on an even grid over the model frame.
    values, standard_errors : array, shape (n_players,), float64, or None
        For methods over players; standard errors are zero where enumeration was complete.
    evaluations : int
        How many v(S) were spent so far.
    total : int
        How many are planned at most.
    exact : bool
        True when the values are Shapley values without sampling.
    converged : bool
        True when the explainer has nothing left to improve.
    """

    cells: FloatMap | None = None
    values: PlayerValues | None = None
    standard_errors: PlayerValues | None = None
    evaluations: int = 0
    total: int = 0
    exact: bool = False
    converged: bool = True


@dataclass(frozen=True, slots=True)
class Contrast:
    """What decided between a finding and the runner-up.

    Attributes
    ----------
    rival : int
        Output of the runner-up.
    values, standard_errors : array, shape (n_players,), float64
        Shapley values of p(target) - p(rival), and their errors; zero where exact.
    v_empty, v_full : float
        The difference with all regions hidden, and of the image.
    """

    rival: int
    values: PlayerValues
    standard_errors: PlayerValues
    v_empty: float
    v_full: float


@dataclass(frozen=True, slots=True)
class PairValues:
    """Shapley interactions of pairs of players: what two do together beyond what each does.

    Attributes
    ----------
    values, standard_errors : array, shape (n_players, n_players), float64
        Symmetric, 0 on the diagonal; errors are 0 where the values are exact.
    """

    values: FloatMap
    standard_errors: FloatMap

    def upper(self) -> tuple[float, ...]:
        """Return the values of (0, 1), (0, 2) … (n - 2, n - 1)."""
        rows = self.values.tolist()
        return tuple(value for place, row in enumerate(rows) for value in row[place + 1 :])


@dataclass(frozen=True, slots=True)
class Attribution:
    """An explanation with its provenance, in memory (arrays included).

    Attributes
    ----------
    source_map : array, shape (rows, columns) of the source frame, float32
    players : array, shape (rows, columns) of the source frame, int16, or None
        Region of each source pixel, for methods over players.
    regions : array, shape (H, W) of the model frame, int16, or None
    baseline : array, shape (C, H, W), float32, or None
    link : str
        Scale of v(S): "probability" or "log_odds".
    occlusion : array, shape (n_players,), or None
        v(N) - v(N without i), from the same evaluations: the second opinion.
    completeness_residual : float
        Sum of the values minus (v(N) - v(empty)); 0 where it does not apply.
    quality : mapping of str to float
        Measured quality, by metric name (``explain/quality``).
    warnings : tuple of str
        Sentences that the picture must carry.
    contrast : Contrast or None
        To the runner-up, from the same evaluations.
    interactions : PairValues or None
        Where the audit was asked for them.
    arithmetic : mapping of str to str
        What decides the last bits of the numbers: engine, device, threads, batch, coalitions.
    taken_from : str
        Job that computed all this for the same image, model and parameters; "" where this one did.
    """

    method: str
    target: int
    source_map: FloatMap
    cell_pixels: tuple[float, float]
    estimate: Estimate
    parameters: Mapping[str, str] = field(default_factory=dict)
    players: LabelMap | None = None
    regions: LabelMap | None = None
    baseline: FloatMap | None = None
    link: str = ""
    temperature: float = 1.0
    v_empty: float = 0.0
    v_full: float = 0.0
    occlusion: PlayerValues | None = None
    completeness_residual: float = 0.0
    quality: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    contrast: Contrast | None = None
    interactions: PairValues | None = None
    arithmetic: Mapping[str, str] = field(default_factory=dict)
    taken_from: str = ""

    @property
    def lies_nowhere(self) -> bool:
        """True where there is nothing to lay over the picture: withheld, or nothing was found."""
        return self.players is None and not self.source_map.any()


@dataclass(frozen=True, slots=True)
class AttributionRecord:
    """What the ledger keeps of an attribution: no pixels, no patient.

    Attributes
    ----------
    rival : int
        Output of the runner-up that ``contrast`` is about; -1: none.
    contrast : tuple of float
        One value per player, or none.
    interactions : tuple of float
        Of each pair of players, (0, 1), (0, 2) … (n - 2, n - 1), or none.
    """

    method: str
    target: int
    parameters: Mapping[str, str]
    evaluations: int
    exact: bool
    standard_error_max: float
    completeness_residual: float
    v_empty: float
    v_full: float
    values: tuple[float, ...]
    quality: Mapping[str, float]
    warnings: tuple[str, ...]
    seconds: float
    agreement: float | None = None
    rival: int = -1
    contrast: tuple[float, ...] = ()
    interactions: tuple[float, ...] = ()
    arithmetic: Mapping[str, str] = field(default_factory=dict)
    taken_from: str = ""

    @classmethod
    def of(cls, attribution: Attribution) -> AttributionRecord:
        """Take from an attribution what the ledger keeps."""
        estimate = attribution.estimate
        errors = estimate.standard_errors
        contrast, pairs = attribution.contrast, attribution.interactions
        return cls(
            method=attribution.method,
            target=attribution.target,
            parameters=dict(attribution.parameters),
            evaluations=estimate.evaluations,
            exact=estimate.exact,
            standard_error_max=float(errors.max()) if errors is not None else 0.0,
            completeness_residual=attribution.completeness_residual,
            v_empty=attribution.v_empty,
            v_full=attribution.v_full,
            values=() if estimate.values is None else tuple(estimate.values.tolist()),
            quality=dict(attribution.quality),
            warnings=attribution.warnings,
            seconds=attribution.seconds,
            agreement=attribution.quality.get("agreement"),
            rival=contrast.rival if contrast else -1,
            contrast=tuple(contrast.values.tolist()) if contrast else (),
            interactions=pairs.upper() if pairs else (),
            arithmetic=dict(attribution.arithmetic),
            taken_from=attribution.taken_from,
        )
