"""Boundary expand against a network whose head really has a class more."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.core.errors import NotApplicable
from deepunlearn.methods.base import Problem
from deepunlearn.runtime import global_seed
from deepunlearn.testing.small import CLASSES, model, problem
from tests.methods.oracles import FORGET, SEED, PlainSGD, close, everything, passes_of, run, shuffled, trained

EXPAND = {"lr": 0.02, "weight_decay": 0.05, "batch_size": 8, "epochs": 2}


def expanded(original: nn.Module) -> nn.Module:
    """`original` with a head of K + 1 classes: its own rows and one newly drawn."""
    net = copy.deepcopy(original)
    torch.manual_seed(global_seed(SEED))
    row, head = nn.Linear(net.head.in_features, 1).double(), net.head
    net.head = nn.Linear(head.in_features, CLASSES + 1).double()
    with torch.no_grad():
        net.head.weight.copy_(torch.cat([head.weight, row.weight]))
        net.head.bias.copy_(torch.cat([head.bias, row.bias]))
    return net.requires_grad_(True)


@pytest.mark.usefixtures("double_precision")
def test_it_is_training_with_a_class_more_whose_row_is_dropped() -> None:
    original = copy.deepcopy(trained()).double()
    net, generator = expanded(original).train(), torch.Generator().manual_seed(SEED)
    optimizer = PlainSGD(net, EXPAND["weight_decay"])
    for _ in range(EXPAND["epochs"]):
        for x, _ in shuffled(everything("forget"), EXPAND["batch_size"], generator):
            optimizer.step(F.cross_entropy(net(x), torch.full((len(x),), CLASSES)), EXPAND["lr"])
    expected = net.state_dict()
    expected["head.weight"], expected["head.bias"] = expected["head.weight"][:-1], expected["head.bias"][:-1]
    close(run("boundary_expand", original, **EXPAND), expected)


def test_nothing_of_the_row_is_left() -> None:
    original = trained()
    unlearned = run("boundary_expand", original, **EXPAND)
    assert unlearned(everything("forget")[0]).shape[1] == CLASSES
    assert [(name, p.shape) for name, p in unlearned.named_parameters()] == [
        (name, p.shape) for name, p in original.named_parameters()
    ]
    assert all(not module._forward_pre_hooks and not module._forward_hooks for module in unlearned.modules())


def test_features_are_what_the_head_is_given() -> None:
    with problem(trained()) as given:
        given.model.eval()
        x, _ = everything("forget")
        logits, features = given.with_features(x)
        torch.testing.assert_close(given.anatomy.head(features), logits)
        torch.testing.assert_close(logits, given.model(x))
        row = given.row_beside_head()
        assert row.weight.shape == (1, features.shape[1]) and row not in set(given.model.modules())


@pytest.mark.parametrize("times", [0, 2])
def test_a_head_that_is_not_given_a_row_per_sample_once_is_refused(times: int) -> None:
    with problem(model().eval()) as given:
        refused_with(given, times)


def refused_with(given: Problem, times: int) -> None:
    """A forward pass that goes through the head `times` times."""
    head, classes = given.anatomy.head, given.classes

    def forward(x: Tensor) -> Tensor:
        flat = x.flatten(1)[:, : head.in_features]
        return sum((head(flat) for _ in range(times)), torch.zeros(len(x), classes))

    given.model.forward = forward
    with pytest.raises(NotApplicable, match="not given one row of features for each sample"):
        given.row_beside_head()


@pytest.mark.usefixtures("double_precision")
def test_boundary_expand_passes_over_the_forget_set_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes_of(monkeypatch, "boundary_expand", **EXPAND)[-2:] == [FORGET] * EXPAND["epochs"]
