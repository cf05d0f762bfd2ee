"""PRMQ: what is pruned, re-drawn and rounded, and its steps against a plain loop."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deepunlearn.data.loader import Part
from deepunlearn.methods import prmq
from deepunlearn.testing.small import model, state
from tests.methods.oracles import (
    KEPT_PER_CLASS,
    SEED,
    UNEVEN,
    PlainSGD,
    State,
    changed,
    close,
    confident,
    odd,
    run,
    run_by_epoch,
    softmax,
)

PRMQ = {"lr": 0.02, "weight_decay": 0.01, "batch_size": 16, "epochs": 2.5, "amount": 0.9}


def check_pruning(before: State, after: State, amount: float) -> None:
    """Of all convolution and linear entries, the smallest were re-drawn below 1 / sqrt(fan_in), or 0 for a bias."""
    names = [name for name in before if name.endswith("weight") and before[name].ndim > 1]
    names += [name.replace("weight", "bias") for name in names if name.replace("weight", "bias") in before]
    entries = sorted(
        (abs(value), name, at) for name in names for at, value in enumerate(before[name].reshape(-1).tolist())
    )
    gone: dict[str, list[int]] = {name: [] for name in names}
    for _, name, at in entries[: round(amount * len(entries))]:
        gone[name].append(at)
    for name in names:
        old, new, pruned = (
            before[name].reshape(-1),
            after[name].reshape(-1),
            torch.zeros(before[name].numel(), dtype=bool),
        )
        pruned[gone[name]] = True
        assert torch.equal(new[~pruned], old[~pruned]), f"{name}: an entry that was to be kept was pruned"
        if name.endswith("bias"):
            assert (new[pruned] == 0).all(), f"{name}: a pruned bias must stay 0"
        else:
            check_uniform(new[pruned], 1 / math.sqrt(math.prod(before[name].shape[1:])))
    assert changed(before, after) <= set(names), "only convolutions and linear layers are pruned"


def check_uniform(values: Tensor, bound: float) -> None:
    assert (values.abs() <= bound).all()
    if len(values) > 300:
        assert values.abs().max() > 0.97 * bound
        assert values.var().item() == pytest.approx(bound**2 / 3, rel=0.15)
        assert abs(values.mean().item()) < 0.15 * bound


def entropies(logits: Tensor) -> Tensor:
    probabilities = softmax(logits)
    return -(probabilities * probabilities.log()).sum(1)


def prmq_loss(logits: Tensor, teacher: Tensor, y: Tensor, weights: list[float]) -> Tensor:
    """sum_i w_i l_i / sum_i w_i + mean_i (H_i - H'_i)^2."""
    total, weight = torch.zeros(()), 0.0
    for row, label in zip(logits, y.tolist(), strict=True):
        total = total - weights[label] * row.log_softmax(0)[label]
        weight += weights[label]
    return total / weight + ((entropies(logits) - entropies(teacher)) ** 2).sum() / len(y)


def prmq_steps(net: nn.Module, original: nn.Module, data: Part, steps: int) -> None:
    generator, optimizer = torch.Generator().manual_seed(SEED), PlainSGD(net.train(), 0.01)
    weights = [count**-0.1 for count in KEPT_PER_CLASS]
    batches: Iterator[tuple[Tensor, Tensor]] = iter(())
    for _ in range(steps):
        batch = next(batches, None)
        if batch is None:
            batches = iter(data.batches(16, generator))
            batch = next(batches)
        x, y = batch
        optimizer.step(prmq_loss(net(x), original(x), y, weights), 0.02)


def pruned_layers(net: nn.Module) -> list[nn.Module]:
    return [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def record(monkeypatch: pytest.MonkeyPatch) -> tuple[list[State], list[State]]:
    """The layers after pruning, by their place among all layers, and the whole model before rounding."""
    pruned: list[State] = []
    unrounded: list[State] = []
    redraw, quantise = prmq.prune_and_redraw, prmq.quantise

    def recording_redraw(layers: list[Any], amount: float) -> None:
        redraw(layers, amount)
        pruned.append(state(nn.ModuleList(layers)))

    def recording_quantise(net: nn.Module) -> None:
        unrounded.append(state(net))
        quantise(net)

    monkeypatch.setattr(prmq, "prune_and_redraw", recording_redraw)
    monkeypatch.setattr(prmq, "quantise", recording_quantise)
    return pruned, unrounded


def with_biases(net: nn.Module, *values: float) -> nn.Module:
    with torch.no_grad():
        net.get_submodule("head").bias.copy_(torch.tensor(values))
    return net


def test_prmq_prunes_matches_and_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    original = with_biases(confident(model()), 1e-4, -1e-4, 9.0, -8.0)
    pruned, unrounded = record(monkeypatch)
    unlearned, seen = run_by_epoch("prmq", original, UNEVEN, **PRMQ)

    expected = copy.deepcopy(original).requires_grad_(True)
    nn.ModuleList(pruned_layers(expected)).load_state_dict(pruned[0])
    check_pruning(state(original), state(expected), 0.9)
    assert [value == 0 for value in expected.get_submodule("head").bias.tolist()] == [True, True, False, False]
    batches = math.ceil(sum(KEPT_PER_CLASS) / 16)
    prmq_steps(expected, original, UNEVEN["retain"], int(2.5 * batches))
    assert len(seen) == math.ceil(2.5) and len(unrounded) == 1
    close(unrounded[0], state(expected))
    parameters = dict(unlearned.named_parameters())
    for name, value in unrounded[0].items():
        assert torch.equal(unlearned.state_dict()[name], value.half().float() if name in parameters else value), name


@pytest.mark.parametrize(("epochs", "steps"), [(0.2, 0), (0.26, 1), (1.0, 4), (1.24, 4), (1.25, 5), (3.2, 12)])
def test_prmq_takes_int_of_epochs_times_batches_steps_and_rounds_at_last(epochs: float, steps: int) -> None:
    original = confident(model())
    unlearned, seen = run_by_epoch("prmq", original, UNEVEN, **{**PRMQ, "epochs": epochs})
    assert len(seen) == math.ceil(epochs), "also where the last is too short for a step"
    counted = unlearned.get_buffer("stem.1.num_batches_tracked") - original.get_buffer("stem.1.num_batches_tracked")
    assert counted == steps
    assert all(torch.equal(value, value.half().float()) for value in unlearned.parameters())


@pytest.mark.parametrize("amount", [0.0, 0.5, 1.0])
def test_prmq_prunes_the_amount_over_all_layers_together(amount: float, monkeypatch: pytest.MonkeyPatch) -> None:
    original = confident(odd())
    pruned, _ = record(monkeypatch)
    run("prmq", original, UNEVEN, "odd", **{**PRMQ, "amount": amount, "epochs": 1.0})
    after = copy.deepcopy(original)
    nn.ModuleList(pruned_layers(after)).load_state_dict(pruned[0])
    check_pruning(state(original), state(after), amount)


def test_prmq_draws_by_the_fan_in_of_a_group() -> None:
    layer = nn.Conv2d(32, 64, 3, groups=8)
    torch.manual_seed(0)
    prmq.prune_and_redraw([layer], 1.0)
    check_uniform(layer.weight.detach().flatten(), 1 / math.sqrt(4 * 9))
    assert (layer.bias == 0).all()
