"""The last blocks of CF-k and EU-k: what moves, what does not, and when the rate falls."""

from __future__ import annotations

import itertools

import pytest
import torch

from deepunlearn import archs
from deepunlearn.composition import load_method
from deepunlearn.core.errors import ConfigError
from deepunlearn.testing.small import ARCHS, equal_states, make_problem, model, runtime, state
from tests.methods.last_blocks import PARAMS
from tests.methods.oracles import DATA, SEED, UNEVEN, changed, confident, odd, odd_anatomy, run, run_by_epoch


@pytest.mark.parametrize("name", ["cfk", "euk"])
@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 8, 10])
def test_the_rate_falls_after_the_milestone_and_not_at_it(name: str, epochs: int) -> None:
    """With decay 0 training ends with epoch int(.5 E), counted from 0."""
    original = confident(model())
    _, seen = run_by_epoch(name, original, UNEVEN, **{**PARAMS, "epochs": epochs, "decay": 0.0})
    heads = [original.state_dict()["head.weight"], *(step["head.weight"] for step in seen)]
    moved = [not torch.equal(one, other) for one, other in itertools.pairwise(heads)]
    assert moved == [epoch <= epochs // 2 for epoch in range(epochs)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cfk", "euk"])
@pytest.mark.parametrize("arch", ["smallnet", "odd", "resnet18", "tinyvit"])
def test_the_rest_stays_bit_identical_and_the_last_blocks_moves_with_its_statistics(name: str, arch: str) -> None:
    data = {**DATA, "retain": DATA["retain"].subset(range(16))}
    original = (odd() if arch == "odd" else model(arch)).requires_grad_(False).eval()
    where = odd_anatomy(original) if arch == "odd" else archs.anatomy_of(ARCHS[arch], original)
    mine = {id(value) for part in (where.blocks[-1], where.head) for value in part.state_dict(keep_vars=True).values()}
    trained = {key for key, value in original.state_dict(keep_vars=True).items() if id(value) in mine}
    unlearned = run(name, original, data, arch, **{**PARAMS, "lr": 0.05, "epochs": 1})
    assert changed(state(original), state(unlearned)) == trained


@pytest.mark.parametrize("name", ["cfk", "euk"])
@pytest.mark.parametrize("k", [3, 10])
def test_more_blocks_than_there_are_is_an_error_before_anything_changes(name: str, k: int) -> None:
    original, here = confident(model()), runtime()
    with here.seeded(SEED) as generator:
        problem = make_problem(original, "smallnet", generator, UNEVEN, here)
        with pytest.raises(ConfigError, match=r"^k is larger") as caught:
            next(load_method(name)(**{**PARAMS, "k": k}).run(problem))
    assert caught.value.given == k and "1 to 2" in str(caught.value) and "method.params.k" in str(caught.value)
    assert equal_states(state(problem.model), state(original))
