"""L1-sparse fine-tuning against a plain loop."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.methods.oracles import (
    RETAIN,
    SEED,
    PlainSGD,
    close,
    everything,
    passes_of,
    run,
    shuffled,
    student_of,
    trained,
)

pytestmark = pytest.mark.usefixtures("double_precision")

PARAMS = {"lr": 0.02, "gamma": 0.01, "batch_size": 32, "epochs": 3}


def double() -> nn.Module:
    return student_of(trained()).double()


def test_l1sparse_penalises_less_in_each_epoch() -> None:
    expected, generator = double().train(), torch.Generator().manual_seed(SEED)
    optimizer = PlainSGD(expected, 0.0)
    for gamma in (0.01, 0.01 * 2 / 3, 0.01 / 3):
        for x, y in shuffled(everything("retain"), 32, generator):
            absolute = sum((weight * weight.detach().sign()).sum() for weight in expected.parameters())
            optimizer.step(F.cross_entropy(expected(x), y) + gamma * absolute, 0.02)
    close(run("l1sparse", double(), **PARAMS), expected)


def norm(net: nn.Module) -> float:
    return sum(float(p.detach().abs().sum()) for p in net.parameters())


def test_without_penalty_it_is_fine_tuning_at_a_constant_rate_and_with_one_weights_shrink() -> None:
    plain, sparse = (run("l1sparse", double(), **{**PARAMS, "gamma": gamma}) for gamma in (0.0, 0.01))
    expected, generator = double().train(), torch.Generator().manual_seed(SEED)
    optimizer = PlainSGD(expected, 0.0)
    for _ in range(3):
        for x, y in shuffled(everything("retain"), 32, generator):
            optimizer.step(F.cross_entropy(expected(x), y), 0.02)
    close(plain, expected)
    assert norm(sparse) < 0.9 * norm(plain)


def test_l1sparse_passes_over_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes_of(monkeypatch, "l1sparse", **PARAMS) == [RETAIN] * 3
