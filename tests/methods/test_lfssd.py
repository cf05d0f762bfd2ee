"""LFSSD against absolute gradients of single samples."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepunlearn.core.params import Value
from deepunlearn.data.loader import Part
from deepunlearn.testing.small import equal_states, state
from tests.methods.oracles import DATA, State, close, everything, execute_on, run, student_of, trained
from tests.methods.test_ssd import FEW, dampened, together

pytestmark = pytest.mark.usefixtures("double_precision")

PARAMS: dict[str, Value] = {"alpha": 1.3, "dampening": 0.7}


def double() -> nn.Module:
    return student_of(trained()).double()


def mean_sizes(net: nn.Module, part: Part) -> State:
    names, params = [name for name, _ in net.named_parameters()], list(net.parameters())
    each = [torch.autograd.grad((net.eval()(one[None]) ** 2).sum(), params) for one in everything(part)[0]]
    return {name: torch.stack([one[at].abs() for one in each]).mean(0) for at, name in enumerate(names)}


def test_lfssd_dampens_by_the_size_of_gradients_of_the_squared_norm() -> None:
    forget, whole = (mean_sizes(double(), part) for part in (FEW["forget"], together(FEW)))
    expected, count = dampened(double(), forget, whole, 1.3, 0.7)
    unlearned, ran = execute_on("lfssd", double(), FEW, **PARAMS)
    close(unlearned, expected)
    total = sum(weight.numel() for weight in expected.parameters())
    assert 0 < count < total and ran.notes["dampened"] == count / total


def test_labels_are_of_no_effect() -> None:
    forget = DATA["forget"]
    other = {**DATA, "forget": forget.with_labels((forget.labels + 1) % 4)}
    one, same = (state(run("lfssd", double(), data, **PARAMS)) for data in (DATA, other))
    assert equal_states(one, same) and not equal_states(one, state(double()))


def test_above_what_a_ratio_can_reach_it_is_the_original_and_says_so() -> None:
    unlearned, ran = execute_on("lfssd", double(), FEW, **{**PARAMS, "alpha": 4.0})
    assert equal_states(state(unlearned), state(double())) and ran.notes["dampened"] == 0
