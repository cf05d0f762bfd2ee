"""RNI against a plain loop: which tensors train, which get noise, and when."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from deepunlearn.data.loader import Part
from deepunlearn.testing.small import model, state
from tests.methods.oracles import (
    SEED,
    STILL,
    UNEVEN,
    PlainSGD,
    State,
    changed,
    close,
    confident,
    fresh_network,
    mean_cross_entropy,
    odd,
    odd_now,
    run_by_epoch,
    small_now,
    take,
)

OUTSIDE = {
    *(f"{layer}.{kind}" for layer in ("stem", "head") for kind in ("weight", "bias")),
    *(f"blocks.{index}.bn.{kind}" for index in range(4) for kind in ("weight", "bias")),
    "norm_scale",
}


INSIDE = {f"blocks.{index}.conv.{kind}" for index in range(4) for kind in ("weight", "bias")}


RNI = {
    "lr": 0.02,
    "weight_decay": 0.01,
    "fine_lr": 0.03,
    "fine_weight_decay": 0.02,
    "batch_size": 16,
    "epochs": 5,
    "fine_epochs": 2,
    "reset_epochs": 1,
    "noise_ratio": 0.7,
    "noise": 0.3,
}


def rni_draw(names: list[str], generator: torch.Generator) -> list[str]:
    return [names[index] for index in torch.randperm(len(names), generator=generator)[:9].tolist()]


def rni_expected(original: nn.Module, data: Part) -> tuple[nn.Module, list[State]]:
    net = copy.deepcopy(original).requires_grad_(True)
    take(net, fresh_network(odd_now), ("head.",))
    outside = [name for name, _ in net.named_parameters() if name in OUTSIDE]
    generator, seen = torch.Generator().manual_seed(SEED), []
    net.train()
    for epoch in range(5):
        moving, lr, decay = OUTSIDE | INSIDE, 0.03, 0.02
        if epoch < 3:
            drawn = rni_draw(outside, generator)
            moving, lr, decay = {*drawn, *INSIDE}, 0.02, 0.01
            for name in drawn[: int(9 * 0.7)] if epoch >= 1 else []:
                with torch.no_grad():
                    net.get_parameter(name).add_(0.3 * torch.randn_like(net.get_parameter(name)))
        optimizer = PlainSGD(net, decay, names=moving)
        for x, y in data.batches(16, generator):
            optimizer.step(mean_cross_entropy(net(x), y), lr)
        seen.append(state(net))
    return net, seen


def test_rni_noises_trains_and_fine_tunes() -> None:
    original = confident(odd())
    unlearned, seen = run_by_epoch("rni", original, UNEVEN, "odd", **RNI)
    expected, wanted = rni_expected(original, UNEVEN["retain"])
    roundings = [3e-5] * (len(wanted) - 1) + [2e-4]  # they add up over the epochs, with torch 2.11 most in the last
    for one, other, rounding in zip(seen, wanted, roundings, strict=True):
        close(one, other, atol=rounding)
    close(unlearned, expected, atol=roundings[-1])


def moves(original: nn.Module, start: State, seen: list[State]) -> list[set[str]]:
    """The names of the parameters that moved in each epoch."""
    parameters = {name for name, _ in original.named_parameters()}
    return [changed(before, after) & parameters for before, after in zip([start, *seen], seen, strict=False)]


def with_fresh_head(original: nn.Module, build: Callable[[], nn.Module]) -> State:
    start = copy.deepcopy(original)
    take(start, fresh_network(build), ("head.",))
    return state(start)


def test_rni_trains_nine_tensors_and_all_normalisation_then_everything() -> None:
    original = confident(odd())
    _, seen = run_by_epoch("rni", original, UNEVEN, "odd", **{**RNI, "noise": 0.0, "epochs": 8})
    epochs = moves(original, with_fresh_head(original, odd_now), seen)
    for moved in epochs[:6]:
        assert moved >= INSIDE and len(moved & OUTSIDE) == 9
    assert len({frozenset(moved) for moved in epochs[:6]}) > 1, "the same tensors in every epoch"
    assert epochs[6] == epochs[7] == OUTSIDE | INSIDE


@pytest.mark.parametrize(("ratio", "reset"), [(0.7, 1), (0.5, 0), (1.0, 3), (0.1, 0), (0.12, 2)])
def test_rni_noises_int_of_nine_times_the_ratio_from_reset_epochs_on(ratio: float, reset: int) -> None:
    original = confident(odd())
    still = {**RNI, "lr": STILL, "fine_lr": STILL, "noise_ratio": ratio, "reset_epochs": reset, "epochs": 6}
    _, seen = run_by_epoch("rni", original, UNEVEN, "odd", **still)
    start = with_fresh_head(original, odd_now)
    epochs = moves(original, start, seen)
    assert [len(moved) for moved in epochs] == [0] * reset + [int(9 * ratio)] * (4 - reset) + [0, 0]
    assert all(moved <= OUTSIDE for moved in epochs), "a normalisation layer got noise"


def test_rni_noise_is_normal_with_the_given_deviation() -> None:
    original = confident(odd())
    still = {**RNI, "lr": STILL, "fine_lr": STILL, "noise_ratio": 1.0, "reset_epochs": 0, "epochs": 3}
    _, seen = run_by_epoch("rni", original, UNEVEN, "odd", **still)
    start = with_fresh_head(original, odd_now)
    noise = torch.cat([(seen[0][name] - start[name]).flatten() for name in changed(start, seen[0]) & OUTSIDE])
    assert noise.std().item() == pytest.approx(0.3, rel=0.1) and abs(noise.mean().item()) < 0.03
    assert (noise.abs() < 0.3).float().mean().item() == pytest.approx(0.683, abs=0.05)


def test_rni_uses_all_tensors_of_a_model_with_fewer_than_nine() -> None:
    original = confident(model())
    _, seen = run_by_epoch("rni", original, UNEVEN, **{**RNI, "noise": 0.0})
    epochs = moves(original, with_fresh_head(original, small_now), seen)
    assert all(moved == {name for name, _ in original.named_parameters()} for moved in epochs)
    still = {**RNI, "lr": STILL, "fine_lr": STILL, "noise_ratio": 0.5}
    noised = moves(original, with_fresh_head(original, small_now), run_by_epoch("rni", original, UNEVEN, **still)[1])
    assert [len(moved) for moved in noised] == [0, 4, 4, 0, 0]
