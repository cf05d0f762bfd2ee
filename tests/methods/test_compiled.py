"""Every method on a compiled network: tracing, guards and graph breaks are those of a GPU run; kernels are eager."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deepunlearn.composition import make_method
from deepunlearn.config import method_configs
from deepunlearn.core.method_config import MethodConfig
from deepunlearn.methods.base import Problem
from deepunlearn.running import execute
from deepunlearn.testing.contract import data, original, quick_params, recorded
from deepunlearn.testing.small import difficulty_of, make_problem, runtime, state

METHODS = method_configs()
KINDS = ("ft", "cfk", "iu")  # plain, frozen, per sample: each compiles
EAGER = (
    "ssd",
    "lfssd",
    "sisa",
)  # gradients of single samples, where torch compiles nothing; shards, not their ensemble
SINGLE = tuple(name for name, method in METHODS.items() if not method.steps)  # the others are made of these
ON = {"smallnet": SINGLE, "resnet18": KINDS, "tinyvit": ("ft",)}  # which code breaks a graph is a method's


def unlearned(method: MethodConfig, arch: str, compiled: bool) -> tuple[nn.Module, int]:
    """The network that a method leaves, and how many graphs were compiled on the way."""
    here = runtime()

    def problem_of(generator: torch.Generator) -> Problem:
        record = recorded(arch, method.needs)
        own, hard = original(arch, method.needs), difficulty_of(data(arch)["forget"], method.needs)
        problem = make_problem(own, arch, generator, data(arch), here, recorded=record, difficulty=hard)
        if compiled:
            problem.model.compile(backend="aot_eager")
        return problem

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    net, _ = execute(make_method(method, quick_params(method)), problem_of, here, seed=3)
    return net, torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arch"), [(name, arch) for arch, names in ON.items() for name in names])
def test_a_compiled_network_unlearns_as_an_eager_one(name: str, arch: str) -> None:
    eager, _ = unlearned(METHODS[name], arch, compiled=False)
    compiled, graphs = unlearned(METHODS[name], arch, compiled=True)
    assert (graphs > 0) == (name not in EAGER), "nothing was compiled"
    expected, start = state(eager), state(original(arch, METHODS[name].needs))
    for key, value in state(compiled).items():
        if not value.is_floating_point():
            assert torch.equal(value, expected[key])
            continue
        moved = float((expected[key] - start[key]).norm())
        assert float((value - expected[key]).norm()) <= 1e-3 * moved + 1e-6, key
