"""EU-k against a plain loop; what it shares with CF-k is in tests/ops/test_tail.py."""

from __future__ import annotations

import pytest

from deepunlearn.composition import load_method
from deepunlearn.testing.small import make_problem, model, runtime, state
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
from tests.methods.tails import TAIL, TAILS, tail_expected


@pytest.mark.parametrize(("k", "tail"), TAILS)
def test_euk_trains_the_tail_from_fresh_values(k: int, tail: tuple[str, ...]) -> None:
    original = confident(model())
    start = student_of(original)
    take(start, fresh_network(small_now), tail)
    expected = tail_expected(start, UNEVEN["retain"], tail)
    close(run("euk", original, UNEVEN, **{**TAIL, "k": k}), expected)


def test_euk_restarts_running_statistics_as_a_fresh_network_has_them() -> None:
    original = confident(model())
    at_first: list[State] = []
    here = runtime()
    with here.seeded(SEED) as generator:
        problem = make_problem(original, "smallnet", generator, UNEVEN, here)
        problem.model.register_forward_pre_hook(lambda net, _: at_first.append(state(net)))
        next(load_method("euk")(**TAIL).run(problem))
    assert same(at_first[0], state(fresh_network(small_now)), ("block2.", "head."))
    assert same(at_first[0], state(original), ("stem.", "block1."))
