"""Boundary shrink against a plain loop: an attack in pixels, image by image, then cross-entropy."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.testing.small import parts
from tests.methods.oracles import (
    FORGET,
    SEED,
    PlainSGD,
    check_teacher_stays,
    close,
    everything,
    execute_on,
    passes_of,
    shuffled,
    student_of,
    trained,
)

SHRINK = {"lr": 0.02, "weight_decay": 0.05, "batch_size": 8, "epochs": 2, "eps": 0.1}
MEAN, STD = 0.5, 0.25  # of testing/small.py


def neighbour(net: nn.Module, x: Tensor, label: int, eps: float) -> tuple[int, bool]:
    """(the class on the other side, whether it is the prediction there) for one image [3, 32, 32]."""
    shades = (x * STD + MEAN)[None].clone().requires_grad_()
    loss = F.cross_entropy(net((shades - MEAN) / STD), torch.tensor([label]))
    (gradient,) = torch.autograd.grad(loss, shades)
    attacked = (shades.detach() + eps * gradient.sign()).clamp(0, 1)
    first, second = net((attacked - MEAN) / STD)[0].argsort(descending=True)[:2].tolist()
    return (second, False) if first == label else (first, True)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("eps", [0.1, 0.01])
def test_forget_samples_are_taught_as_their_neighbours(eps: float) -> None:
    original = copy.deepcopy(trained()).double()
    x, y = everything("forget")
    found = [neighbour(original, one, label, eps) for one, label in zip(x, y.tolist(), strict=True)]
    labels = torch.tensor([label for label, _ in found])
    student, generator = student_of(original).train(), torch.Generator().manual_seed(SEED)
    optimizer = PlainSGD(student, SHRINK["weight_decay"])
    for _ in range(SHRINK["epochs"]):
        for images, wrong in shuffled((x, labels), SHRINK["batch_size"], generator):
            optimizer.step(F.cross_entropy(student(images), wrong), SHRINK["lr"])
    unlearned, done = execute_on("boundary_shrink", original, parts(), **{**SHRINK, "eps": eps})
    close(unlearned, student)
    assert (labels != y).all(), "a sample keeps its own label"
    crossed = sum(crossed for _, crossed in found)
    assert done.notes["crossed"] == crossed / FORGET
    assert 0 < crossed < FORGET, "both rules for the label are to be seen"


def test_the_attacked_network_of_boundary_shrink_stays_as_it_is() -> None:
    check_teacher_stays("boundary_shrink", **SHRINK)


@pytest.mark.usefixtures("double_precision")
def test_boundary_shrink_attacks_once_and_passes_over_the_forget_set_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes_of(monkeypatch, "boundary_shrink", **SHRINK) == [FORGET] * (1 + SHRINK["epochs"])
