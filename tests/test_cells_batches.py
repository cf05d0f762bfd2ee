"""Keys of a cell: results whose batches are cut as they always were keep them, all others get others."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from deepunlearn.cells import CellKeys
from deepunlearn.config import read_command
from deepunlearn.core.keys import Key, ReferenceKey
from deepunlearn.core.schema import SweepConfig

SIZES = {"retain": 4050, "forget": 450, "val": 500}
AS_EVER = {"retain": 4160, "forget": 448, "val": 512}  # whole batches of 64, alone and together


def read(*arguments: str) -> SweepConfig:
    return read_command(["dataset=cifar10", "train.batch_size=64", *arguments]).sweep


def keys(sizes: Mapping[str, int], *arguments: str) -> CellKeys:
    return CellKeys(read(*arguments).cells[0], "ab" * 32, 10, lambda seed: sizes)


def as_of_the_first_rule(key: Key) -> bool:
    return "batches" not in key.canonical()


def reference_rules(retain: int, forget: int) -> list[bool]:
    sizes = {**SIZES, "retain": retain, "forget": forget}
    made: list[ReferenceKey] = [keys(sizes).reference(role, 0) for role in ("original", "retrained")]
    return [as_of_the_first_rule(key) for key in made]


@pytest.mark.slow
def test_the_size_of_the_training_part_decides_for_references() -> None:
    assert reference_rules(4050, 450) == [True, True]  # 20 and 18 are left at 64
    assert reference_rules(4050, 434) == [False, True]  # 4 of both together
    assert reference_rules(4036, 464) == [True, False]  # 4 of the retain set
    assert reference_rules(4033, 480) == [True, True]  # 1 and 33


def test_the_rule_changes_the_key_of_what_it_changes_and_of_what_rests_on_that() -> None:
    plain, cut = keys(AS_EVER), keys({**AS_EVER, "retain": 4162})
    assert plain.reference("retrained", 0).hash != cut.reference("retrained", 0).hash
    score = [one.metrics(one.reference("original", 0), 0) for one in (plain, cut)]
    assert score[0].hash != score[1].hash


@pytest.mark.slow
def test_the_parts_that_a_method_passes_over_decide_for_unlearned_models() -> None:
    (method,) = read("method=scrub").methods
    params = method.complete({})
    for sizes, as_ever in ((AS_EVER, True), (SIZES, False), ({**AS_EVER, "forget": 449}, True)):
        assert as_of_the_first_rule(keys(sizes).unlearned(method, params, 0)) == as_ever
    other = method.complete({"forget_batch_size": 128})
    assert as_of_the_first_rule(keys(SIZES).unlearned(method, other, 0))


@pytest.mark.slow
def test_a_study_keeps_its_trials_unless_a_batch_size_that_it_may_draw_is_concerned() -> None:
    sweep = read("method=ga", "search=quick")
    (method,) = sweep.methods
    assert as_of_the_first_rule(keys(AS_EVER).study(method, sweep.search, 0))
    assert not as_of_the_first_rule(keys(SIZES).study(method, sweep.search, 0))
    fixed = read("method=ga", "search=quick", "method.params.batch_size=128").methods[0]
    assert as_of_the_first_rule(keys(SIZES).study(fixed, sweep.search, 0))
    free = read("method=ft", "search=quick").methods[0]
    assert as_of_the_first_rule(keys(SIZES).study(free, sweep.search, 0))


def test_each_seed_has_its_own_sizes() -> None:
    """The forget sets of a halving may differ by a sample."""
    cell = read("forget=halves").cells[0]
    sizes = {seed: {**AS_EVER, "retain": 4160 + 2 * (seed == 3)} for seed in range(5)}
    made = CellKeys(cell, "ab" * 32, 10, sizes.__getitem__)
    assert [as_of_the_first_rule(made.reference("retrained", seed)) for seed in range(5)] == [True] * 3 + [False, True]
