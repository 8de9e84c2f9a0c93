"""Where maps look: every class-activation map of the catalogue, the audit, and what is no map at all.

All of it through the product's own runtime and explainers; only the plain gradient of the image is
asked of the torch twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import nn

from lightbox.app.catalogue import methods
from lightbox.app.clock import SystemClock
from lightbox.domain.attribution import Attribution
from lightbox.domain.model_package import BASELINES
from lightbox.domain.prediction import Prediction
from lightbox.explain.attribute import Attribute
from lightbox.explain.audit import AuditPlan, finished
from lightbox.explain.baselines.choice import NEEDS_BACKGROUND
from lightbox.explain.subject import Subject
from lightbox.infer.packages import LoadedPackage
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.settings import AuditSettings
from lightbox.tools.bench.int8 import agreement
from lightbox.tools.map_measures import Measuring, Onboarding, Sample, alike
from lightbox.tools.model_check import map_methods
from measures import Localisation, localisation, softmax
from network import GatedResNet

Array = np.ndarray[Any, Any]

SPACING_MM = 0.98  # of the 256 px copies: 0.49 mm at 512 px, Cheng et al. 2015
REACH = 8
LEARNED = 48
"""Images that int8's ranges are calibrated on."""

NAMES = {
    "grad_cam": "Grad-CAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "xgrad_cam": "XGrad-CAM",
    "layer_cam": "LayerCAM",
    "hires_cam": "HiResCAM",
    "eigen_grad_cam": "Eigen-Grad-CAM",
}


@dataclass(frozen=True)
class Audited:
    """What the audits of some images gave.

    Attributes
    ----------
    row : Localisation
        Of the audit's map.
    fast : Localisation
        Of the fast map of the same images.
    figures : dict
        Median of each quality metric and of v.
    """

    row: Localisation
    fast: Localisation
    figures: dict[str, float]


def located(maps: Sequence[Array], samples: Sequence[Sample]) -> Localisation:
    """Compare maps with the masks of the samples."""
    masks = [sample.mask for sample in samples]
    assert all(mask is not None for mask in masks)
    known = [mask for mask in masks if mask is not None]
    return localisation(maps, known, reach=REACH, spacing_mm=SPACING_MM)


def overlaps(
    loaded: LoadedPackage, net: GatedResNet, samples: Sequence[Sample]
) -> dict[str, Localisation]:
    """Localise every map of the catalogue on all images, beside what is no explanation."""
    runtime, known = OnnxRuntime(loaded), map_methods()
    maps: dict[str, list[Array]] = {name: [] for name in known}
    plain: list[Array] = []
    for sample in track(samples, "maps"):
        tensor, geometry = sample.frame.tensor, sample.frame.geometry
        output = runtime.layers(tensor)
        for name, method in known.items():
            cells = method.cells(output).cells
            assert cells is not None
            maps[name].append(geometry.attribution_to_source(cells))
        plain.append(geometry.attribution_to_source(plain_gradient(net, tensor)))
    rng = np.random.default_rng(0)
    shapes = [sample.frame.geometry.source_shape for sample in samples]
    centre = [np.zeros(shape) for shape in shapes]
    for each in centre:
        each[each.shape[0] // 2, each.shape[1] // 2] = 1.0
    found = {NAMES.get(name, name): located(of, samples) for name, of in maps.items()}
    found["plain gradient of the image, absolute"] = located(plain, samples)
    found["image centre (a guess)"] = located(centre, samples)
    found["random map"] = located([rng.random(shape) for shape in shapes], samples)
    return found


def plain_gradient(net: GatedResNet, tensor: Array) -> Array:
    """Return |dz_c / dx|, shape (H, W), of the winning class (Simonyan et al. 2014)."""
    image = torch.from_numpy(tensor).requires_grad_()
    (slope,) = torch.autograd.grad(net(image).max(1).values.sum(), image)
    gradient: Array = slope[0].abs().amax(0).numpy()
    return gradient


def onboarding(loaded: LoadedPackage, samples: Sequence[Sample]) -> Onboarding:
    """Measure faithfulness, randomisation and baselines, as ``models check --measure`` does."""
    return Measuring(loaded, OnnxRuntime, map_methods()).run(
        samples, lambda all_of_them: track(all_of_them, "deletion and insertion")
    )


def untaught(loaded: LoadedPackage, control: bytes, samples: Sequence[Sample]) -> dict[str, float]:
    """Rank correlation of each map with that of a network taught permuted labels and masks."""
    real, other = OnnxRuntime(loaded), OnnxRuntime(replace(loaded, weights=control))
    found: dict[str, list[float]] = {name: [] for name in map_methods()}
    for sample in track(samples, "data randomisation"):
        output = real.layers(sample.frame.tensor)
        target = int(output.logits[0].argmax())
        control_output = other.layers(sample.frame.tensor, (target,))
        for name, method in map_methods().items():
            one, two = method.cells(output).cells, method.cells(control_output).cells
            assert one is not None
            assert two is not None
            found[name].append(alike(one, two))
    return {name: float(np.mean(values)) for name, values in found.items()}


def audits(loaded: LoadedPackage, samples: Sequence[Sample], settings: AuditSettings) -> Audited:
    """Audit these images; localise both maps and take the medians of what was measured."""
    runtime = OnnxRuntime(loaded)
    own = {loaded.package.sha256: loaded.background} if loaded.background else {}
    attribute = Attribute(methods(), settings, SystemClock(), own)
    slow: list[Attribution] = []
    fast: list[Attribution] = []
    for sample in track(samples, "audits"):
        output = runtime.predict(sample.frame.tensor)
        subject = Subject(
            loaded.package, sample.frame, prediction_of(loaded, sample, output.logits)
        )
        fast.append(attribute.fast(subject, output))
        plan = AuditPlan("shapley", 64)
        slow.append(finished(attribute.audit(subject, runtime, fast[-1], plan)))
    names = {name for audit in slow for name in audit.quality}
    figures = {
        name: float(np.median([audit.quality[name] for audit in slow if name in audit.quality]))
        for name in names
    }
    figures |= {
        "audits": len(slow),
        "evaluations": float(np.median([audit.estimate.evaluations for audit in slow])),
        "v_empty": float(np.median([audit.v_empty for audit in slow])),
        "v_full": float(np.median([audit.v_full for audit in slow])),
        "left": float(np.mean([audit.v_empty / audit.v_full for audit in slow])),
    }
    return Audited(
        located([audit.source_map for audit in slow], samples),
        located([each.source_map for each in fast], samples),
        figures,
    )


def by_baseline(
    loaded: LoadedPackage, samples: Sequence[Sample], settings: AuditSettings
) -> dict[str, Audited]:
    """Audit these images with each baseline that the package can have."""
    found: dict[str, Audited] = {}
    for kind in BASELINES:
        if kind in NEEDS_BACKGROUND and loaded.background is None:
            continue
        spec = loaded.package.explanation.model_copy(update={"baseline": kind})
        other = loaded.package.model_copy(update={"explanation": spec})
        found[kind] = audits(replace(loaded, package=other), samples, settings)
    return found


def prediction_of(loaded: LoadedPackage, sample: Sample, logits: Array) -> Prediction:
    """Build the prediction that the product would make from these logits."""
    package = loaded.package
    temperature = package.calibration.temperature
    scores = softmax(logits.reshape(1, -1).astype(np.float64), temperature)[0]
    target = int(scores.argmax())
    names = [finding.name for finding in package.findings]
    return Prediction(
        package.name,
        package.version,
        package.sha256,
        names[target],
        float(scores[target]),
        dict(zip(names, map(float, scores), strict=True)),
        target,
        sample.frame.ref,
    )


def spread(samples: Sequence[Sample], groups: Sequence[str], count: int) -> list[Sample]:
    """Take one image of each patient, the middle one, of patients spread evenly."""
    names = sorted(set(groups))
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)]
    found = []
    for name in chosen:
        own = [i for i, group in enumerate(groups) if group == name]
        found.append(samples[own[len(own) // 2]])
    return found


def exported(net: nn.Module, size: tuple[int, int], target: Path) -> None:
    """Write a network as ONNX (opset 18, any batch)."""
    net.eval()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    torch.onnx.export(
        net,
        (torch.zeros(2, 1, *size),),
        str(target),
        dynamo=True,
        input_names=["image"],
        output_names=["logits"],
        opset_version=18,
        external_data=False,
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
    )


def int8_line(loaded: LoadedPackage, images: Array) -> str:
    """Say what int8 does to findings and maps of these images, shape (N, C, H, W)."""
    learned = images[np.linspace(0, len(images) - 1, LEARNED).astype(int)]
    return agreement(OnnxRuntime(loaded), loaded, learned, images).words
