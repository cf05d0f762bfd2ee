"""Our networks against those of torchvision and timm, same weights and same function.

A: as torchvision or timm builds it; B: ours. One step on a batch of 32x32 images in memory, channels last, fp32, fused
SGD with momentum for both; A / B is how many times as fast ours is.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from common import Options, Row, Taken, Task, turns
from loops import optimiser, resnet_of_torchvision, tiny_vit_of_timm, train_step
from torch import Tensor, nn

from deepunlearn.archs import resnet, tiny_vit


@dataclass(frozen=True)
class Pair:
    """Two networks with the same weights and function."""

    title: str
    maker: str
    plain: nn.Module
    ours: nn.Module

    def copies(self) -> tuple[nn.Module, nn.Module]:
        """(plain, ours), channels last."""
        plain, ours = (copy.deepcopy(model).to(memory_format=torch.channels_last) for model in (self.plain, self.ours))
        plain.load_state_dict(ours.state_dict())
        return plain, ours


def rows(options: Options) -> list[Row]:
    return [*_tiny_vit(options), *_resnet(options)]


def _tiny_vit(options: Options) -> list[Row]:
    pair = Pair("TinyViT", "timm", tiny_vit_of_timm(), tiny_vit.build(10, 32))
    counts = {"ours": options.size(5, 1)}  # as many as take about as long as one of timm's
    found = []
    for full, repeats in ((256, 3), (64, 5)):
        size, rounds = options.size(full, full // 32), options.size(repeats, 1)
        found.append(_training(pair, size, rounds, counts, goal=">= 15"))
        found.append(_evaluation(pair, size, rounds, counts))
    return found


def _resnet(options: Options) -> list[Row]:
    pair = Pair("ResNet18", "torchvision", resnet_of_torchvision(), resnet.build(10, 32))
    found = []
    for full in (256, 64):
        size, repeats, steps = options.size(full, full // 16), options.size(9, 1), options.size(1024 // full, 1)
        found.append(_training(pair, size, repeats, dict.fromkeys(("plain", "ours"), steps), goal=">= 1.35"))
        found.append(_evaluation(pair, size, repeats, dict.fromkeys(("plain", "ours"), 3 * steps)))
    return found


def _training(pair: Pair, size: int, repeats: int, counts: dict[str, int], *, goal: str) -> Row:
    x, y = _batch(size)
    plain, ours = pair.copies()
    _check_equal(plain, ours, x)
    tasks = {"plain": _step(plain, x, y), "ours": _step(ours, x, y)}
    return _row(f"{pair.title}, training step, batch {size}", pair, size, turns(repeats, tasks, counts), goal)


def _evaluation(pair: Pair, size: int, repeats: int, counts: dict[str, int]) -> Row:
    x, _ = _batch(size)
    plain, ours = (model.eval() for model in pair.copies())
    with torch.inference_mode():
        taken = turns(repeats, {"plain": lambda: plain(x), "ours": lambda: ours(x)}, counts)
    return _row(f"{pair.title}, evaluation, batch {size}", pair, size, taken)


def _row(measure: str, pair: Pair, size: int, taken: dict[str, list[float]], goal: str = "") -> Row:
    return Row(measure, Taken(pair.maker, taken["plain"], size), Taken("ours", taken["ours"], size), goal)


def _batch(size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size, 3, 32, 32, generator=generator).to(memory_format=torch.channels_last)
    return x, torch.randint(10, (size,), generator=generator)


@torch.inference_mode()
def _check_equal(plain: nn.Module, ours: nn.Module, x: Tensor) -> None:
    torch.testing.assert_close(plain.eval()(x), ours.eval()(x), rtol=1e-3, atol=1e-4)


def _step(model: nn.Module, x: Tensor, y: Tensor) -> Task:
    model.train()
    optimizer = optimiser(model, "fused")
    return lambda: train_step(model, optimizer, x, y)
