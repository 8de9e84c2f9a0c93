"""Train a demonstration on few images: the program that made the weights of two packages.

    python models/training/few_images.py TASK DATA --start CLASSIFIER/weights.pt --out RUN
        [--epochs 150] [--seed 0] [--resume]

TASK is ``breast_ultrasound`` (96 images to learn from) or ``retinal_oct`` (16); DATA has
``labels.csv``, ``images/`` and, for the former, ``masks/``. Writes ``RUN/weights.pt``. Where DATA
has no validation images, four more networks are taught without a quarter of each class's patients
(``RUN/fold_0/weights.pt`` …): nothing else can be said of a set so small. All are seeded and gone on
with by ``--resume``.

* It begins with the shallow layers of ``brain_tumour_mri``: edges and textures are the same, and so
  few images cannot teach them.
* In half of the batches random grid regions are replaced by a baseline, so that the images that an
  audit makes are on the manifold; where a lesion was covered, the label is pulled towards "no idea"
  by the covered share.
* Borders are overwritten at random: words of the ultrasound machine and the white edges of
  registered OCT stand there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from augmentation import augment, cover, overwrite_borders
from brain_tumour_mri import Images, loss_of, rows_of
from lightbox.domain.model_package import Preprocessing
from lightbox.infer.preprocess import geometry_for, model_input
from network import ShallowResNet
from run import Plan, Run, Weights

BATCH = 24
FOLDS = 4
AVERAGED = 0.04  # share of the newest weights in the moving average: the runs are short


@dataclass(frozen=True)
class Task:
    """What is to be learned, and how an image is brought to the network."""

    classes: tuple[str, ...]
    preprocessing: Preprocessing


TASKS = {
    "breast_ultrasound": Task(
        ("normal", "benign", "malignant"),
        Preprocessing(size=(128, 128), mean=(0.3,), std=(0.25,)),
    ),
    "retinal_oct": Task(
        ("normal", "drusen", "cnv", "dme"),
        Preprocessing(size=(128, 128), mean=(0.2,), std=(0.25,)),
    ),
}


def read(task: Task, data: Path, rows: Sequence[dict[str, str]]) -> Images:
    """Read these images through the product's own preprocessing; what has no mask gets an empty one."""
    images, masks = [], []
    for row in rows:
        pixels = np.asarray(Image.open(data / row["file"]).convert("L"), dtype=np.float32)
        images.append(model_input(task.preprocessing, pixels)[0])
        masks.append(_mask(task, data, row, pixels.shape))
    return Images(
        torch.from_numpy(np.stack(images)),
        torch.from_numpy(np.stack(masks)),
        torch.tensor([task.classes.index(row["label"]) for row in rows]),
        tuple(row["group"] for row in rows),
        tuple(row["file"] for row in rows),
    )


def _mask(task: Task, data: Path, row: dict[str, str], shape: tuple[int, ...]) -> np.ndarray:
    """Return the lesion's mask in the model frame, shape (1, H, W)."""
    geometry = geometry_for(task.preprocessing, (shape[0], shape[1]))
    if not row.get("mask"):
        return np.zeros((1, *geometry.model_shape), np.float32)
    drawn = np.asarray(Image.open(data / row["mask"]).convert("L")) > 0
    rows, columns = (
        np.floor(axis.to_source(np.arange(axis.model) + 0.5)).astype(np.int64)
        for axis in (geometry.rows, geometry.columns)
    )
    inside = np.outer(*((at >= 0) & (at < n) for at, n in ((rows, shape[0]), (columns, shape[1]))))
    nearest = drawn[np.ix_(np.clip(rows, 0, shape[0] - 1), np.clip(columns, 0, shape[1] - 1))]
    return (nearest & inside)[None].astype(np.float32)


def folds_of(rows: Sequence[dict[str, str]]) -> list[int]:
    """Return the fold of each row: patients of a class are dealt out one after the other."""
    patients: dict[str, list[str]] = {}
    for row in rows:
        own = patients.setdefault(row["label"], [])
        if row["group"] not in own:
            own.append(row["group"])
    return [patients[row["label"]].index(row["group"]) % FOLDS for row in rows]


def begun(task: Task, start: Path) -> ShallowResNet:
    """Return a network that begins with the shallow layers of the classifier of brain tumours."""
    net = ShallowResNet(len(task.classes))
    known = torch.load(start, weights_only=True)
    able = {key: known[key] for key in net.state_dict() if not key.startswith("classifier.")}
    net.load_state_dict({**net.state_dict(), **able})
    return net


def network_of(task: Task, weights: Path) -> ShallowResNet:
    """Load a trained network."""
    net = ShallowResNet(len(task.classes))
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.eval()
    return net


def logits_of(net: ShallowResNet, images: Tensor) -> Tensor:
    """Return the logits of all images, shape (N, classes), in fp32."""
    net.eval()
    with torch.no_grad():
        return torch.cat([net(part) for part in images.split(64)])


def train(task: Task, learn: Images, start: Path, plan: Plan, *, resume: bool) -> None:
    """Run one training; each third epoch the score is the accuracy on what it learns from."""
    torch.manual_seed(plan.seed)
    net = begun(task, start)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
    optimiser = torch.optim.AdamW(net.parameters(), 5e-4, weight_decay=0.05)

    def loss(batch: Tensor, rng: np.random.Generator, draw: torch.Generator) -> Tensor:
        return _step(task, net, learn, batch, rng, draw)

    def score(average: Weights) -> str:
        smooth = ShallowResNet(len(task.classes))
        smooth.load_state_dict(average)
        right = logits_of(smooth, learn.images).argmax(1) == learn.labels
        return f"{float(right.float().mean()):.3f}"

    Run(plan, net, optimiser, peak=1e-3).go(loss, score, resume=resume)


def _step(
    task: Task,
    net: ShallowResNet,
    learn: Images,
    batch: Tensor,
    rng: np.random.Generator,
    draw: torch.Generator,
) -> Tensor:
    images, masks = augment(task.preprocessing, learn.images[batch], learn.masks[batch], draw)
    target = functional.one_hot(learn.labels[batch], len(task.classes)).float()
    images = overwrite_borders(images, rng)
    if rng.random() < 0.5:
        before = masks.sum((1, 2, 3))
        images, masks = cover(images, masks, rng)
        seen = torch.where(before > 0, masks.sum((1, 2, 3)) / before.clamp(min=1.0), 1.0)[:, None]
        target = target * seen + (1 - seen) / len(task.classes)
    if rng.random() < 0.5:  # mixup, Zhang et al. 2018, arXiv 1710.09412
        part = float(rng.beta(0.3, 0.3))
        other = torch.randperm(len(batch), generator=draw)
        images = part * images + (1 - part) * images[other]
        masks = part * masks + (1 - part) * masks[other]
        target = part * target + (1 - part) * target[other]
    return loss_of(net, images, masks, target, torch.ones(len(task.classes)))


def main() -> None:
    """Train the network, and those that say how good it is where there is no other way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("data", type=Path)
    parser.add_argument("--start", type=Path, required=True, help="weights.pt of brain_tumour_mri")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    task, rows = TASKS[given.task], rows_of(given.data, "train")
    runs = {given.out: rows}
    if not rows_of(given.data, "val"):
        folds = folds_of(rows)
        for fold in range(FOLDS):
            part = [row for row, own in zip(rows, folds, strict=True) if own != fold]
            runs[given.out / f"fold_{fold}"] = part
    for out, part in runs.items():
        if given.resume and (out / "weights.pt").exists():
            continue
        batch = min(BATCH, len(part))
        plan = Plan(out, given.epochs, given.seed, len(part), batch, averaged=AVERAGED)
        train(task, read(task, given.data, part), given.start, plan, resume=given.resume)


if __name__ == "__main__":
    main()
