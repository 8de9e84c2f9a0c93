"""Finish a run of ``chest_xray_pneumonia.py``: statistics of its average, and its classifier again.

    python models/training/chest_finish.py CHILDREN ADULTS RUN/weights.pt --out FINISHED

Takes minutes, since no feature is learned again:

* The batch normalisation of averaged weights is measured anew (Izmailov et al. 2018,
  arXiv 1803.05407, section 3.2): an average of statistics is not that of the average.
* The linear classifier is fitted again over the features of training images with their borders
  overwritten, near to where it was. Pneumonia weighs twice, since to miss one costs more than a
  false alarm. Beside them stand images of which only the border is left: nobody can know, and no
  alarm is to come of it.

What it is fitted with was chosen on the validation children, among nine settings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from augmentation import augment, overwrite_borders
from border import border_alone
from chest_xray_pneumonia import (
    BATCH,
    CLASSES,
    PREPROCESSING,
    Chests,
    load,
    repeated,
    weights_of,
)
from network import UngatedResNet

MEASURED, FITTED, ALONE = 2400, 1800, 700
"""Training images for the statistics, for the classifier, and of which the border is left."""
PNEUMONIA_WEIGHS = 2.0
NOBODY_KNOWS, ALONE_WEIGHS = (0.6, 0.4), 3.0
"""Target of a border with nothing inside, and its weight."""
NEAR = 1e-4
"""Weight of the squared distance to the classifier as it was."""


def measure_statistics(net: UngatedResNet, learn: Chests) -> None:
    """Measure the batch normalisation anew, over images as the training puts them through."""
    norms = [each for each in net.modules() if isinstance(each, nn.BatchNorm2d)]
    for each in norms:
        each.reset_running_stats()
        each.momentum = None  # the mean of all batches
    draw, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    shown = repeated(learn.adult)
    order = torch.randperm(len(shown), generator=draw)[:MEASURED]
    net.train()
    with torch.no_grad():
        for batch in order.split(BATCH):
            images = learn.images[shown[batch]]
            images, _ = augment(PREPROCESSING, images, images, draw, mirrored=False)
            net(overwrite_borders(images, rng))
    net.eval()


def features_of(net: UngatedResNet, images: Tensor) -> Tensor:
    """Return what the classifier sees, shape (N, features)."""
    with torch.no_grad():
        return torch.cat([net.mixed(part).mean((2, 3)) for part in images.split(BATCH)])


def fit_classifier(net: UngatedResNet, learn: Chests) -> None:
    """Fit the linear classifier again, near to where it was."""
    draw, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    at = torch.randperm(len(learn.labels), generator=draw)[:FITTED]
    seen = features_of(net, overwrite_borders(learn.images[at], rng))
    alone = features_of(net, border_alone(learn.images[at[:ALONE]]))
    target = functional.one_hot(learn.labels[at], len(CLASSES)).float()
    target *= weights_of(learn)[at][:, None] * torch.tensor([1.0, PNEUMONIA_WEIGHS])
    unknown = ALONE_WEIGHS * torch.tensor(NOBODY_KNOWS).expand(len(alone), len(CLASSES))
    features, targets = torch.cat([seen, alone]), torch.cat([target, unknown])
    before = net.classifier.weight.detach().clone()
    parameters = list(net.classifier.parameters())
    optimiser = torch.optim.LBFGS(parameters, max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        told = functional.log_softmax(net.classifier(features), 1)
        value: Tensor = -(told * targets).sum(1).mean()
        value = value + NEAR * ((net.classifier.weight - before) ** 2).sum()
        value.backward()
        return value

    optimiser.step(loss)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("children", type=Path)
    parser.add_argument("adults", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    chests = load(given.children, given.adults, "train")
    network = UngatedResNet(len(CLASSES))
    network.load_state_dict(torch.load(given.weights, weights_only=True))
    measure_statistics(network, chests)
    fit_classifier(network, chests)
    given.out.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), given.out / "weights.pt")
