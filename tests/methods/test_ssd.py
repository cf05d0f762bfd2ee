"""SSD against gradients of single samples and a rule applied entry by entry."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepunlearn.core.batches import blocks
from deepunlearn.core.params import Value
from deepunlearn.data.loader import Part
from deepunlearn.running import Run
from deepunlearn.testing.small import equal_states, state
from tests.methods.oracles import (
    DATA,
    FORGET,
    RETAIN,
    SEED,
    State,
    close,
    everything,
    execute_on,
    gradient,
    mean_gradient,
    run,
    student_of,
    trained,
)

pytestmark = pytest.mark.usefixtures("double_precision")

FEW = {**DATA, "retain": DATA["retain"].subset(range(24)), "forget": DATA["forget"].subset(range(8))}
PARAMS: dict[str, Value] = {"alpha": 1.5, "dampening": 0.7, "gradients": "sample"}


def double() -> nn.Module:
    return student_of(trained()).double()


def mean_squares(net: nn.Module, part: Part) -> State:
    x, y = everything(part)
    each = [gradient(net.eval(), one, label) for one, label in zip(x, y, strict=True)]
    return {name: torch.stack([one[name] ** 2 for one in each]).mean(0) for name in each[0]}


def dampened(net: nn.Module, forget: State, whole: State, alpha: float, strength: float) -> tuple[nn.Module, int]:
    """Entry by entry, and how many were chosen."""
    count = 0
    for name, weight in net.named_parameters():
        factors = []
        for of_forget, of_all in zip(forget[name].flatten().tolist(), whole[name].flatten().tolist(), strict=True):
            above = of_forget > alpha * of_all
            count += above
            factors.append(min(strength * of_all / of_forget, 1.0) if above else 1.0)
        with torch.no_grad():
            weight.mul_(torch.tensor(factors, dtype=weight.dtype).view(weight.shape))
    return net, count


def together(data: dict[str, Part]) -> Part:
    return data["retain"].joined(data["forget"])


def test_ssd_dampens_by_gradients_of_single_samples() -> None:
    forget, whole = (mean_squares(double(), part) for part in (FEW["forget"], together(FEW)))
    expected, count = dampened(double(), forget, whole, 1.5, 0.7)
    unlearned, ran = execute_on("ssd", double(), FEW, **PARAMS)
    close(unlearned, expected)
    total = sum(weight.numel() for weight in expected.parameters())
    assert 0 < count < total and ran.notes["dampened"] == count / total
    highest = max(float((forget[name] / whole[name]).nan_to_num(0).max()) for name in forget)
    assert ran.notes["largest_ratio"] == pytest.approx(highest) and ran.notes["alpha"] == 1.5
    assert ran.epochs == 1


def batch_squares(net: nn.Module, part: Part, generator: torch.Generator) -> State:
    x, y = everything(part)
    batches = torch.randperm(len(y), generator=generator).split(blocks(len(y), 64))
    each = [mean_gradient(net.eval(), (x[batch], y[batch])) for batch in batches]
    return {name: torch.stack([one[name] ** 2 for one in each]).mean(0) for name in each[0]}


def test_gradients_of_batches_are_averaged_before_they_are_squared() -> None:
    generator = torch.Generator().manual_seed(SEED)
    forget, whole = (batch_squares(double(), part, generator) for part in (DATA["forget"], together(DATA)))
    expected, _ = dampened(double(), forget, whole, 1.5, 0.7)
    close(run("ssd", double(), **{**PARAMS, "gradients": "batch"}), expected)
    assert RETAIN + FORGET > 64, "more than one batch"


def outcome(data: dict[str, Part] = FEW, **params: Value) -> tuple[nn.Module, Run]:
    return execute_on("ssd", double(), data, **{**PARAMS, **params})


def test_above_what_a_ratio_can_reach_it_is_the_original_and_says_so() -> None:
    """I_D holds I_F: no ratio exceeds |D| / |D_F|, here 4."""
    unlearned, ran = outcome(alpha=4.0)
    assert equal_states(state(unlearned), state(double()))
    assert ran.notes["dampened"] == 0
    assert isinstance(ran.notes["largest_ratio"], float) and ran.notes["largest_ratio"] <= 4
    assert isinstance(found := outcome(alpha=0.0)[1].notes["dampened"], float) and found > 0.5


def test_where_both_sets_are_the_same_every_weight_in_use_is_scaled_by_the_constant() -> None:
    unlearned, ran = outcome({**FEW, "retain": FEW["forget"]}, alpha=0.5, dampening=0.25)
    used = {name: square > 0 for name, square in mean_squares(double(), FEW["forget"]).items()}
    for name, weight in double().named_parameters():
        torch.testing.assert_close(
            unlearned.get_parameter(name), torch.where(used[name], 0.25 * weight, weight), rtol=1e-9, atol=1e-12
        )
    assert ran.notes["dampened"] == sum(int(one.sum()) for one in used.values()) / sum(
        one.numel() for one in used.values()
    )


def test_auto_takes_the_percentile_of_adaptive_ssd() -> None:
    unlearned, ran = outcome(alpha="auto")
    assert isinstance(ran.notes["alpha"], float)
    assert ran.notes["dampened"] == pytest.approx(torch.log(torch.tensor(1 + 100 * 8 / 32)).item() / 100, abs=2e-3)
    close(unlearned, outcome(alpha=ran.notes["alpha"])[0], rtol=0, atol=0)


def test_statistics_stay() -> None:
    unlearned, _ = outcome()
    for name, value in double().named_buffers():
        assert torch.equal(unlearned.get_buffer(name), value)
