"""As test_wiring.py, in U-LiRA's design and through the library."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import deepunlearn
from deepunlearn.testing.small import equal_states
from deepunlearn.ulira.scores import scaled_confidence
from tests import watcher, witness
from tests.watcher import GIVEN
from tests.wiring import EPOCHS, Done, epochs_of, evaluated, reference, report, steps, swept
from tests.witness import EVALUATING_SECONDS, TRAINING_SECONDS, Witness

pytestmark = pytest.mark.usefixtures("witness_clock")

# ------------------------------------------------------------------------------------------------------------- U-LiRA


MODEL, HALVING, PART, DESIGN_PARTS = 3, 1, 1, 2  # the second model of the second halving
LIRA = (reference("original", 2), reference("retrained", MODEL), report(MODEL))


@pytest.fixture(scope="module")
def lira(tmp_path_factory: pytest.TempPathFactory) -> Done:
    design = ("forget=halves", "forget.halvings=12", f"forget.parts={DESIGN_PARTS}", "search=none")
    return swept(tmp_path_factory.mktemp("lira"), *design, wanted=LIRA)


def halves(done: Done) -> tuple[dict[str, list[int]], np.ndarray]:
    """The numbers of each part as the model's halving and forget set divide the pool, and the pool."""
    own = done.planner.splits(0)
    part = own.part[HALVING]
    chosen = {"retain": (part >= 0) & (part != PART), "forget": part == PART}
    numbers = {name: own.pool[rows].tolist() for name, rows in chosen.items()}
    return {**numbers, "val": own.val.tolist()}, own.pool


def test_models_of_the_design_train_on_their_half_and_retrained_ones_without_their_forget_set(lira: Done) -> None:
    parts, pool = halves(lira)
    assert 0 < len(parts["retain"] + parts["forget"]) < len(pool)
    for task, trained in zip(LIRA[:2], (parts["retain"] + parts["forget"], parts["retain"]), strict=True):
        passes = epochs_of(lira.seen[task], len(trained))
        assert [sorted(one) for one in passes] == [sorted(trained)] * EPOCHS, task


def test_a_method_sees_the_design_as_its_model_divides_it(lira: Done) -> None:
    parts, _ = halves(lira)
    (given,) = lira.given[report(MODEL)]
    for part, numbers in parts.items():
        assert getattr(given, part) == lira.labels(numbers), part
    stored = load_file(lira.entry(reference("original", 2)).file("weights.safetensors"))
    assert equal_states(given.original, stored) and equal_states(given.model, stored)


def test_statistics_are_of_the_whole_pool_in_its_order_and_no_test_image_is_met(lira: Done) -> None:
    parts, pool = halves(lira)
    scored = {
        reference("original", 2): pool.tolist(),
        reference("retrained", MODEL): [*pool.tolist(), *parts["retain"], *parts["forget"], *parts["val"]],
        report(MODEL): [*parts["val"], *pool.tolist()],  # first the method's own look at D_V
    }
    for task, numbers in scored.items():
        assert evaluated(lira.seen[task]) == numbers, task
    net = Witness(witness.CLASSES)
    net.load_state_dict(load_file(lira.entry(reference("original", 2)).file("weights.safetensors")))
    logits = witness.by_hand(net, lira.experiment.decoded.train_images[pool])
    expected_phi = scaled_confidence(logits, lira.experiment.decoded.train_labels[pool])
    stored = lira.entry(reference("original", 2)).arrays("phi.npz")["phi"]
    np.testing.assert_allclose(stored, expected_phi, rtol=1e-3, atol=1e-3)


def test_models_of_the_design_are_timed_like_others(lira: Done) -> None:
    parts, _ = halves(lira)
    seconds = 2 * steps(len(parts["retain"])) * TRAINING_SECONDS + EVALUATING_SECONDS
    assert lira.entry(report(MODEL)).meta["seconds"] == seconds


# -------------------------------------------------------------------------------------------------------- the library


def test_the_library_hands_the_callers_data_to_the_method(tmp_path: Path) -> None:
    (tmp_path / "watcher.yaml").write_text(watcher.YAML)
    (tmp_path / "watcher.py").write_text(watcher.CODE)
    numbers = {"retain": range(40), "forget": range(100, 110), "val": range(200, 220)}
    data = {part: numbered(own) for part, own in numbers.items()}
    for seed in (0, 1):
        deepunlearn.unlearn(
            Witness(witness.CLASSES),
            **data,
            method="watcher",
            extra_methods=str(tmp_path),
            seed=seed,  # type: ignore[arg-type]
        )
    for part, own in numbers.items():
        assert getattr(GIVEN[-1], part) == [(number, number % witness.CLASSES) for number in own]
    first, second = GIVEN[-2:]
    assert first.generator != second.generator and first.everybodys != second.everybodys


def numbered(numbers: Iterable[int]) -> tuple[torch.Tensor, torch.Tensor]:
    own = torch.tensor(list(numbers))
    images = torch.rand(len(own), 3, witness.SIZE, witness.SIZE)
    images[:, :, 0, 0], images[:, :, 0, 1] = (own // 256)[:, None] / 255, (own % 256)[:, None] / 255
    return images, own % witness.CLASSES
