"""Train the reference model ``chest_xray_pneumonia``: the program that made its weights.

    python models/training/chest_xray_pneumonia.py CHILDREN ADULTS --out RUN
        [--start CLASSIFIER/weights.pt] [--epochs 24] [--seed 0] [--borders-kept] [--resume]

CHILDREN and ADULTS are folders with ``labels.csv`` and ``images/`` (Kermany, Mendeley
rscbjbr9sj; NIH ChestX-ray14). Writes ``RUN/weights.pt`` (moving average of the weights),
``RUN/log.csv`` and a checkpoint after each epoch. ``--borders-kept`` trains the card's control:
the same without the first of what follows. ``chest_finish.py`` makes of ``RUN/weights.pt`` what is
shipped.

What is unusual, and why:

* Borders are overwritten in most of the images: of these children, the border alone tells normal
  from pneumonia in 86 of 100 (markers, collimation, exposure). There are no masks to teach with.
* Both populations: a network taught with children only guesses on adults. Within a population
  both classes weigh the same, so that to know the population is no evidence.
* In half of the batches random grid regions are replaced by a baseline, so that the images that an
  audit makes are on the manifold.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from augmentation import augment, cover, overwrite_borders
from brain_tumour_mri import rows_of
from lightbox.domain.model_package import Preprocessing
from lightbox.infer.preprocess import model_input
from network import UngatedResNet
from run import Plan, Run, Weights

CLASSES = ("normal", "pneumonia")
PREPROCESSING = Preprocessing(size=(128, 128), fit="stretch", mean=(0.45,), std=(0.25,))
BATCH = 48
ADULTS_REPEATED = 2
"""How often an adult is seen in an epoch: there are six children to each."""


@dataclass(frozen=True)
class Chests:
    """Images (N, 1, H, W), labels (N,), whether each is of an adult (N,), patient groups."""

    images: Tensor
    labels: Tensor
    adult: Tensor
    groups: tuple[str, ...]
    files: tuple[str, ...]

    def part(self, chosen: Tensor) -> Chests:
        """Return those for which ``chosen`` (N,) is True."""
        at = [int(i) for i in chosen.nonzero().flatten()]
        return Chests(
            self.images[chosen],
            self.labels[chosen],
            self.adult[chosen],
            tuple(self.groups[i] for i in at),
            tuple(self.files[i] for i in at),
        )


@dataclass(frozen=True)
class Wanted:
    """What to train, and out of what: the options of the command."""

    children: Path
    adults: Path
    out: Path
    start: Path | None
    epochs: int
    seed: int
    borders_kept: bool
    resume: bool


def load(children: Path, adults: Path, split: str) -> Chests:
    """Read one split of both populations through the product's own preprocessing."""
    rows = [(children, row, False) for row in rows_of(children, split)]
    rows += [(adults, row, True) for row in rows_of(adults, split)]
    images = [read(folder / row["file"]) for folder, row, _ in rows]
    return Chests(
        torch.from_numpy(np.concatenate(images)),
        torch.tensor([int("pneumonia" in row["label"]) for _, row, _ in rows]),
        torch.tensor([adult for *_, adult in rows]),
        tuple(row["group"] for _, row, _ in rows),
        tuple(str(folder / row["file"]) for folder, row, _ in rows),
    )


def read(file: Path) -> np.ndarray:
    """Return the network's input, shape (1, 1, H, W)."""
    pixels = np.asarray(Image.open(file).convert("L"), dtype=np.float32)
    return model_input(PREPROCESSING, pixels)


def weights_of(chests: Chests) -> Tensor:
    """Return the weight of each image, mean 1: a population's classes weigh the same."""
    weight = torch.zeros(len(chests.labels))
    for adult in (False, True):
        of = chests.adult == adult
        for label in range(len(CLASSES)):
            cell = of & (chests.labels == label)
            weight[cell] = of.sum() / (len(CLASSES) * cell.sum())
    return weight


def logits_of(net: UngatedResNet, images: Tensor) -> Tensor:
    """Return the logits of all images, shape (N, classes), in fp32."""
    net.eval()
    with torch.no_grad():
        return torch.cat([net(part) for part in images.split(64)])


def balanced_accuracy(logits: Tensor, labels: Tensor) -> float:
    """Mean recall over the classes."""
    chosen = logits.argmax(1)
    recalls = [(chosen[labels == c] == c).float().mean() for c in range(len(CLASSES))]
    return float(torch.stack(recalls).mean())


def repeated(adult: Tensor) -> Tensor:
    """Return the indices of an epoch's images."""
    every = torch.arange(len(adult))
    return torch.cat([every, *[every[adult]] * (ADULTS_REPEATED - 1)])


def train(wanted: Wanted) -> None:
    """Run the whole training."""
    torch.manual_seed(wanted.seed)
    learn, check = (load(wanted.children, wanted.adults, split) for split in ("train", "val"))
    shown, weight = repeated(learn.adult), weights_of(learn)
    net = UngatedResNet(len(CLASSES))
    if wanted.start is not None:
        known = torch.load(wanted.start, weights_only=True)
        able = {k: v for k, v in known.items() if not k.startswith(("gate.", "classifier."))}
        net.load_state_dict({**net.state_dict(), **able})
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.05)

    def loss(batch: Tensor, rng: np.random.Generator, draw: torch.Generator) -> Tensor:
        at = shown[batch]
        images = learn.images[at]
        images, _ = augment(PREPROCESSING, images, images, draw, mirrored=False)
        if not wanted.borders_kept:
            images = overwrite_borders(images, rng)
        return _step(net, images, learn.labels[at], weight[at][:, None], rng, draw)

    def score(average: Weights) -> str:
        smooth = UngatedResNet(len(CLASSES))
        smooth.load_state_dict(average)
        logits = logits_of(smooth, check.images)
        return " ".join(
            f"{balanced_accuracy(logits[of], check.labels[of]):.4f}"
            for of in (~check.adult, check.adult)
        )

    plan = Plan(wanted.out, wanted.epochs, wanted.seed, len(shown), BATCH)
    Run(plan, net, optimiser, peak=4e-3).go(loss, score, resume=wanted.resume)


def _step(
    net: UngatedResNet,
    images: Tensor,
    labels: Tensor,
    weight: Tensor,
    rng: np.random.Generator,
    draw: torch.Generator,
) -> Tensor:
    target = functional.one_hot(labels, len(CLASSES)).float() * weight
    if rng.random() < 0.5:
        images, _ = cover(images, images, rng)
    if rng.random() < 0.5:  # mixup, Zhang et al. 2018, arXiv 1710.09412
        part = float(rng.beta(0.3, 0.3))
        other = torch.randperm(len(labels), generator=draw)
        images = part * images + (1 - part) * images[other]
        target = part * target + (1 - part) * target[other]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = net(images.to(memory_format=torch.channels_last)).float()
    return -(functional.log_softmax(logits, 1) * target).sum(1).mean()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("children", type=Path)
    parser.add_argument("adults", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="weights.pt of brain_tumour_mri to begin with")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--borders-kept", action="store_true", help="the card's control")
    parser.add_argument("--resume", action="store_true")
    train(Wanted(**vars(parser.parse_args())))
