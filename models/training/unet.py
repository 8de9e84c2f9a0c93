"""A U-Net whose way down is the trained classifier: it already knows where to look.

The classifier's features at stride 8 (deep ones joined with shallower ones, the gate's logits
beside them) are brought up to stride 4 and stride 2, joined there with what the stem saw at that
resolution, and read off as the lesion's logits, interpolated to the input's size (Ronneberger et
al. 2015, arXiv 1505.04597; joined by addition as in Lin et al. 2017, arXiv 1612.03144).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from network import GatedResNet


def _convolved(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
    )


def _up(deep: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(deep, size=like.shape[-2:], mode="bilinear", align_corners=False)


class LesionUNet(nn.Module):
    """Segmentation network of about 3 million parameters at ``width`` 32.

    Parameters
    ----------
    trunk : GatedResNet
        The classifier; its gate and features are used, its last layer is not.
    width : int
        As the trunk's.
    """

    def __init__(self, trunk: GatedResNet, width: int = 32) -> None:
        super().__init__()
        w = width
        self.stem, self.deep = trunk.stem, trunk.deep
        self.deeper, self.lateral, self.mix = trunk.up, trunk.lateral, trunk.mix
        self.gate = trunk.gate
        self.to_middle = nn.Conv2d(4 * w + 1, 2 * w, 1)
        self.middle_lateral = nn.Conv2d(w, 2 * w, 1)
        self.middle = _convolved(2 * w)
        self.to_fine = nn.Conv2d(2 * w, w // 2, 1)
        self.fine_lateral = nn.Conv2d(w, w // 2, 1)
        self.fine = _convolved(w // 2)
        self.lesion = nn.Conv2d(w // 2, 1, 1)

    def decoder(self) -> list[nn.Parameter]:
        """Return the parameters that the classifier did not have."""
        new = (
            self.to_middle,
            self.middle_lateral,
            self.middle,
            self.to_fine,
            self.fine_lateral,
            self.fine,
            self.lesion,
        )
        return [parameter for module in new for parameter in module.parameters()]

    def seen(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of the lesion at stride 2 (B, 1, H/2, W/2), of the gate at stride 8."""
        half = self.stem[:3](images)
        quarter = self.stem[3:6](half)
        shallow = self.stem[6:](quarter)
        mixed = self.mix(self.lateral(shallow) + _up(self.deeper(self.deep(shallow)), shallow))
        gate = self.gate(mixed)
        deep = self.to_middle(torch.cat([mixed, gate], 1))
        middle = self.middle(_up(deep, quarter) + self.middle_lateral(quarter))
        fine = self.fine(_up(self.to_fine(middle), half) + self.fine_lateral(half))
        return self.lesion(fine), gate

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, 1, H, W) of images (B, 1, H, W)."""
        return _up(self.seen(images)[0], images)
