"""A small residual network whose gated features say where it looked.

Features at stride 8 (deep features brought back up, joined with shallower ones) are multiplied by a
spatial softmax gate; the gated features are averaged and classified linearly. So Grad-CAM of the
gated features has the closed form of Zhou et al. 2016 (arXiv 1512.04150), and the gate can be
taught with lesion masks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut (He et al. 2016, arXiv 1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, images: Tensor) -> Tensor:
        """Return features, shape (B, outputs, H / stride, W / stride)."""
        inner = functional.relu(self.first_norm(self.first(images)))
        return functional.relu(self.second_norm(self.second(inner)) + self.shortcut(images))


class GatedResNet(nn.Module):
    """Classifier of about 3 million parameters at ``width`` 32."""

    def __init__(self, classes: int, width: int = 32) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(
            nn.Conv2d(1, w, 5, 2, 2, bias=False),
            nn.BatchNorm2d(w),
            nn.ReLU(),
            nn.MaxPool2d(2),
            ResidualBlock(w, w),
            ResidualBlock(w, w),
            ResidualBlock(w, 2 * w, 2),
            ResidualBlock(2 * w, 2 * w),
        )
        self.deep = nn.Sequential(
            ResidualBlock(2 * w, 4 * w, 2),
            ResidualBlock(4 * w, 4 * w),
            ResidualBlock(4 * w, 8 * w, 2),
            ResidualBlock(8 * w, 8 * w),
        )
        self.up = nn.Conv2d(8 * w, 4 * w, 1)
        self.lateral = nn.Conv2d(2 * w, 4 * w, 1)
        self.mix = nn.Sequential(
            nn.Conv2d(4 * w, 4 * w, 3, 1, 1, bias=False), nn.BatchNorm2d(4 * w), nn.ReLU()
        )
        self.gate = nn.Conv2d(4 * w, 1, 1)
        self.dropout = nn.Dropout(0.3)
        self.classifier = nn.Linear(4 * w, classes)

    def mixed(self, images: Tensor) -> Tensor:
        """Return features (B, 4 w, h, w) at stride 8: deep ones joined with shallower ones."""
        shallow = self.stem(images)
        deep = functional.interpolate(
            self.up(self.deep(shallow)), shallow.shape[-2:], mode="bilinear", align_corners=False
        )
        mixed: Tensor = self.mix(self.lateral(shallow) + deep)
        return mixed

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return gated features (B, 4 w, h, w) and the gate's logits (B, 1, h, w)."""
        mixed = self.mixed(images)
        gate = self.gate(mixed)
        share = torch.softmax(gate.float().flatten(1), 1).view_as(gate)
        return share * mixed * (mixed.shape[-1] * mixed.shape[-2]), gate

    def head(self, features: Tensor) -> Tensor:
        """Return logits (B, classes) of gated features."""
        logits: Tensor = self.classifier(self.dropout(features.mean((2, 3))))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, classes) of images (B, 1, H, W)."""
        return self.head(self.features(images)[0])


class UngatedResNet(GatedResNet):
    """The same without a gate, where there are no masks to teach one with."""

    def __init__(self, classes: int, width: int = 32) -> None:
        super().__init__(classes, width)
        del self.gate

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, classes) of images (B, 1, H, W)."""
        return self.head(self.mixed(images))


class ShallowResNet(GatedResNet):
    """The same without its deep layers, a third of a million parameters: for few images."""

    def __init__(self, classes: int, width: int = 32) -> None:
        super().__init__(classes, width)
        del self.deep, self.up

    def mixed(self, images: Tensor) -> Tensor:
        """Return features (B, 4 w, h, w) at stride 8."""
        mixed: Tensor = self.mix(self.lateral(self.stem(images)))
        return mixed
