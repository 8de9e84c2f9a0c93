"""Model packages for tests: real folders with small networks in them."""

from __future__ import annotations

import json
from pathlib import Path

from lightbox.infer.packages import CARD, EXPECTED, MANIFEST, WEIGHTS, LoadedPackage, digest, load
from networks import a_pooled_classifier, an_outliner

FINDINGS = ("normal", "pneumonia", "tumour")

_HEAD = """\
name = "{name}"
version = "1.2.0"
sha256 = "{sha256}"
intended_use = "Tests."
licence = "Apache-2.0"
citation = "None."

[accepts]
modality = ["CR", "MR"]

[preprocessing]
size = [{size}, {size}]
channels = 1

[calibration]
temperature = 2.0
"""

_FINDING = """
[[findings]]
name = "{name}"
label = "{label}"
code = {{ scheme = "SCT", value = "1", meaning = "{label}" }}
negative = {negative}
"""


def a_manifest(weights: bytes, *, name: str = "small", size: int = 16) -> str:
    """Return the text of a manifest for these weights."""
    findings = [
        _FINDING.format(
            name=each, label=each.capitalize(), negative="true" if each == "normal" else "false"
        )
        for each in FINDINGS
    ]
    head = _HEAD.format(name=name, sha256=digest(weights), size=size)
    return head + "".join(findings)


def a_package_folder(root: Path, *, name: str = "small", seed: int = 0) -> Path:
    """Write a package that passes every check but has no samples; return its folder."""
    folder = root / name
    (folder / "samples").mkdir(parents=True)
    weights = a_pooled_classifier(classes=len(FINDINGS), seed=seed)
    (folder / WEIGHTS).write_bytes(weights)
    (folder / MANIFEST).write_text(a_manifest(weights, name=name))
    (folder / CARD).write_text("# A small network\n\nFor tests only.\n")
    (folder / EXPECTED).write_text(json.dumps({"tolerance": 1e-3, "samples": {}}))
    return folder


def a_segmentation_folder(root: Path, *, name: str = "outlines", bias: float = 0.0) -> Path:
    """Write a package of a network that outlines something; return its folder."""
    folder = a_package_folder(root, name=name)
    weights = an_outliner(bias=bias)
    (folder / WEIGHTS).write_bytes(weights)
    head = _HEAD.format(name=name, sha256=digest(weights), size=16)
    findings = [
        _FINDING.format(name=each, label=each.capitalize(), negative=negative)
        for each, negative in (("lesion", "false"), ("nothing", "true"))
    ]
    text = head.replace("\n[accepts]", 'task = "segmentation"\n\n[accepts]', 1)
    (folder / MANIFEST).write_text(text + "".join(findings))
    return folder


def a_loaded_package(root: Path, *, name: str = "small", seed: int = 0) -> LoadedPackage:
    """Write a package and load it."""
    return load(a_package_folder(root, name=name, seed=seed))
