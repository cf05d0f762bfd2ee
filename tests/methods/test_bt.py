"""BT against a plain loop, one sample's divergence at a time."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from deepunlearn.core.batches import training_batches
from deepunlearn.methods.base import Problem
from deepunlearn.testing.small import equal_states, model, parts, runtime, state
from tests.methods.oracles import (
    RETAIN,
    SEED,
    PlainAdam,
    check_teacher_stays,
    close,
    divergence,
    everything,
    execute_on,
    run,
    small_now,
    student_of,
    trained,
)

BT = {"lr": 1e-3, "weight_decay": 0.05, "batch_size": 32, "epochs": 2, "temperature": 2.0, "retain_fraction": 0.5}


def bt_student(original: nn.Module, fraction: float, batch_size: int = 32, epochs: int = 2) -> nn.Module:
    """The student after bad teaching, one sample's divergence at a time, at BT's other values."""
    generator = torch.Generator().manual_seed(SEED)
    with runtime().seeded(SEED):
        bad = small_now().eval()
    (retain_x, _), (forget_x, _) = everything("retain"), everything("forget")
    chosen = torch.randperm(RETAIN, generator=generator)[: round(fraction * RETAIN)]
    x = torch.cat([retain_x[chosen], forget_x])
    with torch.no_grad():
        targets = torch.cat([copy.deepcopy(original).eval()(retain_x[chosen]), bad(forget_x)])
    student = student_of(original).train()
    optimizer = PlainAdam(student, decay=0.05)
    for _ in range(epochs):
        for index in torch.randperm(len(x), generator=generator).split(training_batches(len(x), batch_size)):
            logits = student(x[index])
            losses = [divergence(targets[i][None], z[None], 2.0) for i, z in zip(index, logits, strict=True)]
            optimizer.step(torch.stack(losses).sum() / len(index), 1e-3)
    return student


@pytest.mark.parametrize("fraction", [0.5, 1.0])
def test_bt_learns_from_one_teacher_per_membership(fraction: float) -> None:
    close(run("bt", trained(), **{**BT, "retain_fraction": fraction}), bt_student(trained(), fraction), atol=2e-5)


@pytest.mark.parametrize("arch", ["tinyvit", "resnet18"])
def test_bt_takes_a_fresh_network_of_the_same_architecture(monkeypatch: pytest.MonkeyPatch, arch: str) -> None:
    seen: list[nn.Module] = []
    forwards: list[bool] = []
    make = Problem.fresh_model

    def recording(problem: Problem) -> nn.Module:
        seen.append(make(problem))
        seen[-1].register_forward_hook(lambda net, *_: forwards.append(any(m.training for m in net.modules())))
        return seen[-1]

    monkeypatch.setattr(Problem, "fresh_model", recording)
    original, data = model(arch).eval(), parts(train=70, test=10)
    execute_on("bt", original, data, arch, **{**BT, "epochs": 1})
    (teacher,) = seen
    assert [type(m) for m in teacher.modules()] == [type(m) for m in original.modules()]
    assert not equal_states(state(teacher), state(original)), "the incompetent teacher is the original"
    assert forwards and not any(forwards), "the incompetent teacher's statistics are to be fixed"


def test_the_teacher_of_bt_stays_as_it_is() -> None:
    check_teacher_stays("bt", **BT)
