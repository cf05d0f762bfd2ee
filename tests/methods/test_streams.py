"""Which methods draw from torch's global random state, beside the generator that orders their data."""

from __future__ import annotations

import pytest
import torch

from deepunlearn.composition import make_method
from deepunlearn.config import method_configs
from deepunlearn.core.schema import CpuKernels
from deepunlearn.kernels import switch
from deepunlearn.methods.base import Problem
from deepunlearn.running import execute
from deepunlearn.testing.contract import data, original, quick_params, recorded
from deepunlearn.testing.small import difficulty_of, equal_states, make_problem, original_of, runtime, state

METHODS = method_configs()
# their results hang on how the global state is seeded
DRAWING = {"boundary_expand", "bt", "cfw", "euk", "ff", "jit", "kde", "msg", "prmq", "rni"}
# of these, whose noise lies in memory as weights or images do: docs/performance.md names them
IN_MEMORY_ORDER = {"cfw", "ff", "jit", "rni"}


def unlearned(name: str, global_state: int) -> dict[str, torch.Tensor]:
    """What the method leaves on a network without random layers, the global state reseeded before it begins."""
    here, method = runtime(), METHODS[name]

    def problem_of(generator: torch.Generator) -> Problem:
        torch.manual_seed(global_state)
        record = recorded("smallnet", method.needs)
        own = original("smallnet", method.needs)
        hard = difficulty_of(data("smallnet")["forget"], method.needs)
        return make_problem(own, "smallnet", generator, data("smallnet"), here, recorded=record, difficulty=hard)

    return state(execute(make_method(method, quick_params(method)), problem_of, here, seed=5)[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_these_methods_and_no_others_draw_from_the_global_state(name: str) -> None:
    assert equal_states(unlearned(name, 1), unlearned(name, 2)) == (name not in DRAWING)


def weights(name: str, cpu_kernels: CpuKernels) -> torch.Tensor:
    """Of the unlearned model, all in one row."""
    method = METHODS[name]
    with switch.visit(cpu_kernels):
        here = runtime(cpu_kernels=cpu_kernels)
        own = original_of("smallnet", here=here)
        net, _ = execute(
            make_method(method, quick_params(method)),
            lambda generator: make_problem(own, "smallnet", generator, data("smallnet"), here),
            here,
            seed=5,
        )
    return torch.cat([value.flatten() for value in net.parameters()])


@pytest.mark.parametrize("name", sorted(DRAWING))
def test_without_cpu_kernels_these_draw_other_noise_and_no_others(name: str) -> None:
    auto, off = weights(name, "auto"), weights(name, "off")
    start = torch.cat([value.flatten() for value in original("smallnet").parameters()])
    assert (bool((auto - off).norm() > 1e-3 * (auto - start).norm())) == (name in IN_MEMORY_ORDER)
