"""JiT against a plain loop: one noisy copy of one image at a time, in pixels."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from deepunlearn.methods.base import Problem
from deepunlearn.runtime import global_seed
from deepunlearn.testing.small import equal_states, model, state
from tests.methods.oracles import (
    FORGET,
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

JIT = {"lr": 0.02, "batch_size": 8, "epochs": 2, "sigma": 0.3, "draws": 3}
STD = 0.25  # of testing/small.py


def flattened(original: nn.Module) -> nn.Module:
    """The network after JiT, every ratio by itself."""
    student, generator = student_of(original).eval(), torch.Generator().manual_seed(SEED)
    torch.manual_seed(global_seed(SEED))
    optimizer = PlainSGD(student, decay=0.0, momentum=0.0)
    for _ in range(JIT["epochs"]):
        for x, _ in shuffled(everything("forget"), JIT["batch_size"], generator):
            noises = [JIT["sigma"] * torch.randn_like(x) for _ in range(JIT["draws"])]
            ratios = [
                (student(one[None]) - student((one + change / STD)[None])).pow(2).sum().sqrt() / change.norm()
                for noise in noises
                for one, change in zip(x, noise, strict=True)
            ]
            optimizer.step(torch.stack(ratios).sum() / JIT["draws"], JIT["lr"])
    return student


@pytest.mark.usefixtures("double_precision")
def test_jit_lowers_the_mean_steepness_around_each_forget_sample() -> None:
    original = copy.deepcopy(trained()).double()
    close(run("jit", original, **JIT), flattened(original))


def test_a_constant_network_is_a_fixed_point() -> None:
    constant = model().requires_grad_(False)
    constant.get_submodule("head").weight.zero_()
    before = state(constant)
    after = state(run("jit", constant, **JIT))
    assert all(torch.isfinite(value).all() for value in after.values())
    assert equal_states(before, after)


def test_jit_reads_no_label(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = Problem.batches
    honest = state(run("jit", trained(), **JIT))
    monkeypatch.setattr(Problem, "batches", lambda *given: ((x, -y) for x, y in batches(*given)))
    assert equal_states(honest, state(run("jit", trained(), **JIT)))


def test_noise_does_not_reach_the_running_statistics() -> None:
    before, after = state(trained()), state(run("jit", trained(), **JIT))
    assert all(torch.equal(before[name], after[name]) for name in before if "running" in name)


@pytest.mark.usefixtures("double_precision")
def test_jit_passes_over_the_forget_set_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes_of(monkeypatch, "jit", **JIT) == [FORGET] * JIT["epochs"]
