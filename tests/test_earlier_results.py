"""Results of an earlier version are found again: a small store made by commit cbf9995 of this program.

It was made in an empty folder by the two commands below, with `dataset=digits`, Python 3.11 and torch 2.15; the archive
holds `results/store` and `results/search`.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from deepunlearn.analysis import records
from deepunlearn.analysis.coverage import require_complete
from deepunlearn.config import read_command
from deepunlearn.core.progress import Progress
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.task import Task
from tests.commands import called, sweep

ARCHIVE = Path(__file__).parent / "fixtures" / "store-cbf9995.tar.xz"
OWN_ORIGINAL = Path(__file__).parent / "fixtures" / "store-fc53373.tar.xz"  # forget.ratio=0.2, one seed
CELL = ("arch=smallnet", "train.epochs=1", "seeds=2", "dataset.limit=640", "runtime.threads=1", "keep=logits")
ANOTHER_RATIO = (
    "dataset=digits", "arch=smallnet", "train.epochs=1", "seeds=1", "dataset.limit=200", "runtime.threads=1",
    "keep=logits", "method=ft", "search=none", "forget.ratio=0.2",
)  # fmt: skip
DEFAULTS = ("method=ft,ct,msg", "search=none", *CELL)
SEARCHED = ("method=ft,ga", "search=quick", "search.trials=2", "search.seeds=1", *CELL)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def _planner(folder: Path, arguments: Sequence[str]) -> Planner:
    return Planner(read_command([*arguments, f"results={folder / 'results'}"]).sweep, Progress())


def _tasks(planner: Planner, stage: str) -> list[Task]:
    return [task for task in planner.tasks if task.stage == stage]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [DEFAULTS, SEARCHED])
def test_originals_retrained_models_and_searches_are_found(earlier: Path, arguments: Sequence[str]) -> None:
    planner = _planner(earlier, arguments)
    kept = [task for task in planner.tasks if task.stage != "evaluate"]
    assert kept and [str(task) for task in kept if not planner.is_done(task)] == []


def test_of_given_values_only_models_of_methods_with_a_new_version_are_made_again(earlier: Path) -> None:
    planner = _planner(earlier, DEFAULTS)
    lacking = {task.method for task in _tasks(planner, "evaluate") if not planner.has_model(task)}
    assert planner.methods["msg"].version > 1 and lacking == {"msg"}


def test_of_searched_values_only_the_model_that_its_own_search_saw_is_made_again(earlier: Path) -> None:
    planner = _planner(earlier, SEARCHED)
    lacking = {(task.method, task.seed) for task in _tasks(planner, "evaluate") if not planner.has_model(task)}
    assert lacking == {("ft", 0), ("ga", 0)}


@pytest.mark.slow
def test_what_is_the_default_can_be_given_as_well(earlier: Path) -> None:
    """The model and its scores are those of before, its row is there under both names, and is shown once."""
    own = ("method=ft", *DEFAULTS[1:])
    assert called(earlier, *own).returncode == 0
    before = set((earlier / "results/store").rglob("config.json"))
    planner = _planner(earlier, [*own, "method.params.lr=1e-2"])
    lacking = [task for task in _tasks(planner, "evaluate") if not planner.is_done(task)]
    assert {task.method for task in lacking} == {"ft"} and all(planner.has_model(task) for task in lacking)
    done = called(earlier, *own, "method.params.lr=1e-2")
    assert done.returncode == 0 and "trained" not in done.stderr and " unlearned in " not in done.stderr, done.stderr
    added = set((earlier / "results/store").rglob("config.json")) - before
    assert {path.relative_to(earlier / "results/store").parts[2] for path in added} == {"rows"} and len(added) == 2
    assert all(planner.is_done(task) for task in planner.tasks)
    found = records.collect(earlier / "results")
    require_complete(found.cases)
    table = found.rows[found.rows["method"] == "ft"].groupby("result_set")["search"].first()
    assert sorted(table) == ["default", "quick"], "FT stands in one table, that with CT and MSG of the earlier version"


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [DEFAULTS, SEARCHED])
def test_the_same_command_completes_them_without_training_or_searching(earlier: Path, arguments: Sequence[str]) -> None:
    before = set((earlier / "results/store").rglob("weights.safetensors"))
    done = sweep(earlier, *arguments)
    assert done.returncode == 0, done.stderr
    assert set((earlier / "results/store").rglob("weights.safetensors")) == before
    assert "trained" not in done.stderr + done.stdout


def test_an_original_that_was_trained_for_one_forget_set_alone_goes_on_to_serve_that(tmp_path: Path) -> None:
    """Made by commit fc53373, which trained one for each: `python -m deepunlearn.sweep` with ANOTHER_RATIO."""
    with tarfile.open(OWN_ORIGINAL) as archive:
        archive.extractall(tmp_path, filter="data")
    planner = _planner(tmp_path, ANOTHER_RATIO)
    assert len(planner.tasks) == 5 and [str(task) for task in planner.tasks if not planner.is_done(task)] == []
    other = _planner(tmp_path, [*ANOTHER_RATIO[:-1], "forget.ratio=0.3"])
    assert not any(other.is_done(task) for task in other.tasks), "no other forget set can be judged by its outputs"
    more = _planner(tmp_path, [*ANOTHER_RATIO, "seeds=2"])
    originals = [more.keys[0].reference("original", seed).split.forget_ratio for seed in (0, 1)]
    assert originals == [0.2, 0.1], "what it lacks is trained for all forget sets"
