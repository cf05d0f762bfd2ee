"""GA against a plain loop."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from deepunlearn.testing.small import CLASSES, model
from tests.methods.oracles import FORGET, SEED, PlainSGD, close, everything, passes_of, run, shuffled

pytestmark = pytest.mark.usefixtures("double_precision")


def test_ga_climbs_on_the_forget_set_at_a_constant_rate() -> None:
    original = model().double()
    expected, generator = copy.deepcopy(original).train(), torch.Generator().manual_seed(SEED)
    optimizer = PlainSGD(expected, decay=0.01)
    for _ in range(3):
        for x, y in shuffled(everything("forget"), 8, generator):
            optimizer.step(-F.cross_entropy(expected(x), y), 0.02)
    close(run("ga", original, lr=0.02, weight_decay=0.01, batch_size=8, epochs=3), expected)


def test_ga_keeps_climbing_far_beyond_chance() -> None:
    """A forget gradient clamped at some loss, e.g. that of chance, would stop here."""
    x, y = everything("forget")
    losses = []
    for epochs in (10, 20):
        net = run("ga", model().double(), lr=0.05, weight_decay=0.0, batch_size=8, epochs=epochs).train()
        losses.append(F.cross_entropy(net(x), y).item())
    assert losses[0] > 3 * math.log(CLASSES)
    assert losses[1] > 2 * losses[0]


def test_ga_passes_over_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes_of(monkeypatch, "ga", lr=0.01, weight_decay=0.0, batch_size=8, epochs=3) == [FORGET] * 3
