"""SFRon against a plain loop: single-sample gradients, weights and averages written out."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.methods.sfron import weighed
from tests.methods.oracles import (
    FEW,
    FORGET,
    SEED,
    PlainSGD,
    close,
    everything,
    execute_on,
    flat,
    gradient_rows,
    in_rounds,
    student_of,
    trained,
)

SFRON = {"lr": 0.02, "weight_decay": 0.05, "batch_size": 8, "steps": 13, "every": 4, "alpha": 3.0, "power": 0.5,
         "threshold": 1.0, "max_norm": 0.7, "beta": 0.6}  # fmt: skip


def salient(original: nn.Module, threshold: float) -> Tensor:
    """Which entries, all in one row, matter as much to D_F as to D_R: squares of single gradients, then means."""
    net = student_of(original).eval()
    forget, retain = (gradient_rows(net, FEW[part]).square().mean(0) for part in ("forget", "retain"))
    return forget >= threshold * retain


def unlearned(original: nn.Module, **values: float) -> nn.Module:
    mask = salient(original, values["threshold"])
    student, generator = student_of(original).train(), torch.Generator().manual_seed(SEED)
    torch.randperm(FORGET, generator=generator)  # the importances
    torch.randperm(len(FEW["retain"]), generator=generator)
    forget, retain = (in_rounds(everything(FEW[part]), int(values["batch_size"]), generator) for part in ("forget", "retain"))  # fmt: skip  # noqa: E501
    optimizer = PlainSGD(student, values["weight_decay"])
    slow = copy.deepcopy(student)
    for step in range(int(values["steps"])):
        fall = (1 + math.cos(math.pi * step / values["steps"])) / 2
        if step % values["every"] == 0:
            x, y = next(forget)
            losses = F.cross_entropy(student(x), y, reduction="none")
            weights = torch.tensor([loss ** -values["power"] for loss in losses.tolist()])
            up = -values["alpha"] * fall * (losses * weights.to(losses) / weights.sum()).sum()
            gradients = torch.autograd.grad(up, list(optimizer.params.values()))
            pieces = mask.split([one.numel() for one in gradients])
            masked = [one * piece.view(one.shape) for one, piece in zip(gradients, pieces, strict=True)]
            length = torch.cat([one.flatten() for one in masked]).norm()
            shorter = min(1.0, values["max_norm"] / (float(length) + 1e-6))
            optimizer.move({n: shorter * one for n, one in zip(optimizer.params, masked, strict=True)}, values["lr"] * fall)  # fmt: skip  # noqa: E501
        x, y = next(retain)
        optimizer.step(F.cross_entropy(student(x), y), values["lr"] * fall)
        if (step + 1) % values["every"] == 0:
            with torch.no_grad():
                for before, after in zip(slow.parameters(), student.parameters(), strict=True):
                    after.copy_((1 - values["beta"]) * before + values["beta"] * after)
            slow = copy.deepcopy(student)
    return student


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("more", [{}, {"beta": 1.0}, {"threshold": 0.0, "power": 0.0, "max_norm": 1e9}])
def test_sfron_repairs_after_weighed_and_masked_ascents(more: dict[str, float]) -> None:
    original = copy.deepcopy(trained()).double()
    values = {**SFRON, **more}
    found, done = execute_on("sfron", original, FEW, **values)
    close(found, unlearned(original, **values))
    assert done.epochs == 10
    assert done.notes["salient"] == pytest.approx(float(salient(original, values["threshold"]).double().mean()))


def test_small_losses_count_more_and_weights_are_fixed() -> None:
    losses = torch.tensor([0.25, 1.0, 4.0], requires_grad=True)
    value = weighed(losses, 0.5)
    value.backward()
    torch.testing.assert_close(losses.grad, torch.tensor([2.0, 1.0, 0.5]) / 3.5)
    assert torch.isfinite(weighed(torch.zeros(3), 0.5))


@pytest.mark.usefixtures("double_precision")
def test_an_ascent_alone_moves_salient_weights_only() -> None:
    """Without a retain gradient, momentum or decay to move the rest: lr so that one step shows."""
    original = copy.deepcopy(trained()).double()
    values = {**SFRON, "steps": 1, "weight_decay": 0.0, "threshold": 1.0, "beta": 1.0}
    strong, weak = (execute_on("sfron", original, FEW, **{**values, "alpha": alpha, "max_norm": 1e9})[0] for alpha in (1e-3, 1e-9))  # fmt: skip  # noqa: E501
    names = [name for name, _ in original.named_parameters()]
    one, other = (flat({name: net.get_parameter(name).detach() for name in names}) for net in (strong, weak))
    assert salient(original, 1.0).any() and not salient(original, 1.0).all()
    assert ((one - other).abs()[salient(original, 1.0)] > 0).float().mean() > 0.5
