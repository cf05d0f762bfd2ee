"""How far a model is from another: weights and running statistics apart."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from deepunlearn.stages.unlearning import distances
from deepunlearn.testing.small import model


def test_weights_and_statistics_are_told_apart() -> None:
    original = model()
    still = distances(copy.deepcopy(original), original)
    assert (still["moved"], still["moved_buffers"]) == (0.0, 0.0)
    weights, statistics = copy.deepcopy(original), copy.deepcopy(original)
    with torch.no_grad():
        for parameter in weights.parameters():
            parameter.mul_(1.5)
        for module in statistics.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_var.mul_(1.25)  # type: ignore[union-attr]
                module.num_batches_tracked.add_(1000)  # type: ignore[union-attr]
    found = distances(weights, original)
    assert (found["moved"], found["moved_buffers"]) == (pytest.approx(0.5), 0.0)
    found = distances(statistics, original)
    assert (found["moved"], found["moved_buffers"]) == (0.0, pytest.approx(0.25)), "counters are no statistics"


def test_a_model_without_statistics_has_no_distance_of_them() -> None:
    net = nn.Linear(3, 2)
    assert distances(net, net)["moved_buffers"] is None
    net.register_buffer("shift", torch.zeros(3))
    assert distances(net, net)["moved_buffers"] is None, "nothing is relative to 0"
