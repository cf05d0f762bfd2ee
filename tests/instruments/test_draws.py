"""The same random numbers on every device and in every layout."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from deepunlearn.instruments.draws import DrawnOnCpu

SHAPE = (4, 3, 5, 5)
DRAWS: dict[str, Callable[[], Tensor]] = {
    "randn": lambda: torch.randn(SHAPE),
    "randn_like": lambda: torch.randn_like(torch.ones(SHAPE)),
    "rand": lambda: torch.rand(40),
    "randint": lambda: torch.randint(10, (40,)),
    "randperm": lambda: torch.randperm(40),
    "normal_": lambda: torch.empty(SHAPE).normal_(1, 2),
    "uniform_": lambda: torch.empty(SHAPE).uniform_(-1, 1),
    "bernoulli_": lambda: torch.empty(40).bernoulli_(0.3),
    "bernoulli": lambda: torch.bernoulli(torch.full((40,), 0.5)),
    "multinomial": lambda: torch.multinomial(torch.full((6, 4), 0.25), 1),
    "dropout": lambda: F.dropout(torch.ones(SHAPE), 0.4),
}


@pytest.mark.parametrize("name", DRAWS)
def test_on_the_cpu_it_changes_nothing(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        plain, after = DRAWS[name](), torch.rand(3)
        torch.manual_seed(5)
        with DrawnOnCpu():
            drawn, then = DRAWS[name](), torch.rand(3)
    assert torch.equal(plain, drawn) and torch.equal(after, then)


@pytest.mark.parametrize("name", ["randn_like", "normal_", "bernoulli"])
def test_the_layout_in_memory_does_not_decide_which_sample_gets_which_number(name: str) -> None:
    def drawn(layout: torch.memory_format) -> Tensor:
        like = torch.full(SHAPE, 0.5).to(memory_format=layout)
        torch.manual_seed(5)
        with DrawnOnCpu():
            if name == "normal_":
                return like.normal_()
            return torch.randn_like(like) if name == "randn_like" else torch.bernoulli(like)

    with torch.random.fork_rng():
        one, other = drawn(torch.contiguous_format), drawn(torch.channels_last)
    assert torch.equal(one, other)


def test_what_is_drawn_lies_where_it_was_asked_for() -> None:
    """The device without values stands in for a GPU: by itself it would move no generator of the CPU."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        first, second = torch.randn(7), torch.rand(3)
        torch.manual_seed(5)
        with DrawnOnCpu():
            there = torch.randn(7, device="meta")
            assert torch.rand_like(torch.ones(0), device="meta").device.type == "meta"
        assert there.device.type == "meta" and torch.equal(torch.rand(3), second) and len(first) == 7


def test_gradients_pass_through_what_was_dropped() -> None:
    x = torch.ones(100, requires_grad=True)
    with torch.random.fork_rng(), DrawnOnCpu():
        y = F.dropout(x, 0.5)
        y.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, y.detach()) and 0 < int((y == 0).sum()) < 100
