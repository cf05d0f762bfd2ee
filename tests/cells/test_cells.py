"""What results of a cell are called, and which earlier results they are, whose batches were cut as they always were."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from deepunlearn.cells import CellKeys
from deepunlearn.config import read_command
from deepunlearn.core.identity import Key
from deepunlearn.core.keys import REPORT, SELECTION, STREAMS, ReferenceKey, SearchKey
from deepunlearn.core.schema import SweepConfig
from deepunlearn.core.store import Place

DIGEST = "ab" * 32
SIZES = {"retain": 1280, "forget": 128, "val": 128}  # whole batches


def cell_keys(*arguments: str) -> CellKeys:
    return of(read_command([*arguments]).sweep)


def of(sweep: SweepConfig) -> CellKeys:
    return CellKeys(sweep.cells[0], DIGEST, 10, lambda seed: SIZES)


@pytest.mark.slow
def test_models_of_a_network_without_random_layers_keep_their_key() -> None:
    key = cell_keys("arch=resnet18").reference("original", 0)
    older = {name: value for name, value in key.model_dump().items() if name != "streams"}
    assert key.streams is None and key.hash == ReferenceKey(**older).hash


def test_models_of_a_network_that_draws_while_training_are_new_with_the_second_stream() -> None:
    for arguments in (["arch=tinyvit"], ["arch=resnet18", "arch.module=tests.witness"]):
        key = cell_keys(*arguments).reference("original", 0)
        assert key.streams == STREAMS and "streams" in key.canonical()


@pytest.mark.parametrize(
    ("arguments", "own"),
    [
        (["protocol=paper"], [0, 1, 2]),
        (["protocol=paper", "search=quick"], [0]),
        (["protocol=heldout"], []),
        (["protocol=heldout", "seeds=[0,11]"], [11]),
        (["search=none"], []),
        (["method.params.lr=0.1", *(f"method.params.{name}=1" for name in ("weight_decay", "epochs")),
          "method.params.batch_size=64"], []),
    ],
)  # fmt: skip
def test_reports_on_seeds_that_were_searched_on_draw_for_themselves(arguments: list[str], own: list[int]) -> None:
    """Else the winning trial is reported bit for bit; all other reports keep the key and the draws that they had."""
    sweep = read_command(["method=ft", *arguments]).sweep
    keys, (method,) = of(sweep), sweep.methods
    drawn = {seed: keys.report_draw(sweep, method, seed) for seed in sweep.seeds}
    assert drawn == {seed: REPORT if seed in own else None for seed in sweep.seeds}
    for seed, purpose in drawn.items():
        key = keys.unlearned(method, method.complete({}), seed, purpose)
        assert ("drawn" in key.canonical()) == (seed in own)


def test_trials_selection_and_reports_have_random_states_of_their_own() -> None:
    sweep = read_command(["method=ft,ga"]).sweep
    keys = of(sweep)
    purposes = (None, SELECTION, REPORT)
    seeds = [keys.run_seed(method, seed, drawn) for method in sweep.methods for seed in (0, 1) for drawn in purposes]
    assert len(set(seeds)) == len(seeds)


def test_only_the_robust_selection_has_a_new_key() -> None:
    found = {}
    for rule in ("paper", "robust"):
        sweep = read_command(["method=ft", f"search.selection={rule}"]).sweep
        found[rule] = of(sweep).chosen_by(sweep, sweep.methods[0])
    assert all(isinstance(key, SearchKey) for key in found.values())
    assert "drawn" not in found["paper"].canonical() and found["robust"].canonical()["drawn"] == SELECTION


REMAINDERS = {"retain": 4050, "forget": 450, "val": 500}  # of 64 everywhere
AS_EVER = {"retain": 4160, "forget": 448, "val": 512}  # whole batches of 64, alone and together


def read(*arguments: str) -> SweepConfig:
    return read_command(["dataset=cifar10", "train.batch_size=64", *arguments]).sweep


def keys(sizes: Mapping[str, int], *arguments: str) -> CellKeys:
    return CellKeys(read(*arguments).cells[0], "ab" * 32, 10, lambda seed: sizes)


def as_of_the_first_rule(key: Key) -> bool:
    return "batches" not in key.canonical()


def reference_rules(retain: int, forget: int) -> list[bool]:
    sizes = {**REMAINDERS, "retain": retain, "forget": forget}
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
    for sizes, as_ever in ((AS_EVER, True), (REMAINDERS, False), ({**AS_EVER, "forget": 449}, True)):
        assert as_of_the_first_rule(keys(sizes).unlearned(method, params, 0)) == as_ever
    other = method.complete({"forget_batch_size": 128})
    assert as_of_the_first_rule(keys(REMAINDERS).unlearned(method, other, 0))


@pytest.mark.slow
def test_a_study_keeps_its_trials_unless_a_batch_size_that_it_may_draw_is_concerned() -> None:
    sweep = read("method=ga", "search=quick")
    (method,) = sweep.methods
    assert as_of_the_first_rule(keys(AS_EVER).study(method, sweep.search, 0))
    assert not as_of_the_first_rule(keys(REMAINDERS).study(method, sweep.search, 0))
    fixed = read("method=ga", "search=quick", "method.params.batch_size=128").methods[0]
    assert as_of_the_first_rule(keys(REMAINDERS).study(fixed, sweep.search, 0))
    free = read("method=ft", "search=quick").methods[0]
    assert as_of_the_first_rule(keys(REMAINDERS).study(free, sweep.search, 0))


def test_a_default_value_that_a_dataset_cuts_off_starts_at_the_nearest_choice() -> None:
    """Else each seed would begin with a value that is drawn, and say that it is the default."""
    arguments = ("method=ft", "dataset=digits", "arch=smallnet", "search=thrifty")
    whole, cut = (read_command([*arguments, *more]).sweep for more in ((), ("dataset.max_batch_size=128",)))
    (method,), search = whole.methods, whole.search
    assert of(whole).starts(method, search) == {"defaults": method.defaults}
    starts = of(cut).starts(method, search)
    assert method.defaults["batch_size"] == 256 and starts == {"defaults": {**method.defaults, "batch_size": 128}}
    assert method.to_search(starts["defaults"], of(cut).ranges(method, search), 2)["batch_size"] == 128


def test_each_seed_has_its_own_sizes() -> None:
    """The forget sets of a halving may differ by a sample."""
    cell = read("forget=halves").cells[0]
    sizes = {seed: {**AS_EVER, "retain": 4160 + 2 * (seed == 3)} for seed in range(5)}
    made = CellKeys(cell, "ab" * 32, 10, sizes.__getitem__)
    assert [as_of_the_first_rule(made.reference("retrained", seed)) for seed in range(5)] == [True] * 3 + [False, True]


# --------------------------------------------------------------------------------------------------- shared originals


def of_forget_set(*arguments: str, stored: tuple[str, ...] = (), asked: list[str] | None = None) -> CellKeys:
    """stored: hashes of what is there; asked: gets what is looked up."""

    def there(key: Key, place: Place) -> bool:
        if asked is not None:
            asked.append(place.folder(key.stage, key.short).as_posix())
        return key.hash in stored

    return CellKeys(read(*arguments).cells[0], "ab" * 32, 10, lambda seed: AS_EVER, stored=there)


def test_forget_sets_share_the_original_and_nothing_else() -> None:
    made = [of_forget_set(f"forget.ratio={ratio}") for ratio in (0.1, 0.05, 0.2)]
    assert len({one.reference("original", 0).hash for one in made}) == 1
    assert len({one.reference("retrained", 0).hash for one in made}) == 3
    assert len({one.reference("original", seed).hash for one in made for seed in (0, 1)}) == 2
    (method,) = read("method=ga").methods
    unlearned = [one.unlearned(method, method.complete({}), 0) for one in made]
    assert [key.forget for key in unlearned] == [None, made[1].split, made[2].split]
    assert len({key.hash for key in unlearned}) == 3
    assert len({one.randomness_of(0) for one in made}) == 3, "nor are their attacks drawn alike"
    assert len({one.trains_for("original", 0).hash for one in made}) == 1
    assert len({one.trains_for("retrained", 0).hash for one in made}) == 3


def test_the_shared_original_is_the_one_that_the_default_forget_set_always_had() -> None:
    default = of_forget_set()
    key = default.reference("original", 0)
    assert key.split == default.split and key.split.forget_ratio == 0.1
    assert default.trains_for("original", 0) == default.cell_key


def test_an_original_of_a_forget_set_of_its_own_goes_on_to_be_used_where_it_is_stored() -> None:
    shared = of_forget_set("forget.ratio=0.2")
    own = shared.reference("original", 0).model_copy(update={"split": shared.split})
    asked: list[str] = []
    kept = of_forget_set("forget.ratio=0.2", stored=(own.hash,), asked=asked)
    assert kept.reference("original", 0) == own and kept.trains_for("original", 0) == kept.cell_key
    (method,) = read("method=ga").methods
    unlearned = kept.unlearned(method, method.complete({}), 0)
    assert "forget" not in unlearned.canonical() and kept.randomness_of(0) == own.hash, "as that version had it"
    assert kept.reference("original", 1) == shared.reference("original", 1)
    assert asked == [f"cifar10/resnet18/reference/original/seed{seed}-{key}" for seed, key in enumerate(
        (own.short, own.model_copy(update={"seed": 1}).short))], "each is looked up once"  # fmt: skip


def test_designs_of_halves_keep_originals_of_their_own() -> None:
    asked: list[str] = []
    made = of_forget_set("forget=halves", asked=asked)
    assert made.reference("original", 0).split.halving == 0 and made.shared == made.split and not asked
    assert made.trains_for("original", 0) == made.cell_key
