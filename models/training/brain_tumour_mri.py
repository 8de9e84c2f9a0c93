"""Train the reference model ``brain_tumour_mri``: the program that made its weights.

    python models/training/brain_tumour_mri.py DATA --out RUN [--epochs 60] [--seed 0] [--resume] [--permute]

DATA is the folder with ``labels.csv``, ``images/`` and ``masks/`` (Cheng, figshare 1512427).
Writes ``RUN/weights.pt`` (moving average of the weights), ``RUN/log.csv`` and a checkpoint after
each epoch. Export and the card's figures: ``package_brain_tumour_mri.py`` beside this file.
``--permute`` trains the control of the card's data randomisation instead.

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
from rich.progress import Progress, TextColumn
from torch import Tensor
from torch.nn import functional

from lightbox.domain.model_package import Preprocessing
from lightbox.infer.preprocess import geometry_for, model_input
from network import GatedResNet

CLASSES = ("glioma", "meningioma", "pituitary")
PREPROCESSING = Preprocessing(size=(192, 192), mean=(0.2,), std=(0.2,))
BATCH = 48
GATE_WEIGHT = 0.3


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


def load(data: Path, split: str) -> Images:
    """Read one split through the product's own preprocessing."""
    return read(data, rows_of(data, split))


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


def augment(images: Tensor, masks: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rotate, scale, mirror, shift, and change contrast; image and mask move together."""
    n = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=draw)

    angle, scale = uniform(-0.35, 0.35), uniform(0.825, 1.175)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0] = torch.cos(angle) * scale * mirror
    matrix[:, 0, 1] = -torch.sin(angle) * scale
    matrix[:, 1, 0] = torch.sin(angle) * scale * mirror
    matrix[:, 1, 1] = torch.cos(angle) * scale
    matrix[:, :, 2] = uniform(-0.1, 0.1, 2)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    unit = images * PREPROCESSING.std[0] + PREPROCESSING.mean[0]
    unit = functional.grid_sample(unit, grid, align_corners=False)
    masks = functional.grid_sample(masks, grid, align_corners=False)
    unit = unit * uniform(0.75, 1.25, 1, 1, 1) + uniform(-0.075, 0.075, 1, 1, 1)
    unit = unit.clamp(1e-4, 1.0) ** uniform(0.7, 1.3, 1, 1, 1)
    unit = unit + 0.02 * torch.randn(unit.shape, generator=draw)
    return (unit - PREPROCESSING.mean[0]) / PREPROCESSING.std[0], masks


def baseline(images: Tensor, kind: int) -> Tensor:
    """Return what stands where a region is absent: a blur (6 or 12 cells a side) or the mean."""
    if kind == 0:
        return images.mean((2, 3), keepdim=True).expand_as(images)
    cells = functional.adaptive_avg_pool2d(images, 6 if kind == 1 else 12)
    return functional.interpolate(cells, images.shape[-2:], mode="bilinear", align_corners=False)


def cover(images: Tensor, masks: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Replace random grid regions by a baseline; return the images and the masks still visible."""
    n = len(images)
    rows, columns = [(4, 3), (4, 4), (7, 7)][rng.integers(3)]
    chance = torch.from_numpy(rng.uniform(0.0, 1.0, (n, 1, 1, 1)))
    keep = (torch.from_numpy(rng.random((n, 1, rows, columns))) < chance).float()
    keep = functional.interpolate(keep, list(images.shape[-2:]), mode="nearest")
    covered = images * keep + baseline(images, int(rng.integers(3))) * (1 - keep)
    return covered, masks * keep


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
    data: Path, out: Path, epochs: int, seed: int, *, resume: bool, permute: bool = False
) -> None:
    """Run the whole training; one line per epoch goes to ``log.csv``."""
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    learn, check = load(data, "train"), load(data, "val")
    if permute:
        learn = permuted(learn, seed)
    share = torch.bincount(learn.labels, minlength=len(CLASSES)) / len(learn.labels)
    weight = (1 / share) / (1 / share).mean()
    net = GatedResNet(len(CLASSES))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
    average = {key: value.clone() for key, value in net.state_dict().items()}
    per_epoch = len(learn.labels) // BATCH
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 4e-3, total_steps=epochs * per_epoch, pct_start=0.2
    )
    first = 0
    checkpoint = out / "checkpoint.pt"
    if resume and checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(saved["net"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        average, first = saved["average"], saved["epoch"]
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[note]}"))
    with Progress(*columns) as progress:
        bar = progress.add_task("epochs", total=epochs, completed=first, note="")
        for epoch in range(first, epochs):
            # A generator per epoch: a resumed run draws what an unbroken one would have drawn.
            rng = np.random.default_rng((seed, epoch))
            draw = torch.Generator().manual_seed(seed * 100_003 + epoch)
            net.train()
            loss = torch.zeros(())
            order = torch.randperm(len(learn.labels), generator=draw)
            for batch in order[: per_epoch * BATCH].split(BATCH):
                loss = _step(net, learn, batch, weight, rng, draw)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                _average(average, net)
            note = _checked(average, check, epoch, float(loss.detach()), out)
            progress.update(bar, advance=1, note=note)
            torch.save(
                {
                    "net": net.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "average": average,
                    "epoch": epoch + 1,
                },
                checkpoint,
            )
    torch.save(average, out / "weights.pt")


def _step(
    net: GatedResNet,
    learn: Images,
    batch: Tensor,
    weight: Tensor,
    rng: np.random.Generator,
    draw: torch.Generator,
) -> Tensor:
    images, masks = augment(learn.images[batch], learn.masks[batch], draw)
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


def _average(average: dict[str, Tensor], net: GatedResNet) -> None:
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if value.dtype.is_floating_point:
                average[key].lerp_(value, 0.01)
            else:
                average[key] = value.clone()


def _checked(
    average: dict[str, Tensor],
    check: Images,
    epoch: int,
    loss: float,
    out: Path,
) -> str:
    """Balanced accuracy of the averaged weights, every third epoch (it costs seconds)."""
    accuracy = ""
    if epoch % 3 == 2:
        smooth = GatedResNet(len(CLASSES))
        smooth.load_state_dict(average)
        accuracy = f"{balanced_accuracy(probabilities(smooth, check.images), check.labels):.4f}"
    with (out / "log.csv").open("a") as stream:
        stream.write(f"{epoch + 1},{loss:.4f},{accuracy}\n")
    return f"loss {loss:.3f} balanced accuracy {accuracy or '…'}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--permute", action="store_true", help="labels and masks of other images")
    given = parser.parse_args()
    train(
        given.data,
        given.out,
        given.epochs,
        given.seed,
        resume=given.resume,
        permute=given.permute,
    )
