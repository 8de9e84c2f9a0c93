"""How a worker is: what it runs on, and what it has to do without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_SHOWN_FOR = 3600.0
"""Seconds that a replaced worker is worth a line."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What the worker says of itself; each mapping but the last is by name of the model.

    Attributes
    ----------
    devices : mapping
        What each network runs on, and why not on a GPU.
    bounds : mapping of str to float
        Seconds that an audit may keep an urgent image waiting.
    slow : mapping
        Why an audit's chunk takes longer than that on this device.
    eased : mapping
        What a network makes do with for want of memory.
    out_of_service : mapping
        Why a model is not asked now.
    deferred : mapping
        Why its audits wait.
    decoders : mapping
        Manufacturer, syntax and bits → how two decoders differ about it since the worker started.
    lost : str
        Why the last worker was replaced, or "".
    lost_at : float
        When that was, seconds since 1970.
    replaced : int
        How often a worker of this data directory was replaced.
    """

    devices: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)
    slow: Mapping[str, str] = field(default_factory=dict)
    eased: Mapping[str, str] = field(default_factory=dict)
    out_of_service: Mapping[str, str] = field(default_factory=dict)
    deferred: Mapping[str, str] = field(default_factory=dict)
    decoders: Mapping[str, str] = field(default_factory=dict)
    lost: str = ""
    lost_at: float = 0.0
    replaced: int = 0

    @property
    def by_kind(self) -> Mapping[str, Mapping[str, str]]:
        """What is not as it should be, by its label in the metrics."""
        return {
            "out_of_service": self.out_of_service,
            "eased": self.eased,
            "deferred": self.deferred,
            "slow": self.slow,
        }

    def complaints(self, now: float) -> Iterator[str]:
        """Yield a sentence for everything that is not as it should be.

        Parameters
        ----------
        now : float
            Seconds since 1970.
        """
        for model, why in self.out_of_service.items():
            yield f"model {model} is out of service: {why}"
        for model, what in self.eased.items():
            yield f"model {model} {what}"
        for model, why in self.deferred.items():
            yield f"audits of {model} wait: {why}"
        for model, what in self.slow.items():
            yield f"model {model}: {what}"
        for images, how in self.decoders.items():
            yield f"images of {images} are refused where {how}"
        if self.lost and now - self.lost_at < _SHOWN_FOR:
            yield f"the worker was replaced ({self.replaced} times so far): {self.lost}"
