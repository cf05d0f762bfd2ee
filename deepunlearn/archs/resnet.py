"""ResNet18 (He et al. 2016, arXiv 1512.03385) as torchvision builds it, its ImageNet stem kept at every image size."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock


class ResNet18(ResNet):
    """torchvision's, its first ReLU after the max pooling instead of before it.

    The same function with the same gradients, since a maximum's ReLU is the maximum of the ReLUs, on a quarter of the
    pixels.
    """

    def __init__(self, classes: int) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=classes)

    def _forward_impl(self, x: Tensor) -> Tensor:
        x = self.relu(self.maxpool(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def build(classes: int, image_size: int) -> ResNet18:
    """torchvision's `resnet18`, untrained, same parameters and state-dict keys; any `image_size` (pixels) will do."""
    return ResNet18(classes)
