"""Tiny networks, and images for them, that several test files use."""

from __future__ import annotations

from collections import OrderedDict
from functools import cache

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.testing.small import CLASSES


class Odd(nn.Module):
    """13 parameter tensors outside normalisation layers, and names that say the opposite of what a layer is."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.norm_scale = nn.Parameter(torch.ones(8, 1, 1))
        norms = (nn.BatchNorm2d(8), nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True), nn.BatchNorm2d(8))
        self.blocks = nn.ModuleList(
            nn.Sequential(OrderedDict(bn=nn.Conv2d(8, 8, 3, padding=1), conv=norm, act=nn.ReLU())) for norm in norms
        )
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.stem(x) * self.norm_scale
        for block in self.blocks:
            maps = block(maps)
        return self.head(maps.mean(dim=(2, 3)))


class Tiny(nn.Module):
    """66 parameters; steep, so that the Fisher matrix counts beside the identity."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.convolution, self.norm = nn.Conv2d(3, 2, 2, stride=8), nn.BatchNorm2d(2)
        self.head = nn.Linear(8, CLASSES)
        nn.init.normal_(self.head.weight, std=3.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.avg_pool2d(self.norm(self.convolution(x)), 2).relu().flatten(1))


def tied() -> nn.Module:
    """Two convolutions with one weight."""
    net = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3))
    net[1].weight = net[0].weight
    return net


@cache
def tiny() -> nn.Module:
    with torch.random.fork_rng():
        return Tiny().eval()


def vit(classes: int = CLASSES) -> nn.Module:
    return timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=2, num_classes=classes
    )


def images(count: int, size: int, classes: int, apart: float, seed: int) -> tuple[Tensor, Tensor]:
    """Noise [count, 3, size, size] that is brighter by `apart` with each class, and its labels."""
    labels = torch.arange(count) % classes
    noise = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
    return noise + apart * labels[:, None, None, None], labels


def outcome(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Output, and gradients of a loss that weighs every output differently, for input and all parameters."""
    x = x.clone().requires_grad_()
    output = layer(x)
    weights = torch.arange(output.numel(), dtype=output.dtype).view(output.shape).cos()
    return [output, *torch.autograd.grad((output * weights).sum(), [x, *layer.parameters()])]
