"""What a problem watches for beside its method."""

from __future__ import annotations

import math

import pytest
import torch

from deepunlearn.core.errors import Diverged
from deepunlearn.testing import small


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["parameter", "buffer"])
def test_a_weight_that_is_not_finite_is_found(name: str, value: float) -> None:
    with small.problem(small.model()) as problem, torch.no_grad():
        problem.check_finite()
        held = problem.model.named_parameters() if name == "parameter" else problem.model.named_buffers()
        floating = [tensor for _, tensor in held if tensor.is_floating_point()]
        floating[-1].view(-1)[-1] = value
        with pytest.raises(Diverged, match="weights are not finite"):
            problem.check_finite()


def test_infinities_do_not_hide_each_other() -> None:
    with small.problem(small.model()) as problem, torch.no_grad():
        weight = next(problem.model.parameters())
        weight[0, 0, 0, 0], weight[0, 0, 0, 1] = math.inf, -math.inf
        with pytest.raises(Diverged):
            problem.check_finite()


def test_large_sums_of_half_precision_weights_are_finite() -> None:
    with small.problem(small.model()) as problem, torch.no_grad():
        problem.model.half()
        for weight in problem.model.parameters():
            weight.fill_(60_000.0)
        problem.check_finite()
