"""The U-LiRA command on a small network: what is trained on what, what is kept, going on, attack and table."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepunlearn.analysis import ulira_results, verdict_results
from deepunlearn.config import read_command
from deepunlearn.core.progress import Progress
from deepunlearn.forget.halves import HalvesForget
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.task import Task
from deepunlearn.runtime import Runtime
from deepunlearn.search.study import score_model
from deepunlearn.ulira.attack_stage import Attacks, _judged, roles
from deepunlearn.ulira.scores import scaled_confidence
from deepunlearn.ulira.shadow_models import ShadowExperiment
from scripts.published import of_ulira
from tests.commands import run_command, tree

pytestmark = pytest.mark.slow
HALVINGS, PARTS = 12, 2
SMALL = (
    "dataset=digits", "dataset.limit=400", "dataset.val_ratio=0.1", "arch=smallnet", "method=ft,ga", "train.epochs=3",
    "train.batch_size=32", f"forget.halvings={HALVINGS}", f"forget.parts={PARTS}", "search=quick", "search.trials=2",
    "search.seeds=2", "runtime.threads=1",
)  # fmt: skip


@dataclass(frozen=True)
class Done:
    folder: Path
    stdout: str

    @property
    def planner(self) -> Planner:
        command = read_command([*SMALL, "forget=halves", f"results={self.folder / 'results'}"])
        return Planner(command.sweep, Progress())

    @property
    def experiment(self) -> ShadowExperiment:
        planner = self.planner
        return ShadowExperiment(
            planner.sweep.cells[0], planner.results, Runtime(planner.sweep.runtime).settle(), Progress()
        )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("lira")
    ran = run_command("lira", folder, *SMALL)
    assert ran.returncode == 0, ran.stderr
    return Done(folder, ran.stdout)


def test_the_plan_says_how_many_models_and_observations(tmp_path: Path) -> None:
    ran = run_command("lira", tmp_path, *SMALL, "plan=true")
    assert ran.returncode == 0, ran.stderr
    assert "12 originals, 24 retrained and 48 unlearned models" in ran.stdout
    assert "forgotten in 6 and never seen in 12" in ran.stdout
    assert "device hours" in ran.stdout
    assert not (tmp_path / "results" / "store").exists()


def test_a_trial_can_be_looked_at_on_few_samples_though_no_outputs_of_retrained_models_are_kept(done: Done) -> None:
    experiment = done.experiment
    seed = done.planner.sweep.search_seeds(experiment.cell)[0]
    model = experiment.original(experiment.cell.forget.reference_seed("original", seed))
    whole, few = score_model(experiment, model, seed), score_model(experiment, model, seed, 20)
    assert score_model(experiment, model, seed, 10_000) == whole != few


def test_as_many_models_as_planned_and_only_what_is_needed_of_each(done: Done) -> None:
    store = done.folder / "results" / "store" / "digits" / "smallnet"
    kinds = {
        "reference/original": (HALVINGS, {"phi.npz", "weights.safetensors", "history.json"}),
        "reference/retrained": (HALVINGS * PARTS, {"phi.npz", "accuracies.json", "history.json"}),
        "unlearned/ft": (HALVINGS * PARTS, {"phi.npz"}),
        "unlearned/ga": (HALVINGS * PARTS, {"phi.npz"}),
    }
    for kind, (count, files) in kinds.items():
        entries = list((store / kind).iterdir())
        assert len(entries) == count, kind
        for entry in entries:
            assert {path.name for path in entry.iterdir()} == files | {"config.json", "meta.json"}
    assert not (store / "rows").exists() and not (store / "metrics").exists()


def test_the_attack_on_correctness_is_on_the_same_stored_models(done: Done) -> None:
    """Beside ours as it is stored; what it takes of the models is in tests/test_published.py."""
    lines = {line[1]: line[2:] for line in of_ulira(done.folder / "results")}
    assert set(lines) == {"original", "retrained", "ft", "ga"}
    stored = [one for one in ulira_results.collect(done.folder / "results")
              if (one["variant"], one["question"]) == ("full", "forgotten")]  # fmt: skip
    assert {one["method"] for one in stored} == set(lines)
    for one in stored:
        accuracy, by_correctness, area, *_ = lines[one["method"]]
        assert accuracy.startswith(f"{one['accuracy']:.3f} [") and area.startswith(f"{one['auc']:.3f} [")
        assert accuracy != by_correctness
    assert all(0 <= float(value) <= 1 for line in lines.values() for value in line[-2:]), "U-MIA's of the same models"


def test_searched_on_the_first_forget_set_of_the_first_halvings(done: Done) -> None:
    searches = [task.seed for task in done.planner.tasks if task.stage == "search" and task.method == "ft"]
    assert searches == [0, PARTS]


def test_models_of_a_halving_share_its_original_and_nothing_else(done: Done) -> None:
    keys = done.planner.keys[0]
    originals = {keys.reference("original", model).hash for model in range(HALVINGS * PARTS)}
    retrained = {keys.reference("retrained", model).hash for model in range(HALVINGS * PARTS)}
    assert len(originals) == HALVINGS and len(retrained) == HALVINGS * PARTS
    assert keys.reference("original", 2).hash == keys.reference("original", 3).hash
    assert keys.reference("original", 1).seed != keys.reference("original", 2).seed, "each its own initial weights"
    task = Task("evaluate", 0, "ft", 3)
    needed = {(one.stage, one.method, one.seed) for one in done.planner.inputs(task)}
    assert needed == {("reference", "original", 2), ("reference", "retrained", 3), ("select", "ft", None)}


def test_statistics_are_those_of_the_models(done: Done) -> None:
    """The stored phi of an original against its weights, sample by sample of the pool."""
    experiment = done.experiment
    entry = experiment.reference("original", 5)
    model = experiment.load("original", 5)
    pool = experiment.split_data(5).parts["pool"]
    assert np.array_equal(pool.labels.numpy(), experiment.decoded.train_labels[experiment.halves.pool])
    logits = experiment.predict(model, experiment.split_data(5), ("pool",))["pool"]
    again = scaled_confidence(logits, pool.labels.numpy())
    np.testing.assert_allclose(entry.arrays("phi.npz")["phi"], again, rtol=1e-4, atol=1e-4)


def test_a_model_sees_its_half_without_its_forget_set(done: Done) -> None:
    experiment = done.experiment
    split_data, split = experiment.split_data(7), experiment.halves.of(7)
    for name in ("retain", "forget", "train"):
        expected = experiment.decoded.train_images[getattr(split, name)]
        images = np.concatenate([batch.numpy() for batch, _ in split_data.parts[name].batches(64)])
        scale = (expected.max() - expected.min()) / (images.max() - images.min())
        assert len(images) == len(expected), name
        flat, raw = images[:, 0].reshape(len(images), -1), expected[:, 0].reshape(len(images), -1).astype(float)
        np.testing.assert_allclose((flat - flat.min()) * scale, raw - raw.min(), atol=1.0)


def test_roles(done: Done) -> None:
    halves, design = done.planner.splits(0), HalvesForget(name="halves", halvings=HALVINGS, parts=PARTS)
    own = roles(halves, design, [3], shared=False)
    split = halves.of(3)
    assert np.array_equal(halves.pool[own["positive"]["forgotten"][0]], split.forget)
    assert np.array_equal(halves.pool[own["positive"]["retained"][0]], split.retain)
    assert np.array_equal(halves.pool[own["never"][0]], np.setdiff1d(halves.pool, split.train))
    shared = roles(halves, design, [2], shared=True)
    assert np.array_equal(halves.pool[shared["positive"]["forgotten"][0]], split.train)


def test_the_attack_is_stored_printed_and_tabulated(done: Done) -> None:
    assert "per-sample attack (U-LiRA)" in done.stdout and "| GA" in done.stdout
    lines = pd.DataFrame(ulira_results.collect(done.folder / "results"))
    expected = {
        ("original", "forgotten"),
        *((name, q) for name in ("retrained", "ft", "ga") for q in ("forgotten", "retained")),
    }
    assert set(zip(lines["method"], lines["question"], strict=True)) == expected
    assert set(lines["variant"]) == {"full", "cheap", "rmia", "iam", "ruli"}
    uncalibrated = lines["variant"].isin(["rmia", "iam"])
    assert lines.loc[uncalibrated, "accuracy"].isna().all() and lines["auc"].between(0, 1).all()
    own = lines[~uncalibrated]
    assert own["accuracy"].between(0, 1).all() and (own["accuracy_low"] <= own["accuracy_high"]).all()
    assert (lines["samples"] + lines["left_out"] == lines["pool"]).all()
    for name in ("tables", "report"):
        assert run_command(name, done.folder).returncode == 0
    assert (done.folder / "results" / "tables" / "ulira-digits-smallnet.csv").is_file()
    assert (done.folder / "results" / "figures" / "ulira-digits-smallnet.pdf").is_file()
    assert "attacks-ga" in (done.folder / "results" / "index.html").read_text(encoding="utf-8")


def test_verdicts_of_the_same_models_are_stored_printed_and_tabulated(done: Done) -> None:
    lines = pd.DataFrame(verdict_results.collect(done.folder / "results"))
    assert set(lines["method"]) == {"original", "ft", "ga"}
    few = lines[lines["verdict"] == "KLoM, mean"]
    assert set(few["reason"]) == {"needs 20 halvings"} and few["value"].isna().all()
    scores = lines[lines["verdict"] == "forgetting score"]
    assert scores["value"].between(0, 1).all() and set(scores["largest_epsilon"]) == {2}
    assert lines.loc[lines["verdict"] == "forgetting score x RA x TA", "value"].notna().all()
    assert "verdicts of the same models" in done.stdout and "needs 5 methods" in done.stdout
    assert run_command("tables", done.folder).returncode == 0
    assert (done.folder / "results" / "tables" / "ulira-digits-smallnet-verdicts.csv").is_file()
    assert (done.folder / "results" / "tables" / "ulira-digits-smallnet-agreement.csv").is_file()


def test_memorisation_is_that_of_the_originals_and_is_said_of_each_sample(done: Done) -> None:
    (path,) = (done.folder / "results" / "store").glob("*/*/memorisation/*/*/memorisation.npz")
    with np.load(path) as stored:
        scores, rows = stored["score"], stored["rows"]
    experiment, trained = done.experiment, done.planner.splits(0).part >= 0
    assert np.array_equal(rows, experiment.halves.pool)
    right = np.stack([experiment.reference("original", PARTS * h).arrays("phi.npz")["right"] for h in range(HALVINGS)])
    x = 17
    assert scores[x] == pytest.approx(right[trained[:, x], x].mean() - right[~trained[:, x], x].mean())


def test_a_sweep_forgets_what_these_models_memorise(done: Done, tmp_path: Path) -> None:
    """The pool of the design and what a sweep trains on are the same samples."""
    data = [one for one in SMALL if one.startswith("dataset")]
    forget = ["forget=difficulty", "forget.by=memorisation", f"forget.bank={done.folder / 'results'}"]
    command = read_command([*data, *forget, "arch=smallnet", "method=ft", "search=none", f"results={tmp_path}"])
    split = Planner(command.sweep, Progress()).splits(0).of(0)
    (path,) = (done.folder / "results" / "store").glob("*/*/memorisation/*/*/memorisation.npz")
    with np.load(path) as stored:
        scores = dict(zip(stored["rows"].tolist(), stored["score"].tolist(), strict=True))
    assert set(scores) == {*split.forget.tolist(), *split.retain.tolist()}
    assert min(scores[row] for row in split.forget) >= max(scores[row] for row in split.retain)


def test_models_of_earlier_versions_are_judged_too(done: Done, tmp_path: Path) -> None:
    """Theirs is phi alone: attacks as before, memorisation by p > 0.5, no accuracies."""
    folder = tmp_path / "copy"
    shutil.copytree(done.folder, folder)
    store = folder / "results" / "store" / "digits" / "smallnet"
    for stage in ("verdicts", "memorisation"):
        shutil.rmtree(store / stage)
    planner = Done(folder, "").planner
    attacks = Attacks(planner, 0)
    read = attacks._read
    attacks._read = lambda name, tasks: replace(read(name, tasks), right=None)  # type: ignore[method-assign]
    assert attacks.run() == {}
    lines = pd.DataFrame(verdict_results.collect(folder / "results")).set_index(["method", "verdict"])
    assert "earlier versions" in lines.loc[("ft", "forgetting score x RA x TA"), "reason"]
    assert lines.loc[("ft", "memorisation"), "reason"].startswith("by p > 0.5")


def test_a_second_run_computes_nothing(done: Done) -> None:
    before = tree(done.folder / "results" / "store")
    ran = run_command("lira", done.folder, *SMALL)
    assert ran.returncode == 0 and "nothing to do" in ran.stdout
    (command,) = (done.folder / "results" / "runs").glob("*/command.txt")
    assert command.read_text().startswith("python -m deepunlearn.lira dataset=digits")
    assert tree(done.folder / "results" / "store") == before


def test_what_is_missing_is_made_again_and_attacked_alike(done: Done, tmp_path: Path) -> None:
    """Models, searches and attacks deleted: the same numbers come back."""
    folder = tmp_path / "copy"
    shutil.copytree(done.folder, folder)
    store = folder / "results" / "store" / "digits" / "smallnet"
    shutil.rmtree(next((store / "unlearned" / "ft").iterdir()))
    shutil.rmtree(next((store / "reference" / "retrained").iterdir()))
    shutil.rmtree(store / "attacks")
    assert run_command("lira", folder, *SMALL).returncode == 0
    one, other = (ulira_results.collect(where / "results") for where in (done.folder, folder))
    for line, again in zip(one, other, strict=True):
        assert {**line, "seconds": 0, "date": ""} == {**again, "seconds": 0, "date": ""}


def test_a_method_with_missing_models_is_not_attacked(done: Done, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(done.folder, folder)
    store = folder / "results" / "store" / "digits" / "smallnet"
    shutil.rmtree(store / "attacks")
    shutil.rmtree(next((store / "unlearned" / "ft").iterdir()))
    planner = Done(folder, "").planner
    assert Attacks(planner, 0).run() == {"ft": 1}
    assert {line["method"] for line in ulira_results.collect(folder / "results")} == {"original", "retrained", "ga"}


def test_retrained_models_are_alike_and_originals_are_not(done: Done) -> None:
    """The ends of the scale, with statistics planted over the real ones: +1 on what each original was trained on."""
    planner = done.planner
    attacks = Attacks(planner, 0)
    generator = np.random.default_rng(0)
    for name, least, most in (("original", 0.6, 1.0), ("retrained", 0.42, 0.56)):
        models = attacks._read(name, attacks._tasks(name))
        noise = generator.normal(size=models.phi.shape).astype(np.float32)
        models.phi[:] = noise + (2.0 * models.positive["forgotten"] if name == "original" else 0)
        lines, accuracies = _judged(models, "forgotten")
        assert least < lines[0]["accuracy"] < most, name
        assert lines[0]["sure"] == (models.phi[models.positive["forgotten"]] > 0).mean()
        assert accuracies["accuracies"].mean() == pytest.approx(lines[0]["accuracy"])


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("forget.halvings=10", "at least 12"),
        ("forget.halvings=13", "even number"),
        ("forget.parts=1", "greater than or equal to 2"),
        ("search.seeds=13", "at most 12"),
        ("forget.parts=40", "too small"),
        ("forget.ratio=0.1", "forget.ratio"),
    ],
)
def test_bad_designs_are_refused_before_anything_runs(tmp_path: Path, argument: str, words: str) -> None:
    name = argument.split("=", maxsplit=1)[0]
    ran = run_command("lira", tmp_path, *(one for one in SMALL if not one.startswith(f"{name}=")), argument)
    assert ran.returncode == 2 and words in ran.stderr and "Traceback" not in ran.stderr
    assert not (tmp_path / "results" / "store").exists()


def test_shipped_designs(tmp_path: Path) -> None:
    paper = read_command(["sweep=ulira", "forget=halves", f"results={tmp_path}"]).sweep
    searched = paper.search_seeds(paper.cells[0])
    assert len(searched) == 32 and searched[:2] == (0, 10) and len(paper.report_seeds(paper.cells[0])) == 640
    small = read_command(["sweep=ulira_small", "forget=halves", f"results={tmp_path}"]).sweep
    assert len(small.report_seeds(small.cells[0])) == 80


def test_random_forgetting_is_no_design(tmp_path: Path) -> None:
    ran = run_command("lira", tmp_path, *SMALL, "forget=random")
    assert ran.returncode == 2 and "Traceback" not in ran.stderr
