"""Make the package ``models/brain_tumour_mri`` out of trained weights, and measure its card.

    python models/training/package_brain_tumour_mri.py DATA RUN/weights.pt [--audits 45]

Exports the network, fits the temperature, writes ``model.toml``, ``samples/`` and
``expected.json``, then runs the product itself (decoding apart) over the validation patients and
writes every figure of ``CARD.md``. With ``--card-only`` the weights stay and only the card is
measured again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.progress import track

from brain_tumour_mri import CLASSES, PREPROCESSING, Images, load, probabilities
from dicom_samples import write_samples
from lightbox.app.catalogue import methods
from lightbox.app.clock import SystemClock
from lightbox.domain.frame import Frame
from lightbox.domain.model_package import Explanation
from lightbox.domain.prediction import FrameRef, Prediction
from lightbox.explain.attribute import Attribute
from lightbox.explain.audit import AuditPlan, finished
from lightbox.explain.baselines.choice import baseline_of
from lightbox.explain.subject import Subject
from lightbox.infer.decode import DecodePool
from lightbox.infer.decode_wire import FramesRequest
from lightbox.infer.packages import LoadedPackage, digest
from lightbox.infer.packages import load as load_package
from lightbox.infer.preprocess import geometry_for
from lightbox.infer.runtimes.onnx_runtime import OnnxRuntime
from lightbox.settings import AuditSettings
from measures import (
    Localisation,
    calibration_error,
    confusion,
    cross_fitted,
    f2,
    fitted_temperature,
    kappa,
    localisation,
    softmax,
)
from network import GatedResNet

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "brain_tumour_mri"
SPACING_MM = 0.98  # of the 256 px copies: 0.49 mm at 512 px, Cheng et al. 2015
REACH = 8


def export(weights: Path, target: Path) -> GatedResNet:
    """Write the network as ONNX (opset 18, any batch)."""
    net = GatedResNet(len(CLASSES))
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.eval()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    height, width = PREPROCESSING.size
    torch.onnx.export(
        net,
        (torch.zeros(2, 1, height, width),),
        str(target),
        dynamo=True,
        input_names=["image"],
        output_names=["logits"],
        opset_version=18,
        external_data=False,
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
    )
    return net


def frames_of(data: Path, images: Images) -> Iterator[tuple[Frame, np.ndarray[Any, Any]]]:
    """Yield (frame, mask in source pixels) of each image, as the product would decode it."""
    for tensor, file in zip(images.images, images.files, strict=True):
        picture = np.asarray(Image.open(data / file).convert("L"))
        mask = np.asarray(
            Image.open(data / file.replace("images", "masks").replace(".jpg", ".png"))
        )
        yield (
            Frame(
                FrameRef(file),
                tensor.numpy()[None],
                picture,
                geometry_for(PREPROCESSING, picture.shape),
                (SPACING_MM, SPACING_MM),
            ),
            mask > 0,
        )


def classified(logits: np.ndarray[Any, Any], images: Images) -> dict[str, object]:
    """Return the figures of the classification table."""
    labels = images.labels.numpy()
    table = confusion(logits.argmax(1), labels)
    recall = np.diag(table) / table.sum(1)
    before = softmax(logits, 1.0)
    return {
        "images": len(labels),
        "patients": len(set(images.groups)),
        "balanced_accuracy": float(recall.mean()),
        "accuracy": float(np.trace(table) / table.sum()),
        "kappa": kappa(table),
        "f2": f2(table),
        "recall": {name: float(r) for name, r in zip(CLASSES, recall, strict=True)},
        "confusion": table.astype(int).tolist(),
        "ece_before": calibration_error(before, labels),
        "ece": calibration_error(cross_fitted(logits, labels, images.groups), labels),
    }


def prediction_of(loaded: LoadedPackage, frame: Frame, logits: np.ndarray[Any, Any]) -> Prediction:
    """Build the prediction that the product would make from these logits."""
    package = loaded.package
    scores = softmax(logits[None].astype(np.float64), package.calibration.temperature)[0]
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
        frame.ref,
    )


def maps(
    loaded: LoadedPackage, data: Path, images: Images, audits: int
) -> tuple[dict[str, Localisation], dict[str, float]]:
    """Localise fast map and audit against the masks; also the audit's own figures."""
    package, runtime = loaded.package, OnnxRuntime(loaded)
    attribute = Attribute(methods(), AuditSettings(), SystemClock())
    chosen = set(np.linspace(0, len(images.files) - 1, audits).astype(int).tolist())
    fast, slow, centre, masks, audited = [], [], [], [], []
    empty, full, agreement = [], [], []
    pairs = enumerate(frames_of(data, images))
    for number, (frame, mask) in track(pairs, "maps", total=len(images.files)):
        output = runtime.predict(frame.tensor)
        subject = Subject(package, frame, prediction_of(loaded, frame, output.logits[0]))
        cam = attribute.fast(subject, output)
        fast.append(cam.source_map.astype(np.float64))
        masks.append(mask)
        middle = np.zeros(mask.shape)
        middle[mask.shape[0] // 2, mask.shape[1] // 2] = 1.0
        centre.append(middle)
        if number not in chosen:
            continue
        chunks = attribute.audit(subject, runtime, cam, AuditPlan("shapley_exact", 512))
        audit = finished(chunks)
        slow.append(audit.source_map.astype(np.float64))
        audited.append(mask)
        empty.append(audit.v_empty)
        full.append(audit.v_full)
        agreement.append(audit.quality.get("agreement", float("nan")))

    def located(values: list[np.ndarray[Any, Any]], of: list[np.ndarray[Any, Any]]) -> Localisation:
        return localisation(values, of, reach=REACH, spacing_mm=SPACING_MM)

    rng = np.random.default_rng(0)
    noise = [rng.random(mask.shape) for mask in masks]
    found = {
        "Grad-CAM": located(fast, masks),
        "Grad-CAM, the audited images": located(
            [m for n, m in enumerate(fast) if n in chosen], audited
        ),
        "Shapley values, 12 regions": located(slow, audited),
        "image centre (a guess)": located(centre, masks),
        "random map": located(noise, masks),
    }
    figures = {
        "audits": float(len(slow)),
        "v_empty": float(np.median(empty)),
        "v_full": float(np.median(full)),
        "agreement": float(np.nanmedian(agreement)),
    }
    return found, figures


def evidence_left(net: GatedResNet, images: Images, temperature: float) -> dict[str, float]:
    """Median probability of the predicted class that each baseline leaves behind."""
    left = {}
    logits = probabilities(net, images.images).numpy()
    target = logits.argmax(1)
    for name, cells in (("mean", 1), ("blur", 3), ("blur", 6), ("blur", 12)):
        spec = Explanation(baseline=name, baseline_cells=cells)
        gone = np.stack([baseline_of(spec, image.numpy()[None]) for image in images.images])
        after = softmax(probabilities(net, torch.from_numpy(gone)).numpy(), temperature)
        key = name if name == "mean" else f"{name}, {cells} cells"
        left[key] = float(np.median(after[np.arange(len(target)), target]))
    return left


def write_manifest(target: Path, sha256: str, temperature: float, figures: dict[str, Any]) -> None:
    """Fill ``model.toml`` from its template."""
    text = Template((HERE / "brain_tumour_mri.toml").read_text())
    target.write_text(
        text.substitute(
            sha256=sha256,
            temperature=f"{temperature:.2f}",
            balanced_accuracy=f"{figures['balanced_accuracy']:.4f}",
            ece=f"{figures['ece']:.4f}",
        )
    )


def write_expected(folder: Path, loaded: LoadedPackage, names: list[str]) -> None:
    """Record what the samples give, so that ``models check`` can compare."""
    runtime = OnnxRuntime(loaded)
    samples = {}
    with DecodePool(processes=1) as pool:
        for name in names:
            path = str((folder / "samples" / name).resolve())
            request = FramesRequest(path, name, loaded.package.preprocessing)
            frame = next(iter(pool.frames(request)))
            prediction = prediction_of(loaded, frame, runtime.predict(frame.tensor).logits[0])
            samples[name] = {
                "finding": prediction.finding,
                "scores": {key: round(value, 5) for key, value in prediction.scores.items()},
            }
    (folder / "expected.json").write_text(
        json.dumps({"tolerance": 0.001, "samples": samples}, indent=2) + "\n"
    )


def card(figures: dict[str, Any], found: dict[str, Localisation], audit: dict[str, float],
         left: dict[str, float], loaded: LoadedPackage) -> str:  # fmt: skip
    """Fill ``CARD.md`` from its template."""
    rows = "\n".join(
        f"| {name} | {at.hit:.2f} | {at.near:.2f} | {at.mass:.3f} | {at.times_chance:.1f} "
        f"| {at.distance_mm:.0f} |".replace("nan", "-")
        for name, at in found.items()
    )
    recalls = "\n".join(f"| {name} | {value:.3f} |" for name, value in figures["recall"].items())
    table = "\n".join(
        f"| **{name}** | " + " | ".join(map(str, row)) + " |"
        for name, row in zip(CLASSES, figures["confusion"], strict=True)
    )
    baselines = "\n".join(f"| {name} | {value:.2f} |" for name, value in left.items())
    text = Template((HERE / "brain_tumour_mri_card.md").read_text())
    scalars = {k: f"{v:.3f}" if isinstance(v, float) else str(v) for k, v in figures.items()}
    audits = {f"audit_{key}": f"{value:.2f}" for key, value in audit.items()}
    audits["audit_audits"] = str(int(audit["audits"]))
    return text.substitute(
        **scalars, **audits, localisation=rows, recalls=recalls, table=table, baselines=baselines,
        version=loaded.package.version, sha256=loaded.package.sha256,
        temperature=f"{loaded.package.calibration.temperature:.2f}",
        megabytes=f"{len(loaded.weights) / 1e6:.1f}",
    )  # fmt: skip


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--audits", type=int, default=45)
    parser.add_argument("--card-only", action="store_true")
    given = parser.parse_args()
    images = load(given.data, "val")
    PACKAGE.mkdir(exist_ok=True)
    onnx = PACKAGE / "weights.onnx"
    if given.card_only:
        net = GatedResNet(len(CLASSES))
        net.load_state_dict(torch.load(given.weights, weights_only=True))
    else:
        net = export(given.weights, onnx)
    logits = probabilities(net, images.images).numpy().astype(np.float64)
    temperature = round(fitted_temperature(logits, images.labels.numpy()), 2)
    figures = classified(logits, images)
    write_manifest(PACKAGE / "model.toml", digest(onnx.read_bytes()), temperature, figures)
    loaded = load_package(PACKAGE)
    if not given.card_only:
        names = [name for name, _ in write_samples(given.data, PACKAGE / "samples")]
        write_expected(PACKAGE, loaded, names)
    left = evidence_left(net, images, temperature)
    found, audit = maps(loaded, given.data, images, given.audits)
    (PACKAGE / "CARD.md").write_text(card(figures, found, audit, left, loaded))
    print((PACKAGE / "CARD.md").read_text())


if __name__ == "__main__":
    main()
