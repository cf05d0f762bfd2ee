"""Who is trained on what, who sees what, what is timed and which seed drives what, in whole sweeps.

The network notes the numbers of the images it meets and moves the clock (tests/witness.py), the method notes what it is
handed (tests/watcher.py). What is expected is counted here, from the split and the recipe.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from deepunlearn.config import read_command
from deepunlearn.core.seeding import derive_seed32
from deepunlearn.core.split import Split
from deepunlearn.launch.task import Task
from deepunlearn.metrics.mia import discernibility, mia_accuracy
from deepunlearn.search.selection import select
from deepunlearn.search.study import SlotStudy
from deepunlearn.testing.small import equal_states
from deepunlearn.training import CALIBRATION_STEPS, Checkpoint, History, train
from tests import witness
from tests.watcher import GIVEN, Given
from tests.wiring import BATCH, EPOCHS, PARTS, Done, epochs_of, evaluated, reference, report, steps, study, swept
from tests.witness import CLOCK, EVALUATING_SECONDS, FIRST_TEST, TRAINING_SECONDS, Witness

pytestmark = pytest.mark.usefixtures("witness_clock")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Three report seeds, of which 0 and 1 are searched on too."""
    return swept(tmp_path_factory.mktemp("sweep"), "seeds=3", "search.seeds=2", "forget.ratio=0.2")


RUNS = (report(0), report(1), report(2), study(0), study(1))
of_each_run = pytest.mark.parametrize("task", RUNS, ids=lambda task: f"{task.stage} {task.seed}")


def expected(split: Split) -> dict[str, list[int]]:
    """The numbers of the images of each part."""
    numbers = {part: getattr(split, part).tolist() for part in PARTS}
    return {**numbers, "test": [FIRST_TEST + number for number in numbers["test"]]}


def test_the_images_carry_the_numbers_that_the_split_counts_with(done: Done) -> None:
    pixels = done.experiment.decoded.train_images[:, 0, 0, :2].astype(int)
    assert (256 * pixels[:, 0] + pixels[:, 1]).tolist() == list(range(len(pixels)))
    parts = expected(done.experiment.split)
    assert sorted(parts["retain"] + parts["forget"] + parts["val"]) == list(range(len(pixels)))
    assert len({number for part in parts.values() for number in part}) == len(pixels) + len(parts["test"])


# --------------------------------------------------------------------------------------------- who is trained on what


@pytest.mark.parametrize("seed", [0, 1])
def test_originals_train_on_retain_and_forget_set_and_retrained_models_on_the_retain_set(done: Done, seed: int) -> None:
    parts = expected(done.experiment.split)
    for role, trained in (("original", parts["retain"] + parts["forget"]), ("retrained", parts["retain"])):
        passes = epochs_of(done.seen[reference(role, seed)], len(trained))
        assert [sorted(one) for one in passes] == [sorted(trained)] * EPOCHS, role


def test_each_epoch_of_each_model_has_an_order_of_its_own(done: Done) -> None:
    retain = set(expected(done.experiment.split)["retain"])
    orders = [
        tuple(number for number in one if number in retain)
        for role in ("original", "retrained")
        for seed in (0, 1)
        for one in epochs_of(
            done.seen[reference(role, seed)], len(retain) + len(done.experiment.split.forget) * (role[0] == "o")
        )
    ]
    assert len(set(orders)) == len(orders) == 4 * EPOCHS


def test_original_and_retrained_model_of_a_seed_start_alike_and_seeds_do_not(done: Done) -> None:
    starts = {
        (role, seed): done.seen[reference(role, seed)][0].weights
        for role in ("original", "retrained")
        for seed in (0, 1)
    }
    assert starts["original", 0] == starts["retrained", 0] != starts["original", 1] == starts["retrained", 1]


def test_logits_are_kept_under_the_part_that_they_are_of(done: Done) -> None:
    images, test_images = done.experiment.decoded.train_images, done.experiment.decoded.test_images
    tasks = [reference("original", 0), reference("original", 1), reference("retrained", 1), report(0), report(1)]
    for task in tasks:
        entry, net = done.entry(task), Witness(witness.CLASSES)
        net.load_state_dict(load_file(entry.file("weights.safetensors")))
        split = done.experiment.shared_split if task.method == "original" else done.experiment.split
        for part, logits in entry.arrays("logits.npz").items():
            rows = getattr(split, part)
            own = (test_images if part == "test" else images)[rows]
            np.testing.assert_allclose(
                logits, witness.by_hand(net, own), rtol=1e-3, atol=1e-4, err_msg=f"{task} {part}"
            )


def test_a_shared_originals_logits_are_read_by_the_parts_of_this_forget_set(done: Done) -> None:
    stored = done.entry(reference("original", 0)).arrays("logits.npz")
    read, split = done.experiment.logits("original", 0), done.experiment.split
    assert len(stored["forget"]) != len(read["forget"]) == len(split.forget)
    net = Witness(witness.CLASSES)
    net.load_state_dict(load_file(done.entry(reference("original", 0)).file("weights.safetensors")))
    for part in PARTS:
        decoded = done.experiment.decoded
        own = (decoded.test_images if part == "test" else decoded.train_images)[getattr(split, part)]
        np.testing.assert_allclose(read[part], witness.by_hand(net, own), rtol=1e-3, atol=1e-4, err_msg=part)


# -------------------------------------------------------------------------------------------------- what a method sees


@of_each_run
def test_a_method_is_handed_its_parts_with_their_labels_and_nothing_else(done: Done, task: Task) -> None:
    parts = expected(done.experiment.split)
    assert len(done.given[task]) == (2 if task.stage == "search" else 1)
    for given in done.given[task]:
        for part in ("retain", "forget", "val"):
            assert getattr(given, part) == done.labels(parts[part]), part


@of_each_run
def test_a_method_starts_from_the_original_of_its_seed_on_a_copy(done: Done, task: Task) -> None:
    assert task.seed is not None
    stored = load_file(done.entry(reference("original", task.seed)).file("weights.safetensors"))
    for given in done.given[task]:
        assert equal_states(given.original, stored) and equal_states(given.model, stored)
        assert given.apart


@pytest.mark.parametrize("seed", [0, 1])
def test_a_search_never_meets_a_test_image_and_scores_each_trial_on_the_other_parts(done: Done, seed: int) -> None:
    parts = expected(done.experiment.split)
    scored = parts["val"] + parts["retain"] + parts["forget"] + parts["val"]  # first the method's own look at D_V
    assert evaluated(done.seen[study(seed)]) == 2 * scored


@pytest.mark.parametrize("seed", [0, 1])
def test_a_trial_is_scored_against_the_retrained_model_of_its_seed(done: Done, seed: int) -> None:
    experiment, (method,) = done.experiment, done.planner.sweep.methods
    labels = {
        part: experiment.decoded.train_labels[getattr(experiment.split, part)] for part in ("retain", "forget", "val")
    }

    def accuracies(logits: dict[str, np.ndarray]) -> np.ndarray:
        return np.array([(logits[part].argmax(1) == labels[part]).mean() for part in labels])

    retrained = [accuracies(done.entry(reference("retrained", one)).arrays("logits.npz")) for one in (0, 1)]
    assert (retrained[0] != retrained[1]).any(), "else the seeds could be mistaken for each other"
    for trial in SlotStudy(experiment, method, done.planner.sweep.search, (seed,)).finished().values():
        net, _ = experiment.unlearn(method, trial.user_attrs["params"], seed)
        images = {part: experiment.decoded.train_images[getattr(experiment.split, part)] for part in labels}
        own = {part: witness.by_hand(net, images[part]) for part in labels}
        gaps = abs(accuracies(own) - retrained[seed]) / 3
        np.testing.assert_allclose(trial.user_attrs["losses"][:3], gaps, atol=1e-6)
        attacked = [cross_entropy(own[part], labels[part]) for part in ("forget", "val")]
        shuffle = derive_seed32("mia-val", experiment.keys.randomness_of(seed))
        assert trial.user_attrs["losses"][3] == pytest.approx(discernibility(mia_accuracy(*attacked, shuffle)), abs=0.1)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logits, labels = torch.from_numpy(logits), torch.from_numpy(labels)
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none").numpy()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_report_is_held_against_original_and_retrained_model_of_its_seed(done: Done, seed: int) -> None:
    row, experiment = done.row(report(seed)), done.experiment
    labels = {
        part: experiment.decoded.train_labels[getattr(experiment.split, part)] for part in ("retain", "forget", "val")
    }
    labels["test"] = experiment.decoded.test_labels[experiment.split.test]
    logits = {task: done.entry(task).arrays("logits.npz") for task in (report(seed), reference("retrained", seed))}
    own, retrained = ({part: (one[part].argmax(1) == labels[part]).mean() for part in PARTS} for one in logits.values())
    for name, part in (("RA", "retain"), ("FA", "forget"), ("VA", "val"), ("TA", "test")):
        assert row[name] == pytest.approx(own[part])
    for name, part in (("RR", "retain"), ("FR", "forget"), ("TR", "test")):
        assert row[name] == pytest.approx(own[part] / retrained[part])
    weights = load_file(done.entry(report(seed)).file("weights.safetensors"))
    for name, role in (("L2_original", "original"), ("L2_retrained", "retrained")):
        other = load_file(done.entry(reference(role, seed)).file("weights.safetensors"))
        parameters = [name for name, _ in Witness(witness.CLASSES).named_parameters()]
        squares = [float((weights[one] - other[one]).double().square().sum()) for one in parameters]
        assert row[name] == pytest.approx(math.sqrt(sum(squares)), rel=1e-5)


# ------------------------------------------------------------------------------------------------------- what is timed


def test_a_training_is_timed_without_what_comes_after_it(done: Done) -> None:
    parts = expected(done.experiment.split)
    for role, samples in (("original", len(parts["retain"] + parts["forget"])), ("retrained", len(parts["retain"]))):
        assert done.entry(reference(role, 0)).meta["seconds"] == EPOCHS * steps(samples) * TRAINING_SECONDS


def test_an_unlearning_run_is_timed_with_its_own_evaluation_and_without_ours(done: Done) -> None:
    """Two epochs on the retain set and one look at the validation set, which is one batch."""
    retain = len(done.experiment.split.retain)
    expected_seconds = 2 * steps(retain) * TRAINING_SECONDS + EVALUATING_SECONDS
    for seed in (0, 1, 2):
        assert done.entry(report(seed)).meta["seconds"] == expected_seconds
        assert done.row(report(seed))["seconds"] == expected_seconds


def test_what_is_done_at_a_yield_is_not_timed(done: Done) -> None:
    method = done.planner.sweep.methods[0]

    def slow(epoch: int, net: torch.nn.Module) -> None:
        CLOCK.now += 1e6

    _, run = done.experiment.unlearn(method, method.complete({}), 1, slow)
    assert run.epochs == 2
    assert run.seconds == done.entry(report(1)).meta["seconds"]


def test_what_is_done_after_an_epoch_of_training_is_not_timed(done: Done, tmp_path: Path) -> None:
    def slow(history: History) -> None:
        CLOCK.now += 1e6

    experiment, retain = done.experiment, done.experiment.split_data(0).parts["retain"]
    checkpoint = Checkpoint(tmp_path / "here.safetensors", 0.0)
    history = train(
        experiment.fresh_model(0),
        retain,
        experiment.cell.train,
        experiment.runtime,
        "id",
        checkpoint=checkpoint,
        on_epoch=slow,
    )
    assert history.seconds == EPOCHS * steps(len(retain)) * TRAINING_SECONDS


def test_retraining_counts_as_the_steps_of_the_recipe_on_the_retain_set(done: Done) -> None:
    """A step of the recipe takes one second on this clock, so RT(retrain) is their number."""
    samples = len(done.experiment.split.retain)
    assert steps(samples) != steps(samples + len(done.experiment.split.forget)), "else D and D_R could be mistaken"
    seconds = EPOCHS * steps(samples) * TRAINING_SECONDS
    for seed in (0, 1):
        row = done.row(report(seed))
        assert row["retrain_seconds"] == seconds
        assert row["RTE"] == pytest.approx(seconds / row["seconds"])
        assert done.entry(report(seed)).meta["retrain_step_seconds"] == TRAINING_SECONDS


def test_a_retrain_step_is_timed_on_the_retain_set_at_the_recipes_batch_size(done: Done) -> None:
    """The first report that was made also timed the steps, before it unlearned."""
    first = next(task for task in done.seen if task.stage == "evaluate" and task.method == "watcher")
    looks = [look for look in done.seen[first] if look.training]
    own = looks[: len(looks) - 2 * steps(len(done.experiment.split.retain))]
    assert len(own) > CALIBRATION_STEPS
    assert {number for look in own for number in look.numbers} == set(expected(done.experiment.split)["retain"])
    assert max(len(look.numbers) for look in own) == BATCH


# ------------------------------------------------------------------------------------------- which seed drives what


def test_every_report_has_random_states_of_its_own(done: Done) -> None:
    """And a report of a seed that was searched on has others than the trials, or it would be one of them."""
    drawn = [numbers for task in RUNS for numbers in draws(done.given[task][0])]
    assert len(set(drawn)) == len(drawn) == 2 * len(RUNS)


def draws(run: Given) -> tuple[tuple[float, ...], ...]:
    return run.generator, run.everybodys


def test_all_trials_of_a_study_have_one_random_state(done: Done) -> None:
    for seed in (0, 1):
        first, second = done.given[study(seed)]
        assert draws(first) == draws(second)


def test_the_robust_selection_runs_on_every_search_seed_as_neither_trials_nor_reports_did(done: Done) -> None:
    sweep = done.planner.sweep
    robust = sweep.model_copy(update={"search": sweep.search.model_copy(update={"selection": "robust"})})
    before = {numbers for task in RUNS for run in done.given[task] for numbers in draws(run)}
    runs = len(GIVEN)
    select(done.experiment, robust, sweep.methods[0])
    own = GIVEN[runs:]
    assert len(own) == 4 * 2, "all four trials are among the best five, and there are two search seeds"
    assert not before & {numbers for run in own for numbers in draws(run)}
    for seed in (0, 1):
        stored = load_file(done.entry(reference("original", seed)).file("weights.safetensors"))
        assert sum(equal_states(run.original, stored) for run in own) == 4


def test_a_report_is_not_the_winning_trial(done: Done) -> None:
    method, params = done.planner.sweep.methods[0], done.planner.winner(0, "watcher")
    assert params is not None
    for seed, same in ((0, False), (1, False), (2, True)):  # nobody has searched on seed 2: it stays what it was
        trial, _ = done.experiment.unlearn(method, params, seed)
        stored = load_file(done.entry(report(seed)).file("weights.safetensors"))
        assert equal_states(trial.state_dict(), stored) == same, seed


@pytest.mark.parametrize(("protocol", "first"), [("paper", 0), ("heldout", 10)])
def test_searches_run_on_the_protocols_seeds(protocol: str, first: int) -> None:
    sweep = read_command(["search=paper", f"protocol={protocol}"]).sweep
    assert sweep.search_seeds(sweep.cells[0]) == (first, first + 1, first + 2)
    assert sweep.seeds == tuple(range(10))


# ---------------------------------------------------------------------------------------------- a class is forgotten


@pytest.mark.slow
def test_retrained_networks_never_see_a_class_that_is_forgotten(tmp_path: Path) -> None:
    """From the command line through split, references and unlearning; images 30 to 59 are of class b."""
    tasks = [reference("original", 0), reference("retrained", 0), report(0)]
    options = ("forget=classes", "forget.classes=[b]", "search=none", "seeds=1")
    done = swept(tmp_path, *options, wanted=tasks)
    split, of_class = done.experiment.split, set(range(30, 60))
    assert set(split.forget.tolist()) == of_class - set(split.val.tolist()) and split.forgotten_classes == (1,)

    def trained_on(task: Task) -> set[int]:
        return {number for look in done.seen[task] if look.training for number in look.numbers}

    assert trained_on(reference("original", 0)) & of_class == set(split.forget.tolist())
    assert trained_on(reference("retrained", 0)) == set(split.retain.tolist())
    stored = done.experiment._stored(done.experiment.keys.split, done.experiment.keys.place())
    again = Split.of_arrays(stored.arrays("split.npz"))
    assert again.forgotten_classes == (1,) and again.unseen_test is not None and again.unseen_val is not None
    assert np.array_equal(again.unseen_test, np.arange(10, 20))
    assert set(again.unseen_val.tolist()) == of_class & set(split.val.tolist())
    assert done.row(report(0))["forget_ratio"] == pytest.approx(len(split.forget) / len(split.train))
