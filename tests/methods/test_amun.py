"""AMUN against a plain loop: an attack in pixels, image by image, then cross-entropy on everything together."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.core.errors import NotApplicable
from deepunlearn.data.loader import Part
from deepunlearn.testing.small import model
from tests.methods.oracles import (
    DATA,
    FORGET,
    RETAIN,
    SEED,
    PlainSGD,
    check_teacher_stays,
    close,
    everything,
    execute_on,
    passes_of,
    run,
    shuffled,
    student_of,
    trained,
)

AMUN = {
    "lr": 0.02,
    "weight_decay": 0.05,
    "batch_size": 32,
    "epochs": 2,
    "eps": 0.5,
    "attack_steps": 3,
    "with_retain": True,
}
MEAN, STD = 0.5, 0.25  # of testing/small.py


def attacked(net: nn.Module, x: Tensor) -> tuple[Tensor, int, float]:
    """(the adversarial copy of one image, its label, the radius) by pixels in [0, 1]."""

    def logits(shades: Tensor) -> Tensor:
        return net(((shades - MEAN) / STD)[None])

    start = x * STD + MEAN
    before, radius = int(logits(start).argmax()), AMUN["eps"]
    while True:
        shades = start.clone()
        for _ in range(AMUN["attack_steps"]):
            shades = shades.detach().requires_grad_()
            (uphill,) = torch.autograd.grad(F.cross_entropy(logits(shades), torch.tensor([before])), shades)
            change = shades.detach() + radius / 10 * uphill / uphill.norm() - start
            if change.norm() > radius:
                change = change * radius / change.norm()
            shades = (start + change).clamp(0, 1)
        after = int(logits(shades).argmax())
        if after != before:
            return (shades - MEAN) / STD, after, radius
        radius *= 2


def copies(net: nn.Module) -> tuple[Tensor, Tensor, list[float]]:
    images, labels, radii = zip(*(attacked(net, one) for one in everything("forget")[0]), strict=True)
    return torch.stack(images), torch.tensor(labels), list(radii)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return copy.deepcopy(trained()).double()


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("with_retain", [True, False])
def test_amun_trains_on_true_samples_and_on_the_originals_mistakes_beside_them(
    net: nn.Module, with_retain: bool
) -> None:
    images, labels, radii = copies(net)
    assert len(set(radii)) > 1, "some radius is to be doubled"
    own = [everything("retain"), everything("forget")] if with_retain else [everything("forget")]
    x, y = (torch.cat(each) for each in zip(*own, (images, labels), strict=True))
    student, generator = student_of(net).train(), torch.Generator().manual_seed(SEED)
    optimizer = PlainSGD(student, AMUN["weight_decay"])
    for epoch in range(AMUN["epochs"]):
        for batch, target in shuffled((x, y), AMUN["batch_size"], generator):
            optimizer.step(F.cross_entropy(student(batch), target), AMUN["lr"] * 0.1**epoch)
    unlearned, done = execute_on("amun", net, DATA, **{**AMUN, "with_retain": with_retain})
    close(unlearned, student)
    assert done.notes == {"attacked": 1.0}


@pytest.mark.usefixtures("double_precision")
def test_copies_are_images_within_their_radius_that_are_taken_for_something_else(
    monkeypatch: pytest.MonkeyPatch, net: nn.Module
) -> None:
    made: list[tuple[Tensor, Tensor]] = []
    beside = Part.beside
    monkeypatch.setattr(Part, "beside", lambda part, *more: made.append(more) or beside(part, *more))
    run("amun", net, **AMUN)
    images, labels = made[0]
    x, _ = everything("forget")
    shades, before = images * STD + MEAN, x * STD + MEAN
    assert (labels != net(x).argmax(1)).all() and torch.equal(labels, net(images).argmax(1))
    assert shades.min() >= -1e-12 and shades.max() <= 1 + 1e-12
    moves = (shades - before).flatten(1).norm(dim=1)
    assert (moves <= torch.tensor(copies(net)[2]) * (1 + 1e-9)).all() and (moves > 0).all()


def test_a_network_that_predicts_one_class_whatever_it_sees_is_refused() -> None:
    constant = model().requires_grad_(False)
    constant.get_submodule("head").weight.zero_()
    with pytest.raises(NotApplicable, match="finds no adversarial example"):
        run("amun", constant, **AMUN)


def test_the_attacked_network_of_amun_stays_as_it_is() -> None:
    check_teacher_stays("amun", **AMUN)


@pytest.mark.usefixtures("double_precision")
def test_amun_attacks_once_and_trains_on_everything_together(monkeypatch: pytest.MonkeyPatch, net: nn.Module) -> None:
    monkeypatch.setattr("tests.methods.oracles.model", lambda: net)
    assert passes_of(monkeypatch, "amun", **AMUN) == [FORGET, *[RETAIN + 2 * FORGET] * AMUN["epochs"]]
