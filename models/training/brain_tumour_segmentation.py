"""Train the reference model ``brain_tumour_segmentation``: the program that made its weights.

    python models/training/brain_tumour_segmentation.py DATA --trunk CLASSIFIER/weights.pt --out RUN
        [--epochs 90] [--seed 1] [--resume]

DATA is the folder of ``brain_tumour_mri.py``, CLASSIFIER one of its runs: the U-Net's way down
starts as the classifier, which was taught on the same training patients. Writes ``RUN/weights.pt``
(moving average of the weights), ``RUN/log.csv`` and a checkpoint after each epoch. Export and the
card's figures: ``package_brain_tumour_segmentation.py`` beside this file.

Images are bent, too. In half of the batches random grid regions are replaced by a baseline, and the
part of the lesion that is covered is no part of the answer: what cannot be seen is not to be drawn.
In half of the others sharpness, shading and the lesions' own contrast change.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from augmentation import augment, cover, vary
from brain_tumour_mri import CLASSES, PREPROCESSING, Images, load
from measures import dice
from network import GatedResNet
from run import Plan, Run, Weights
from unet import LesionUNet

BATCH = 16
GATE_WEIGHT = 0.1
PEAKS = (1e-3, 2e-3)
"""Highest learning rates of the trunk, which knows its trade, and of what is new."""

LEVEL = 0.4  # share of the run until the rates fall
AVERAGED = 0.003  # share of the newest weights in the moving average
BENT = 0.02

_SMOOTH = 16.0  # pixels: an image without a lesion has a slope, too


def new_network(trunk: Weights | None = None) -> LesionUNet:
    """Return the network, its way down as trained; without ``trunk`` for weights to come."""
    classifier = GatedResNet(len(CLASSES))
    if trunk is not None:
        classifier.load_state_dict(trunk)
    return LesionUNet(classifier)


def loss_of(net: LesionUNet, images: Tensor, masks: Tensor) -> Tensor:
    """Dice loss and cross-entropy of the pixels, plus cross-entropy of the gate and the mask.

    Soft Dice per image: Milletari et al. 2016, arXiv 1606.04797.
    """
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half, gate = net.seen(images.to(memory_format=torch.channels_last))
    half = half.float()
    logits = functional.interpolate(
        half, size=masks.shape[-2:], mode="bilinear", align_corners=False
    )
    shown = torch.sigmoid(logits)
    both = (shown * masks).sum((1, 2, 3))
    overlap = (2 * both + _SMOOTH) / (shown.sum((1, 2, 3)) + masks.sum((1, 2, 3)) + _SMOOTH)
    pixels = functional.binary_cross_entropy_with_logits(logits, masks)
    visible = functional.adaptive_avg_pool2d(masks, (gate.shape[-2], gate.shape[-1])).flatten(1)
    share = (visible + 1e-6) / (visible + 1e-6).sum(1, keepdim=True)
    located = -(share * functional.log_softmax(gate.float().flatten(1), 1)).sum(1)
    where = (located * (visible.sum(1) > 0.5)).mean()
    return (1 - overlap).mean() + 2 * pixels + GATE_WEIGHT * where


def lesions(net: LesionUNet, images: Tensor) -> Tensor:
    """Return the logits of all images, shape (N, 1, H, W), in fp32."""
    net.eval()
    with torch.no_grad():
        return torch.cat([net(part) for part in images.split(32)])


def train(data: Path, trunk: Path, out: Path, epochs: int, seed: int, *, resume: bool) -> None:
    """Run the whole training."""
    torch.manual_seed(seed)
    learn, check = load(data, "train"), load(data, "val")
    net = new_network(torch.load(trunk, weights_only=True))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
    new = net.decoder()
    known = {id(parameter) for parameter in new}
    old = [p for p in net.parameters() if p.requires_grad and id(p) not in known]
    optimiser = torch.optim.AdamW([{"params": old}, {"params": new}], weight_decay=0.05)

    def loss(batch: Tensor, rng: np.random.Generator, draw: torch.Generator) -> Tensor:
        return _step(net, learn, batch, rng, draw)

    def score(average: Weights) -> str:
        smooth = new_network()
        smooth.load_state_dict(average)
        found = dice(lesions(smooth, check.images).numpy() > 0, check.masks.numpy() > 0)
        return f"{np.median(found):.4f}"

    plan = Plan(out, epochs, seed, len(learn.labels), BATCH, AVERAGED)
    Run(plan, net, optimiser, list(PEAKS), level=LEVEL).go(loss, score, resume=resume)


def _step(
    net: LesionUNet, learn: Images, batch: Tensor, rng: np.random.Generator, draw: torch.Generator
) -> Tensor:
    images, masks = learn.images[batch], learn.masks[batch]
    images, masks = augment(PREPROCESSING, images, masks, draw, bent=BENT)
    if rng.random() < 0.5:
        images, masks = cover(images, masks, rng)
    elif rng.random() < 0.5:
        images = vary(PREPROCESSING, images, masks, draw)
    return loss_of(net, images, masks)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--trunk", type=Path, required=True, help="weights.pt of the classifier")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    train(given.data, given.trunk, given.out, given.epochs, given.seed, resume=given.resume)
