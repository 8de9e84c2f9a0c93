"""Does an audit show the shortcut? Shapley values of a chest's border against those of its inside.

The border alone tells these children's classes apart, so a network may use it. Two games say
whether one does: the exact one of two players, border and inside, for every image; and the
product's own audit on a grid whose outer ring is that border, for a few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from border import border_alone, border_erased
from chest_xray_pneumonia import CLASSES, Chests, logits_of
from lightbox.app.catalogue import methods
from lightbox.app.clock import SystemClock
from lightbox.explain.attribute import Attribute
from lightbox.explain.audit import AuditPlan, finished
from lightbox.explain.subject import Subject
from lightbox.infer.packages import LoadedPackage
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.settings import AuditSettings
from lightbox.tools.map_measures import Sample
from map_figures import prediction_of
from network import UngatedResNet

GRID = (7, 7)
"""Regions of the audits: their outer ring is 14 % of a side wide, the border of the tests 12 %."""

LIMITS = AuditSettings(tolerance=0.02, max_evaluations=512)


def two_players(net: UngatedResNet, chests: Chests) -> dict[str, float]:
    """Return the exact Shapley values of border and inside, mean of the classes' means.

    v is the probability of the true class; what is absent is at the normalisation's level.
    """

    def value(images: Tensor) -> Tensor:
        chances = torch.softmax(logits_of(net, images), 1)
        return chances[torch.arange(len(chances)), chests.labels]

    nothing, whole = value(torch.zeros_like(chests.images)), value(chests.images)
    border, inside = value(border_alone(chests.images)), value(border_erased(chests.images))
    shares = {
        "border": ((border - nothing) + (whole - inside)) / 2,
        "inside": ((inside - nothing) + (whole - border)) / 2,
    }
    return {
        name: float(np.mean([values[chests.labels == c].mean() for c in range(len(CLASSES))]))
        for name, values in shares.items()
    }


def audited(loaded: LoadedPackage, samples: Sequence[Sample]) -> dict[str, float]:
    """Audit these images on the grid; return what falls to its outer ring.

    Returns
    -------
    dict
        ``area`` and ``ring``: the ring's share of the regions, and of the values' absolute sum
        (median); ``signed``: sum of the ring's values (mean); ``evidence``: v(all) - v(none)
        (mean); ``images`` and ``evaluations`` (median).
    """
    spec = loaded.package.explanation.model_copy(update={"grid": GRID})
    package = loaded.package.model_copy(update={"explanation": spec})
    runtime = OnnxRuntime(replace(loaded, package=package))
    attribute = Attribute(methods(), LIMITS, SystemClock())
    ring = np.ones(GRID, np.bool_)
    ring[1:-1, 1:-1] = False
    rows = []
    for sample in track(samples, "audits of the border"):
        output = runtime.predict(sample.frame.tensor)
        subject = Subject(package, sample.frame, prediction_of(loaded, sample, output.logits))
        audit = finished(attribute.audit(subject, runtime, None, AuditPlan("shapley", 64)))
        values = audit.estimate.values
        assert values is not None
        of_ring = values[ring.ravel()]
        rows.append(
            (
                float(np.abs(of_ring).sum() / np.abs(values).sum()),
                float(of_ring.sum()),
                audit.v_full - audit.v_empty,
                float(audit.estimate.evaluations),
            )
        )
    shares, signed, evidence, evaluations = np.array(rows).T
    return {
        "images": len(rows),
        "area": float(ring.mean()),
        "ring": float(np.median(shares)),
        "signed": float(signed.mean()),
        "evidence": float(evidence.mean()),
        "evaluations": float(np.median(evaluations)),
    }
