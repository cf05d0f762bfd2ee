"""SalUn's masks against gradients sample by sample, its steps against a plain loop."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepunlearn.methods.base import Problem
from deepunlearn.testing.small import CLASSES
from tests.methods.oracles import (
    FORGET,
    RETAIN,
    SEED,
    PlainSGD,
    close,
    everything,
    flat,
    mean_gradient,
    passes_of,
    run,
    shuffled,
    student_of,
    trained,
)
from tests.methods.relabelling import (
    RELABELLED,
    check_labels_are_drawn_each_epoch,
    check_labels_are_uniform,
    drawn_labels,
    joined,
)

pytestmark = pytest.mark.usefixtures("double_precision")


SALUN = {**RELABELLED, "momentum": 0.9, "threshold": 0.3}


def double() -> nn.Module:
    return student_of(trained()).double()


def recorded_masks(monkeypatch: pytest.MonkeyPatch) -> list[list[Tensor]]:
    """The masks that a run sets, in the order of the model's parameters."""
    masks, restrict = [], Problem.restrict

    def recording(self: Problem, chosen: dict[nn.Parameter, Tensor]) -> None:
        masks.append([chosen[parameter].clone() for parameter in self.model.parameters()])
        restrict(self, chosen)

    monkeypatch.setattr(Problem, "restrict", recording)
    return masks


def forget_gradient(original: nn.Module) -> Tensor:
    """|gradient of the mean cross-entropy|, sample by sample in evaluation mode, all weights in one row."""
    return flat(mean_gradient(original.eval(), everything("forget"))).abs()


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0])
def test_salun_masks_the_top_fraction_over_all_weights(monkeypatch: pytest.MonkeyPatch, threshold: float) -> None:
    masks = recorded_masks(monkeypatch)
    run("salun", double(), epochs=1, **{**SALUN, "threshold": threshold})
    mask, scores = torch.cat([piece.flatten() for piece in masks[0]]), forget_gradient(double())
    count = max(1, round(threshold * len(scores)))  # at least one, as a run that moves nothing unlearns nothing
    assert int(mask.sum()) == count
    boundary = sorted(scores.tolist(), reverse=True)[count - 1]
    assert (scores[mask] >= boundary * (1 - 1e-9)).all(), "a weight below the boundary may move"
    assert (scores[~mask] <= boundary * (1 + 1e-9)).all(), "a weight above the boundary may not move"


def test_salun_moves_masked_weights_as_srl_without_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = recorded_masks(monkeypatch)
    unlearned = run("salun", double(), epochs=3, **SALUN)
    expected, generator = double().train(), torch.Generator().manual_seed(SEED)
    torch.randperm(FORGET, generator=generator)  # the gradient pass
    optimizer = PlainSGD(expected, SALUN["weight_decay"], SALUN["momentum"], masks=masks[0])
    for _ in range(3):
        labels = drawn_labels(generator, wrong=False)
        for x, y in shuffled(joined(labels), SALUN["batch_size"], generator):
            optimizer.step(F.cross_entropy(expected(x), y), SALUN["lr"])
    close(unlearned, expected)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_salun_leaves_the_rest_bit_identical(
    monkeypatch: pytest.MonkeyPatch, momentum: float, weight_decay: float
) -> None:
    masks = recorded_masks(monkeypatch)
    original = double()
    unlearned = run("salun", original, epochs=2, **{**SALUN, "momentum": momentum, "weight_decay": weight_decay})
    for before, after, mask in zip(original.parameters(), unlearned.parameters(), masks[0], strict=True):
        assert torch.equal(before[~mask], after[~mask]), "a weight outside the mask moved"
        assert (before[mask] != after[mask]).float().mean() > 0.9 or not mask.any()


def test_salun_draws_labels_anew_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    check_labels_are_drawn_each_epoch(monkeypatch, "salun", CLASSES, **SALUN)


def test_salun_draws_labels_uniformly_from_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    check_labels_are_uniform(monkeypatch, "salun", **SALUN)


def test_salun_passes_over_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert passes_of(monkeypatch, "salun", **SALUN, epochs=3) == [FORGET, *[RETAIN + FORGET] * 3]
