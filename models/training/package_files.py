"""What every packaging program does alike: networks out of files, images as samples, templates filled."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import nn

from lightbox.domain.arrays import ImageTensor, Mask
from lightbox.domain.frame import Frame
from lightbox.domain.model_package import Measured, Preprocessing
from lightbox.domain.prediction import FrameRef
from lightbox.infer.packages import CARD, MANIFEST, LoadedPackage
from lightbox.infer.preprocess import geometry_for
from lightbox.tools.map_measures import Onboarding, Sample
from map_figures import NAMES

HERE = Path(__file__).parent
_RANGE = re.compile(r"^\[range\]\n(?:(?!\[).*\n?)*", re.MULTILINE)  # known_range.py writes it

Net = TypeVar("Net", bound=nn.Module)


def with_weights(net: Net, weights: Path) -> Net:
    """Return a network as it was trained."""
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.eval()
    return net


def as_sample(
    file: Path,
    name: str,
    tensor: ImageTensor,
    spec: Preprocessing,
    *,
    mask: Mask | None = None,
    spacing_mm: float | None = None,
) -> Sample:
    """Return an image as the product would have decoded it.

    Parameters
    ----------
    file : Path
        The picture.
    name : str
        What stands where its UID would.
    tensor : array, shape (1, C, H, W)
        The network's input.
    spec : Preprocessing
        How it was made.
    mask : array, shape (rows, columns), bool, or None
        Of the lesion.
    spacing_mm : float or None
        Of the picture's pixels.
    """
    picture = np.asarray(Image.open(file).convert("L"))
    geometry = geometry_for(spec, picture.shape)
    spacing = None if spacing_mm is None else (spacing_mm, spacing_mm)
    return Sample(Frame(FrameRef(name), tensor, picture, geometry, spacing), mask)


def in_words(figures: Mapping[str, Any], decimals: int) -> dict[str, str]:
    """Return numbers with so many decimals, the temperature with two, and all else as it is."""
    told = {k: f"{v:.{decimals}f}" if isinstance(v, float) else str(v) for k, v in figures.items()}
    if "temperature" in figures:
        told["temperature"] = f"{figures['temperature']:.2f}"
    return told


def write_manifest(package: Path, told: Mapping[str, str]) -> None:
    """Fill ``model.toml`` from the template of that name; the ``[range]`` of the same weights stays."""
    target = package / MANIFEST
    before = target.read_text() if target.is_file() else ""
    known = _RANGE.search(before) if told["sha256"] in before else None
    text = Template((HERE / f"{package.name}.toml").read_text()).substitute(told)
    target.write_text(text + (f"\n{known[0]}" if known else ""))


def map_rows(measured: Onboarding, cells: Callable[[Measured, str], Sequence[str]]) -> str:
    """Return a table's rows of maps, the best first.

    Parameters
    ----------
    measured : Onboarding
    cells : callable (map, its stages of randomisation in words) → strings
        What stands between its name and the verdict.
    """
    rows = []
    for each in sorted(measured.maps, key=lambda each: -each.merit):
        stages = " / ".join(f"{stage:.2f}" for stage in measured.randomisation[each.method])
        verdict = "unfit" if each.unfit else "fit"
        name = NAMES.get(each.method, each.method)
        rows.append(f"| {' | '.join([name, *cells(each, stages), verdict])} |")
    return "\n".join(rows)


def baseline_rows(measured: Onboarding) -> str:
    """Return a table's rows of baselines, by what each leaves of the evidence."""
    left = sorted(measured.baselines.items(), key=lambda item: item[1])
    return "\n".join(f"| {kind} | {share:.2f} |" for kind, share in left)


def write_card(loaded: LoadedPackage, measured: Onboarding, told: Mapping[str, str]) -> str:
    """Fill ``CARD.md`` from its template; return it."""
    package = loaded.package
    text = Template((HERE / f"{package.name}_card.md").read_text()).substitute(
        {
            "measured_images": measured.maps[0].images,
            "default": NAMES[package.explanation.method],
            "temperature": f"{package.calibration.temperature:.2f}",
            "version": package.version,
            "sha256": package.sha256,
            "megabytes": f"{len(loaded.weights) / 1e6:.1f}",
            "kilobytes": f"{len(loaded.weights) / 1e3:.0f}",
        }
        | dict(told)
    )
    (loaded.folder / CARD).write_text(text)
    return text
