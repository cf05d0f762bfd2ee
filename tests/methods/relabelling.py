"""What the oracles of the methods that draw labels share (SRL, label flipping, SalUn)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from deepunlearn.methods.base import Problem
from deepunlearn.testing.small import CLASSES, model
from tests.methods.oracles import FORGET, RETAIN, SEED, Batch, everything, run

RELABELLED = {"lr": 0.05, "weight_decay": 0.01, "batch_size": 32}


def drawn_labels(generator: torch.Generator, wrong: bool) -> Tensor:
    """Uniform over all classes; or over the wrong ones, by counting up from the true one."""
    if not wrong:
        return torch.randint(CLASSES, (FORGET,), generator=generator)
    up = torch.randint(1, CLASSES, (FORGET,), generator=generator)
    return torch.tensor(
        [(label + step) % CLASSES for label, step in zip(everything("forget")[1].tolist(), up.tolist(), strict=True)]
    )


def joined(labels: Tensor) -> Batch:
    (x, y), (forget_x, _) = everything("retain"), everything("forget")
    return torch.cat([x, forget_x]), torch.cat([y, labels])


def seen_labels(
    monkeypatch: pytest.MonkeyPatch, name: str, epochs: int, seed: int = SEED, **params: float
) -> tuple[Tensor, Tensor]:
    """The labels the loss got, for each sample in each epoch: retain [E, |R|] and forget [E, |F|].

    Samples are recognised by their pixels; the loss is replaced by a constant, so that many epochs take little.
    """
    index_of = {row.numpy().tobytes(): index for index, row in enumerate(joined(everything("forget")[1])[0])}
    assert len(index_of) == RETAIN + FORGET
    seen: list[tuple[int, int]] = []

    def recording(self: Problem, x: Tensor, y: Tensor) -> Tensor:
        seen.extend((index_of[row.contiguous().numpy().tobytes()], int(label)) for row, label in zip(x, y, strict=True))
        return 0 * sum((parameter.sum() for parameter in self.model.parameters()), torch.zeros(()))

    monkeypatch.setattr(Problem, "cross_entropy", recording)
    run(name, model().double(), seed=seed, epochs=epochs, **params)
    table = torch.full((epochs, RETAIN + FORGET), -1)
    for count, (index, label) in enumerate(seen):
        table[count // (RETAIN + FORGET), index] = label
    assert len(seen) == table.numel() and (table >= 0).all(), "some sample was not seen exactly once in each epoch"
    return table[:, :RETAIN], table[:, RETAIN:]


def chi_squared(labels: Tensor, allowed: range) -> float:
    """Against equal frequency of all `allowed` values."""
    expected = labels.numel() / len(allowed)
    return sum((int((labels == value).sum()) - expected) ** 2 / expected for value in allowed)


def check_labels_are_drawn_each_epoch(
    monkeypatch: pytest.MonkeyPatch, name: str, choices: int, **params: float
) -> None:
    """Drawn once, or from the same seed in every epoch, rows would repeat."""
    retain, forget = seen_labels(monkeypatch, name, 40, **params)
    assert torch.equal(retain, everything("retain")[1].expand_as(retain)), "a retain label was changed"
    assert len({tuple(row.tolist()) for row in forget}) == len(forget)
    for lag in (1, 2, 5):
        repeats = (forget[lag:] == forget[:-lag]).float()
        spread = math.sqrt((choices - 1) / choices**2 / repeats.numel())
        assert abs(repeats.mean().item() - 1 / choices) < 4 * spread, f"epochs {lag} apart depend on each other"


def check_labels_are_uniform(monkeypatch: pytest.MonkeyPatch, name: str, **params: float) -> None:
    forget, true = seen_labels(monkeypatch, name, 40, **params)[1], everything("forget")[1]
    for label in range(CLASSES):
        assert chi_squared(forget[:, true == label], range(CLASSES)) < 16.3  # 3 degrees of freedom, p = 0.001
