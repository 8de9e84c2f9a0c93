"""A network on synthetic lesions: games for ``lightbox bench audit`` that need nobody's data.

    python models/training/synthetic_lesions.py FOLDER [--steps 400]

Writes a model package into FOLDER: a ResNet-18 of half the width at 112 px, taught in minutes and
from a seed to tell no lesion, a bright one, a ring, and a bright with a dark one in two places
(neither alone makes that class). It is for measuring estimators and for nothing else.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from torch import Tensor, nn
from torch.nn import functional

from augmentation import cover
from lightbox.domain.identity import derived_uid
from lightbox.domain.model_package import Preprocessing
from lightbox.infer.packages import CARD, MANIFEST, SAMPLES, WEIGHTS, digest
from lightbox.infer.preprocess import model_input
from map_figures import exported
from network import ResidualBlock

SIZE = 112
CLASSES = ("none", "bright", "ring", "pair")
PREPROCESSING = Preprocessing(size=(SIZE, SIZE), mean=(0.4,), std=(0.25,))
BATCH = 32
TESTED = 4_000_000  # seeds from here on were not learned from
FEWEST_CERTAIN = 0.6

Array = np.ndarray[Any, Any]

_MANIFEST = """\
name = "synthetic_lesions"
version = "1.0.0"
sha256 = "{sha256}"
intended_use = "Games with known Shapley values, for measuring estimators. No images of people."
licence = "Apache-2.0"
citation = "None."

[accepts]
modality = ["MR"]

[preprocessing]
size = [{size}, {size}]
mean = {mean}
std = {std}

[calibration]
temperature = 1.0

[explanation]
baseline = "blur"
baseline_cells = 6
second_baseline = "mean"
grid = [4, 4]
"""
_FINDING = """
[[findings]]
name = "{name}"
label = "{label}"
code = {{ scheme = "99SYNTHETIC", value = "{name}", meaning = "{label}" }}
negative = {negative}
"""


class HalfResNet18(nn.Module):
    """ResNet-18 (He et al. 2016) of width 32, for one channel."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for stage in range(4):
            inputs, outputs = width * 2 ** max(stage - 1, 0), width * 2**stage
            blocks += [
                ResidualBlock(inputs, outputs, 2 if stage else 1),
                ResidualBlock(outputs, outputs),
            ]
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 7, 2, 3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
            *blocks,
        )
        self.classifier = nn.Linear(8 * width, len(CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, classes) of images (B, 1, H, W)."""
        logits: Tensor = self.classifier(self.features(images).mean((2, 3)))
        return logits


def picture_of(seed: int) -> tuple[Array, int]:
    """Draw one image, shape (SIZE, SIZE), uint8, and its class."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
    texture = sum(
        strength * _smooth(rng, cells) for strength, cells in ((0.25, 6), (0.12, 24), (0.05, SIZE))
    )
    wide, high = rng.uniform(0.36, 0.46), rng.uniform(0.38, 0.48)
    image = np.where((x / wide) ** 2 + (y / high) ** 2 < 1, 0.5 + texture, 0.02 * texture)
    label = int(rng.integers(len(CLASSES)))

    def spot(strength: float, radius: float, core: float = 0.0) -> Array:
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.28)
        square = (x - away * np.cos(angle)) ** 2 + (y - away * np.sin(angle)) ** 2
        whole: Array = strength * np.exp(-square / (2 * radius**2))
        whole -= core * np.exp(-square / (2 * (radius / 2) ** 2))
        return whole

    match CLASSES[label]:
        case "bright":
            image += spot(rng.uniform(0.6, 1.0), rng.uniform(0.03, 0.08))
        case "ring":
            image += spot(rng.uniform(0.8, 1.2), rng.uniform(0.05, 0.08), rng.uniform(1.0, 1.6))
        case "pair":
            image += spot(rng.uniform(0.6, 1.0), rng.uniform(0.03, 0.07))
            image += spot(-rng.uniform(0.6, 1.0), rng.uniform(0.03, 0.07))
        case _:
            pass
    if rng.random() < 0.5:  # something weak that means nothing
        image += spot(rng.choice([-1, 1]) * rng.uniform(0.1, 0.25), rng.uniform(0.03, 0.08))
    return np.rint(255 * np.clip((image + 1.0) / 3.0, 0, 1)).astype(np.uint8), label


def _smooth(rng: np.random.Generator, cells: int) -> Array:
    """Noise of so many cells a side, interpolated."""
    coarse = torch.from_numpy(rng.standard_normal((1, 1, cells, cells)))
    fine = functional.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic", align_corners=False)
    found: Array = fine[0, 0].numpy()
    return found


def batch_of(first: int, count: int) -> tuple[Tensor, Tensor]:
    """Return images (count, 1, SIZE, SIZE), normalised as the product does, and labels."""
    drawn = [picture_of(seed) for seed in range(first, first + count)]
    tensors = [model_input(PREPROCESSING, picture) for picture, _ in drawn]
    return torch.from_numpy(np.concatenate(tensors)), torch.tensor([label for _, label in drawn])


def train(steps: int) -> HalfResNet18:
    """Teach the network; every second batch is partly covered, as an audit covers images."""
    torch.manual_seed(0)
    rng, net = np.random.default_rng(0), HalfResNet18()
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    for step in range(steps):
        images, labels = batch_of(step * BATCH, BATCH)
        if step % 2:
            images, _ = cover(images, torch.zeros_like(images), rng)
        loss = functional.cross_entropy(net(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step}, loss {float(loss):.3f}", flush=True)
    return net.eval()


def write_sample(target: Path, picture: Array, number: int) -> None:
    """Write an image as an MR object without a person."""
    ds = Dataset()
    ds.SOPClassUID = MRImageStorage
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(ds, keyword, derived_uid("synthetic lesions", str(number), keyword))
    ds.Modality = "MR"
    ds.Rows, ds.Columns = picture.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 8, 7, 0
    ds.PixelData = picture.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(target, enforce_file_format=True)


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--samples", type=int, default=4)
    given = parser.parse_args()
    (given.folder / SAMPLES).mkdir(parents=True, exist_ok=True)
    net = train(given.steps)
    images, labels = batch_of(TESTED, 128)
    with torch.inference_mode():
        shares = torch.softmax(net(images), 1)
    right = shares.argmax(1) == labels
    print(f"accuracy on {len(labels)} other images: {float(right.float().mean()):.3f}")
    certain = right & (labels > 0) & (shares.max(1).values > FEWEST_CERTAIN)
    for number in torch.flatten(torch.nonzero(certain))[: given.samples].tolist():
        picture, label = picture_of(TESTED + number)
        write_sample(given.folder / SAMPLES / f"{CLASSES[label]}_{number}.dcm", picture, number)
    exported(net, (SIZE, SIZE), given.folder / WEIGHTS)
    text = _MANIFEST.format(
        sha256=digest((given.folder / WEIGHTS).read_bytes()),
        size=SIZE,
        mean=list(PREPROCESSING.mean),
        std=list(PREPROCESSING.std),
    )
    for name in CLASSES:
        negative = str(name == CLASSES[0]).lower()
        text += _FINDING.format(name=name, label=name.capitalize(), negative=negative)
    (given.folder / MANIFEST).write_text(text)
    (given.folder / CARD).write_text(f"# synthetic_lesions\n\n{(__doc__ or '').strip()}\n")


if __name__ == "__main__":
    main()
