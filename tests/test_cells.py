"""What results of a cell are called, and which earlier results they are."""

from __future__ import annotations

import pytest

from deepunlearn.cells import CellKeys
from deepunlearn.config import read_command
from deepunlearn.core.keys import REPORT, SELECTION, STREAMS, ReferenceKey, SearchKey
from deepunlearn.core.schema import SweepConfig

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
