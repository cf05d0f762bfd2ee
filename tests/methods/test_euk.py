"""EU-k against a plain loop; what it shares with CF-k is in tests/ops/test_tail.py."""

from __future__ import annotations

import pytest

from deepunlearn.composition import load_method
from deepunlearn.testing.small import make_problem, model, runtime, state
from tests.methods.last_blocks import PARAMS, TRAINED, last_blocks_expected
from tests.methods.oracles import (
    SEED,
    UNEVEN,
    State,
    close,
    confident,
    fresh_network,
    run,
    same,
    small_now,
    student_of,
    take,
)


@pytest.mark.parametrize(("k", "trained"), TRAINED)
def test_euk_trains_the_last_blocks_from_fresh_values(k: int, trained: tuple[str, ...]) -> None:
    original = confident(model())
    start = student_of(original)
    take(start, fresh_network(small_now), trained)
    expected = last_blocks_expected(start, UNEVEN["retain"], trained)
    close(run("euk", original, UNEVEN, **{**PARAMS, "k": k}), expected)


def test_euk_restarts_running_statistics_as_a_fresh_network_has_them() -> None:
    original = confident(model())
    at_first: list[State] = []
    here = runtime()
    with here.seeded(SEED) as generator:
        problem = make_problem(original, "smallnet", generator, UNEVEN, here)
        problem.model.register_forward_pre_hook(lambda net, _: at_first.append(state(net)))
        next(load_method("euk")(**PARAMS).run(problem))
    assert same(at_first[0], state(fresh_network(small_now)), ("block2.", "head."))
    assert same(at_first[0], state(original), ("stem.", "block1."))
