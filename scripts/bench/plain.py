"""A search trial as a plain script does it: what the paper's code is described to do (specs: where the time goes).

PIL transforms in a torch DataLoader over arrays in memory, torchvision's or timm's network as it is, SGD with its
defaults; each split is passed twice, for the accuracies and for the losses of the attack; the retrained model is scored
anew in every trial; autograd stays on.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from deepunlearn.instruments.plain_loop import PLAIN

Loaders = dict[str, DataLoader[tuple[Tensor, Tensor]]]


class Images(Dataset[tuple[Tensor, int]]):
    """Each image is made a PIL image and transformed when it is asked for.

    From an array in memory as torchvision's CIFAR10 does it, or from its file as torchvision's ImageFolder does.
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8] | Sequence[Path],
        labels: npt.NDArray[np.int64],
        mean: Iterable[float],
        std: Iterable[float],
    ) -> None:
        """images: [N, S, S, 3], or N files."""
        self.images, self.labels = images, labels
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.images[index]
        opened = Image.open(image).convert("RGB") if isinstance(image, Path) else Image.fromarray(image)
        return self.transform(opened), int(self.labels[index])


def fine_tune(model: nn.Module, images: Images, epochs: int, batch_size: int, lr: float) -> nn.Module:
    loader = DataLoader(images, batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    model.train()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        schedule.step()
    return model


def accuracies(model: nn.Module, parts: dict[str, Images], batch_size: int) -> dict[str, float]:
    model.eval()
    by_part = {}
    for name, images in parts.items():
        right = sum((model(x).argmax(1) == y).sum().item() for x, y in DataLoader(images, batch_size=batch_size))
        by_part[name] = right / len(images)
    return by_part


def losses(model: nn.Module, parts: dict[str, Images], batch_size: int) -> dict[str, npt.NDArray[np.float32]]:
    model.eval()
    by_part = {}
    for name, images in parts.items():
        batches = DataLoader(images, batch_size=batch_size)
        by_part[name] = np.concatenate(
            [F.cross_entropy(model(x), y, reduction="none").detach().numpy() for x, y in batches]
        )
    return by_part


def attack(by_part: dict[str, npt.NDArray[np.float32]]) -> float:
    """Accuracy of a logistic regression that tells forget from val losses, over 10 folds."""
    size = min(len(by_part["forget"]), len(by_part["val"]))
    generator = np.random.default_rng(0)
    sides = [generator.permutation(by_part[part])[:size] for part in ("forget", "val")]
    labels = np.repeat([1, 0], size)
    scores = cross_val_score(LogisticRegression(), np.concatenate(sides)[:, None], labels, cv=StratifiedKFold(10))
    return float(scores.mean())


@dataclass
class Script:
    """The parts of a trial. weights: files of the original and the retrained model."""

    arch: str
    classes: int
    weights: dict[str, Path]
    parts: dict[str, Images]
    batch_size: int
    lr: float
    threads: int

    def begin(self) -> None:
        torch.set_num_threads(self.threads)
        self.original, self.retrained = self._model("original"), self._model("retrained")
        self.unlearned = self.original

    def _model(self, role: str) -> nn.Module:
        model = PLAIN[self.arch](self.classes)
        model.load_state_dict(load_file(self.weights[role]))
        return model

    def fine_tune(self, epochs: int) -> None:
        self.unlearned = copy.deepcopy(self.original)
        fine_tune(self.unlearned, self.parts["retain"], epochs, self.batch_size, self.lr)

    def score_unlearned(self) -> None:
        accuracies(self.unlearned, self.parts, self.batch_size)
        attack(losses(self.unlearned, self.parts, self.batch_size))

    def retrained_accuracies(self) -> dict[str, float]:
        return accuracies(self.retrained, self.parts, self.batch_size)

    def retrained_losses(self) -> None:
        attack(losses(self.retrained, self.parts, self.batch_size))
