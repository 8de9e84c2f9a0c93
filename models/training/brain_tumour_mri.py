"""Train the reference model ``brain_tumour_mri``: the program that made its weights.

    python models/training/brain_tumour_mri.py DATA --out RUN [--epochs 60] [--seed 0] [--resume]
        [--permute] [--split image]

DATA is the folder with ``labels.csv``, ``images/`` and ``masks/`` (Cheng, figshare 1512427).
Writes ``RUN/weights.pt`` (moving average of the weights), ``RUN/log.csv`` and a checkpoint after
each epoch. Export and the card's figures: ``package_brain_tumour_mri.py`` beside this file.
``--permute`` trains the control of the card's data randomisation instead. ``--split image`` trains,
for the card alone, on a split by image as published figures have it: then neighbouring slices of a
patient stand on both sides, and what is measured is partly how well patients are recognised.

What is unusual, and why:

* The gate is taught with the lesion masks: a plain network reaches the same accuracy without
  looking at the tumour, and its Grad-CAM misses it.
* In half of the batches random grid regions are replaced by a baseline, so that the images that an
  audit makes are on the manifold. Where the tumour was covered, the label is pulled towards "no
  idea" (uniform) by the covered share: a network that cannot see the tumour should not be sure.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from augmentation import augment, cover
from lightbox.domain.model_package import Preprocessing
from lightbox.infer.preprocess import geometry_for, model_input
from network import GatedResNet
from run import Plan, Run, Weights

CLASSES = ("glioma", "meningioma", "pituitary")
PREPROCESSING = Preprocessing(size=(192, 192), mean=(0.2,), std=(0.2,))
BATCH = 48
GATE_WEIGHT = 0.3
IMAGE_SPLIT_SEED = 0
"""Of the split by image; not the run's, so that every run is measured on the same images."""


@dataclass(frozen=True)
class Images:
    """One split in memory: images and masks (N, 1, H, W), labels (N,), patient groups (N,)."""

    images: Tensor
    masks: Tensor
    labels: Tensor
    groups: tuple[str, ...]
    files: tuple[str, ...]


def rows_of(data: Path, split: str) -> list[dict[str, str]]:
    """Return the rows of ``labels.csv`` of one split."""
    with (data / "labels.csv").open() as stream:
        return [row for row in csv.DictReader(stream) if row["split"] == split]


def rows_by_image(data: Path, split: str) -> list[dict[str, str]]:
    """Return the rows of one split that was drawn by image, as large as the one by patient."""
    learn = rows_of(data, "train")
    every = learn + rows_of(data, "val")
    drawn = [every[at] for at in np.random.default_rng(IMAGE_SPLIT_SEED).permutation(len(every))]
    return drawn[: len(learn)] if split == "train" else drawn[len(learn) :]


SPLITS = {"patient": rows_of, "image": rows_by_image}


def load(data: Path, split: str, by: str = "patient") -> Images:
    """Read one split through the product's own preprocessing."""
    return read(data, SPLITS[by](data, split))


def read(data: Path, rows: Sequence[dict[str, str]]) -> Images:
    """Read the images of these rows."""
    images, masks = [], []
    for row in rows:
        pixels = np.asarray(Image.open(data / row["file"]).convert("L"), dtype=np.float32)
        mask = np.asarray(Image.open(data / row["mask"]).convert("L")) > 0
        images.append(model_input(PREPROCESSING, pixels)[0])
        height, width = geometry_for(PREPROCESSING, pixels.shape).model_shape
        small = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
        masks.append(np.asarray(small)[None].astype(np.float32))
    return Images(
        torch.from_numpy(np.stack(images)),
        torch.from_numpy(np.stack(masks)),
        torch.tensor([CLASSES.index(row["label"]) for row in rows]),
        tuple(row["group"] for row in rows),
        tuple(row["file"] for row in rows),
    )


def loss_of(
    net: GatedResNet, images: Tensor, masks: Tensor, target: Tensor, weight: Tensor
) -> Tensor:
    """Weighted cross-entropy of the class, plus cross-entropy of the gate against the mask."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features, gate = net.features(images.to(memory_format=torch.channels_last))
        logits = net.head(features).float()
    visible = functional.adaptive_avg_pool2d(masks, (gate.shape[-2], gate.shape[-1])).flatten(1)
    mass = visible.sum(1)
    share = (visible + 1e-6) / (visible + 1e-6).sum(1, keepdim=True)
    located = -(share * functional.log_softmax(gate.float().flatten(1), 1)).sum(1)
    where = (located * (mass > 0.5)).sum() / len(images)
    what = -(functional.log_softmax(logits, 1) * target * weight).sum(1).mean()
    return what + GATE_WEIGHT * where


def probabilities(net: GatedResNet, images: Tensor) -> Tensor:
    """Return logits of all images, shape (N, classes), in fp32."""
    net.eval()
    with torch.no_grad():
        return torch.cat([net(part) for part in images.split(64)])


def balanced_accuracy(logits: Tensor, labels: Tensor) -> float:
    """Mean recall over the classes."""
    chosen = logits.argmax(1)
    recalls = [(chosen[labels == c] == c).float().mean() for c in range(len(CLASSES))]
    return float(torch.stack(recalls).mean())


def permuted(images: Images, seed: int) -> Images:
    """Give each image the label and the mask of another: what a network then learns is by rote.

    Maps of a network that was taught so must not look like those of the real one (data
    randomisation, Adebayo et al. 2018, arXiv 1810.03292).
    """
    other = torch.randperm(len(images.labels), generator=torch.Generator().manual_seed(seed))
    return replace(images, masks=images.masks[other], labels=images.labels[other])


def train(
    data: Path,
    out: Path,
    epochs: int,
    seed: int,
    *,
    resume: bool,
    permute: bool = False,
    by: str = "patient",
) -> None:
    """Run the whole training."""
    torch.manual_seed(seed)
    learn, check = load(data, "train", by), load(data, "val", by)
    if permute:
        learn = permuted(learn, seed)
    share = torch.bincount(learn.labels, minlength=len(CLASSES)) / len(learn.labels)
    weight = (1 / share) / (1 / share).mean()
    net = GatedResNet(len(CLASSES))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.05)

    def loss(batch: Tensor, rng: np.random.Generator, draw: torch.Generator) -> Tensor:
        return _step(net, learn, batch, weight, rng, draw)

    def score(average: Weights) -> str:
        smooth = GatedResNet(len(CLASSES))
        smooth.load_state_dict(average)
        return f"{balanced_accuracy(probabilities(smooth, check.images), check.labels):.4f}"

    plan = Plan(out, epochs, seed, len(learn.labels), BATCH)
    Run(plan, net, optimiser, peak=4e-3).go(loss, score, resume=resume)


def _step(
    net: GatedResNet,
    learn: Images,
    batch: Tensor,
    weight: Tensor,
    rng: np.random.Generator,
    draw: torch.Generator,
) -> Tensor:
    images, masks = augment(PREPROCESSING, learn.images[batch], learn.masks[batch], draw)
    target = functional.one_hot(learn.labels[batch], len(CLASSES)).float()
    if rng.random() < 0.5:
        before = masks.sum((1, 2, 3)).clamp(min=1.0)
        images, masks = cover(images, masks, rng)
        seen = (masks.sum((1, 2, 3)) / before)[:, None]
        target = target * seen + (1 - seen) / len(CLASSES)
    if rng.random() < 0.5:  # mixup, Zhang et al. 2018, arXiv 1710.09412
        part = float(rng.beta(0.3, 0.3))
        other = torch.randperm(len(batch), generator=draw)
        images = part * images + (1 - part) * images[other]
        masks = part * masks + (1 - part) * masks[other]
        target = part * target + (1 - part) * target[other]
    return loss_of(net, images, masks, target, weight)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--permute", action="store_true", help="labels and masks of other images")
    parser.add_argument("--split", choices=sorted(SPLITS), default="patient", help="for the card")
    given = parser.parse_args()
    train(
        given.data,
        given.out,
        given.epochs,
        given.seed,
        resume=given.resume,
        permute=given.permute,
        by=given.split,
    )
