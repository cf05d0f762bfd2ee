"""The bare PyTorch loop that our own steps and scores are held against."""

from __future__ import annotations

from collections.abc import Callable

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

LR = 0.01


def resnet_of_torchvision(classes: int = 10) -> nn.Module:
    network: nn.Module = resnet18(num_classes=classes)
    return network


def tiny_vit_of_timm(classes: int = 10) -> nn.Module:
    network: nn.Module = timm.create_model("tiny_vit_11m_224", pretrained=False, num_classes=classes)
    return network


PLAIN: dict[str, Callable[[int], nn.Module]] = {"resnet18": resnet_of_torchvision, "tinyvit": tiny_vit_of_timm}


def batch_of(size: int) -> tuple[Tensor, Tensor]:
    """Random 32x32 images, channels last, and labels."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size, 3, 32, 32, generator=generator).to(memory_format=torch.channels_last)
    return x, torch.randint(10, (size,), generator=generator)


def optimiser(model: nn.Module, way: str = "foreach") -> torch.optim.Optimizer:
    """way: foreach or fused, how torch goes over the weights."""
    return torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9, weight_decay=5e-4, **{way: True})


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


class Resident:
    """Normalised float images in memory; batches in a shuffled order are gathered from them, channels last."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        """images: float [N, 3, S, S], labels: int64 [N]."""
        self._rows = images.permute(0, 2, 3, 1).contiguous()  # so that a gathered batch is channels last as it is
        self._labels = labels

    def epoch(self, model: nn.Module, optimizer: torch.optim.Optimizer, batch_size: int) -> None:
        model.train()
        for chosen in torch.randperm(len(self._labels)).split(batch_size):
            self.step(model, optimizer, chosen)

    def step(self, model: nn.Module, optimizer: torch.optim.Optimizer, chosen: Tensor) -> None:
        train_step(model, optimizer, self._rows[chosen].permute(0, 3, 1, 2), self._labels[chosen])
