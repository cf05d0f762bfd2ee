"""Which methods draw from torch's global random state, beside the generator that orders their data."""

from __future__ import annotations

import pytest
import torch

from deepunlearn.composition import make_method
from deepunlearn.config import method_configs
from deepunlearn.methods.base import Problem
from deepunlearn.running import execute
from deepunlearn.testing.contract import data, original, quick_params, recorded
from deepunlearn.testing.small import difficulty_of, equal_states, make_problem, runtime, state

METHODS = method_configs()
# their results hang on how the global state is seeded
DRAWING = {"boundary_expand", "bt", "cfw", "euk", "ff", "jit", "kde", "msg", "prmq", "rni"}


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
