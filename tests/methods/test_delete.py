"""DELETE against a plain loop, one sample's divergence at a time."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from deepunlearn.ops.labels import without
from tests.methods.oracles import (
    FORGET,
    SEED,
    PlainSGD,
    check_teacher_stays,
    close,
    everything,
    passes_of,
    run,
    shuffled,
    softmax,
    student_of,
    trained,
)

DELETE = {"lr": 0.02, "weight_decay": 0.05, "batch_size": 8, "epochs": 3}


def erased(logits: Tensor, label: int) -> Tensor:
    """The shares of the other classes of one sample [K], that of `label` 0, without infinities."""
    shares = softmax(logits[None])[0]
    shares[label] = 0
    return shares / shares.sum()


def student_after(original: nn.Module) -> nn.Module:
    teacher, student = copy.deepcopy(original).eval(), student_of(original).train()
    generator = torch.Generator().manual_seed(SEED)
    optimizer = PlainSGD(student, DELETE["weight_decay"])
    for _ in range(DELETE["epochs"]):
        for x, y in shuffled(everything("forget"), DELETE["batch_size"], generator):
            losses = []
            for own, one, label in zip(student(x), x, y.tolist(), strict=True):
                wanted = erased(teacher(one[None])[0], label)
                there = torch.arange(len(wanted)) != label
                losses.append((wanted[there] * (wanted[there].log() - softmax(own[None])[0][there].log())).sum())
            optimizer.step(torch.stack(losses).sum() / len(y), DELETE["lr"])
    return student


@pytest.mark.usefixtures("double_precision")
def test_delete_distils_what_is_left_without_the_true_class() -> None:
    original = copy.deepcopy(trained()).double()
    close(run("delete", original, **DELETE), student_after(original))


def test_its_teacher_gives_the_true_class_nothing_and_the_others_their_ratios() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.5, -3.0], [0.0, 0.0, 50.0, 0.0]]).double()
    target = without(logits, torch.tensor([0, 2])).softmax(1)
    assert target[0, 0] == 0 and target[1, 2] == 0
    torch.testing.assert_close(target[0, 1:], logits[0, 1:].softmax(0))
    torch.testing.assert_close(target[1], torch.tensor([1.0, 1.0, 0.0, 1.0]).double() / 3)
    assert torch.isfinite(logits).all(), "the teacher's logits were changed in place"


def test_the_teacher_of_delete_stays_as_it_is() -> None:
    check_teacher_stays("delete", **DELETE)


@pytest.mark.usefixtures("double_precision")
def test_delete_passes_over_the_forget_set_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes_of(monkeypatch, "delete", **DELETE) == [FORGET] * DELETE["epochs"]
