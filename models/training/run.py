"""A training run: seeded, shown as it goes, and gone on with after any epoch.

``RUN/checkpoint.pt`` is written after each epoch, ``RUN/log.csv`` has one line of each, and
``RUN/weights.pt`` is the moving average of the weights at the end of the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress, TextColumn
from torch import Tensor, nn

Loss = Callable[[Tensor, np.random.Generator, torch.Generator], Tensor]
"""The loss of one batch: indices of its images, and what random draws are taken from."""

Weights = dict[str, Tensor]

_SCORED_EACH = 3  # epochs: scoring costs seconds
_WARM_UP = 0.2  # share of the cosine cycle until its peak


@dataclass(frozen=True)
class Plan:
    """How long, from which seed, over how many images and in which batches."""

    out: Path
    epochs: int
    seed: int
    images: int
    batch: int
    averaged: float = 0.01
    """Share of the newest weights in the moving average, per step."""

    @property
    def steps(self) -> int:
        """Steps of one epoch; what does not fill a batch is left for another epoch's order."""
        return self.images // self.batch


class Run:
    """Trains one network.

    Parameters
    ----------
    plan : Plan
        Length and seed.
    net : Module
        Where it starts from.
    optimiser : Optimizer
        Of its parameters.
    peak : float or list of float
        Highest learning rate (of each group of parameters).
    level : float or None
        None: one cosine cycle. Else the rates rise for an epoch, stay at their peak until this
        share of the steps, then fall to nothing in a straight line.
    """

    def __init__(
        self,
        plan: Plan,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        peak: float | list[float],
        level: float | None = None,
    ) -> None:
        self._plan, self._net, self._optimiser = plan, net, optimiser
        self._average = {key: value.clone() for key, value in net.state_dict().items()}
        self._schedule = _schedule(optimiser, peak, plan, level)
        self._checkpoint = plan.out / "checkpoint.pt"

    def go(self, loss_of: Loss, score: Callable[[Weights], str], *, resume: bool) -> None:
        """Train to the end; ``score`` says how good averaged weights are, every third epoch."""
        plan = self._plan
        plan.out.mkdir(parents=True, exist_ok=True)
        first = self._resumed() if resume and self._checkpoint.exists() else 0
        columns = (*Progress.get_default_columns(), TextColumn("{task.fields[note]}"))
        with Progress(*columns) as progress:
            bar = progress.add_task("epochs", total=plan.epochs, completed=first, note="")
            for epoch in range(first, plan.epochs):
                loss = self._epoch(epoch, loss_of)
                scored = epoch % _SCORED_EACH == _SCORED_EACH - 1 or epoch == plan.epochs - 1
                found = score(self._average) if scored else ""
                with (plan.out / "log.csv").open("a") as stream:
                    stream.write(f"{epoch + 1},{loss:.4f},{found}\n")
                progress.update(bar, advance=1, note=f"loss {loss:.3f} score {found or '…'}")
                self._keep(epoch + 1)
        torch.save(self._average, plan.out / "weights.pt")

    def _epoch(self, epoch: int, loss_of: Loss) -> float:
        """Return the last batch's loss."""
        plan = self._plan
        # Generators of the epoch: a resumed run draws what an unbroken one would have drawn.
        rng = np.random.default_rng((plan.seed, epoch))
        draw = torch.Generator().manual_seed(plan.seed * 100_003 + epoch)
        self._net.train()
        loss = torch.zeros(())
        order = torch.randperm(plan.images, generator=draw)
        for batch in order[: plan.steps * plan.batch].split(plan.batch):
            loss = loss_of(batch, rng, draw)
            self._optimiser.zero_grad()
            loss.backward()
            self._optimiser.step()
            self._schedule.step()
            self._follow()
        return float(loss.detach())

    def _follow(self) -> None:
        with torch.no_grad():
            for key, value in self._net.state_dict().items():
                if value.dtype.is_floating_point:
                    self._average[key].lerp_(value, self._plan.averaged)
                else:
                    self._average[key] = value.clone()

    def _resumed(self) -> int:
        saved = torch.load(self._checkpoint, weights_only=True)
        self._net.load_state_dict(saved["net"])
        self._optimiser.load_state_dict(saved["optimiser"])
        self._schedule.load_state_dict(saved["schedule"])
        self._average = saved["average"]
        torch.set_rng_state(saved["dropout"])
        return int(saved["epoch"])

    def _keep(self, epoch: int) -> None:
        whole = self._checkpoint.with_suffix(".new")
        state = {
            "net": self._net.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "average": self._average,
            "dropout": torch.get_rng_state(),
            "epoch": epoch,
        }
        torch.save(state, whole)
        whole.rename(self._checkpoint)  # a run killed here goes on from the epoch before


def _schedule(
    optimiser: torch.optim.Optimizer,
    peak: float | list[float],
    plan: Plan,
    level: float | None,
) -> torch.optim.lr_scheduler.LRScheduler:
    total = plan.epochs * plan.steps
    if level is None:
        return torch.optim.lr_scheduler.OneCycleLR(
            optimiser, peak, total_steps=total, pct_start=_WARM_UP
        )
    peaks = peak if isinstance(peak, list) else [peak] * len(optimiser.param_groups)
    for group, highest in zip(optimiser.param_groups, peaks, strict=True):
        group["lr"] = highest

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / plan.steps, (total - step) / ((1 - level) * total))

    return torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
