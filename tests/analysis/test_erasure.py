"""ERASURE's table beside ours, and its sweep: planned without pictures, run on generated ones in CelebA's own files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from deepunlearn.analysis import records
from deepunlearn.analysis.erasure import against_erasure, published
from deepunlearn.analysis.inputs import OPTIONS, load_records
from deepunlearn.analysis.render import Table
from deepunlearn.analysis.tables import build
from deepunlearn.config import method_configs, read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.progress import Progress
from deepunlearn.launch.plan import Planner
from tests.commands import called, run_command
from tests.data.celeba_files import write_celeba

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf

PERSONS = {
    "dataset": "celeba", "dataset_title": "CelebA", "forget_kind": "where", "forget_title": "20 persons",
    "cell": "d" * 16,
}  # fmt: skip
STEPS = (
    "{from: train, by: where, where: {identity: [3, 5, 7]}, into: [forget, others]}",
    "{from: others, by: share, share: 0.8, into: [kept, test]}",
    "{from: kept, by: share, share: 0.1, into: [val, retain]}",
)
METHODS = ("advneggrad", "ft", "cfk", "euk", "srl", "ga")


def fill(shelf: Shelf) -> None:
    for seed in (0, 1):
        for method in ("original", "retrained"):
            shelf.add(method=method, method_title=method, seed=seed, TA=0.9, MIA=0.5, seconds=100.0 + seed, **PERSONS)
        shelf.add(seed=seed, TA=0.8 + seed / 10, MIA=0.6, seconds=10.0 + seed, **PERSONS)
        shelf.add(seed=seed, method="msg", method_title="MSG", TA=0.7, **PERSONS)


def beside(shelf: Shelf) -> Table:
    found = records.collect(shelf.root)
    (table,) = against_erasure(found.rows, found.cases, "")
    return table


def line(table: Table, method: str) -> dict[str, str]:
    (own,) = table.shown[table.shown["method"] == method].to_dict("records")
    return {str(name): str(value) for name, value in own.items()}


def test_what_was_published_is_whole_and_of_methods_that_there_are() -> None:
    table = published()
    assert set(table["method"]) - {"original", "retrained"} == set(METHODS) <= set(method_configs())
    assert table.set_index("title").loc["CF-k"].tolist()[1:] == [257.491, 0.923, 0.949, 100, 49.756, 0.521]
    assert table["Time"].isna().sum() == 1 and table.drop(columns="Time").notna().all().all()


def test_our_means_stand_beside_theirs(shelf: Shelf) -> None:
    fill(shelf)
    table = beside(shelf)
    assert line(table, "FineTuning") == {
        "method": "FineTuning",
        "Time ERASURE": "321.668", "Time": "10.500", "Acc ERASURE": "0.918", "Acc": "0.850",
        "AUS ERASURE": "0.969", "AUS": "not measured here", "RT ERASURE": "4", "RT": "not measured here",
        "AIN ERASURE": "1.995", "AIN": "not measured here", "UMIA ERASURE": "0.517", "UMIA": "not measured here",
        "MIA": "0.600", "RT_steps": "not measured here", "RTE": "4.00", "FLOPs_ratio": "not measured here",
        "peak_MB": "not measured here",
    }  # fmt: skip
    assert line(table, "Gold Model")["Time"] == "100.500", "training, as they count it"
    original = line(table, "Original Model")
    assert (original["Time ERASURE"], original["Time"], original["Acc"]) == ("-", "not measured here", "0.900")
    assert line(table, "CF-k")["Acc"] == "not run here"
    assert (line(table, "MSG")["Acc ERASURE"], line(table, "MSG")["Acc"]) == ("-", "0.700")


def test_what_measures_erasure_computes_is_put_beside_theirs_and_ours_where_it_differs(shelf: Shelf) -> None:
    fill(shelf)
    found = records.collect(shelf.root)
    computed = {"AUS_ERASURE": 0.97, "AUS": 0.5, "RT": 3.0, "AIN": 1.5, "UMIA": 0.55, "RT_steps": 7.0}
    costs = {"FLOPs_ratio": 12.5, "peak_MB": 80.0}
    (table,) = against_erasure(found.rows.assign(**computed, **costs), found.cases, "")
    own = line(table, "FineTuning")
    assert [own[name] for name in ("AUS", "RT", "AIN", "UMIA", "MIA", "RT_steps", "FLOPs_ratio", "peak_MB")] == [
        "0.970", "3", "1.500", "0.550", "0.600", "7", "12.50", "80.0"
    ]  # fmt: skip


def test_a_method_that_failed_says_so(shelf: Shelf) -> None:
    fill(shelf)
    for seed in (0, 1):
        shelf.add(
            seed=seed, method="ga", method_title="GA", usable=False, reason="broken", TA=None, MIA=None, **PERSONS
        )
    assert line(beside(shelf), "NegGrad")["Acc"] == "F"


def test_other_results_are_not_put_beside_it(shelf: Shelf) -> None:
    shelf.references(0)
    shelf.add()
    with pytest.raises(ConfigError, match="persons of CelebA"):
        load_records({**OPTIONS, "results": str(shelf.root), "compare": "erasure"})


@pytest.mark.slow
def test_tables_have_it_where_it_is_asked_for(shelf: Shelf) -> None:
    fill(shelf)
    found = records.collect(shelf.root)
    names = {compare: {one.name for one in build(found, [], compare)} for compare in ("none", "erasure")}
    assert names["erasure"] - names["none"] == {"erasure"}


def test_the_sweep_is_planned_without_the_pictures(tmp_path: Path) -> None:
    command = read_command(["sweep=erasure", f"dataset.root={tmp_path}", f"results={tmp_path / 'out'}", "plan=true"])
    planner = Planner(command.sweep, Progress(quiet=True), only_plan=True)
    sizes = planner.sizes(0)
    assert sum(sizes.values()) == 202_396, "all pictures but one in a thousand"
    assert 0.95 < sizes["forget"] / (20 * 202_396 / 10_177) < 1.05, "20 persons with as many pictures as others"
    others = 202_396 - sizes["forget"]
    assert sizes["test"] == round(0.2 * others) and sizes["retain"] == round(0.95 * 0.8 * others)
    assert command.sweep.cells[0].forget.title == "20 persons"
    assert tuple(planner.methods) == METHODS and len(planner.tasks) == 3 * (2 + 2 + 6)


@pytest.mark.slow
def test_the_sweep_runs_on_pictures_in_celebas_own_files(tmp_path: Path) -> None:
    write_celeba(tmp_path / "datasets", persons=30)
    small = (
        "arch=smallnet", "dataset.image_size=32", "train.epochs=2", "train.batch_size=64", "seeds=1",
        "runtime.threads=1", "measures=[erasure]", "dataset.test_ratio=0.1", "method.params.epochs=3",
        f"forget.steps=[{','.join(STEPS)}]",
    )  # fmt: skip
    done = called(tmp_path, "sweep=erasure", *small)
    assert done.returncode == 0, done.stderr
    made = run_command("tables", tmp_path, "compare=erasure")
    assert made.returncode == 0 and "Against ERASURE" in made.stdout, made.stderr
    table = pd.read_csv(tmp_path / "results" / "tables" / "erasure.csv").set_index("method")
    ran = ["original", "retrained", *METHODS[:2]]
    assert table.loc[ran, "Acc"].between(0, 1).all() and table.loc["retrained", "Time_ERASURE"] == 2048.487
    assert table.loc[ran, ["AUS", "RT", "AIN", "UMIA"]].notna().all(axis=None)
    assert table.loc["retrained", "AIN"] == 1 and table.loc["original", "RT"] == 0
    assert table.loc["ft", "FLOPs_ratio"] == pytest.approx(2 / 3), "3 epochs on D_R beside 2 of retraining"
    costs = table.loc[list(METHODS[:2]), ["FLOPs_ratio", "peak_MB"]]
    assert (costs > 0).all(axis=None) and table.loc[["original", "retrained"], "FLOPs_ratio"].isna().all()


THIRTEEN = (
    "ft", "srl", "cfk", "euk", "ga", "advneggrad", "unsir", "bt", "scrub", "ff", "ssd", "salun", "advneggrad-ft",
)  # fmt: skip


@pytest.mark.slow
def test_the_sweep_of_its_methods_has_all_of_them_on_both_forget_sets() -> None:
    sweep = read_command(["sweep=erasure_methods"]).sweep
    assert tuple(method.name for method in sweep.methods) == THIRTEEN, "gold: the retrained row; cascade: the chain"
    assert [cell.forget.name for cell in sweep.cells] == ["random", "classes"]
    masked = read_command(["sweep=erasure_methods", "method=ft,unsir", "method.mask.threshold=0.5"]).sweep.methods
    assert all("mask.threshold" in method.space for method in masked), "SalUn's map on any method"


@pytest.mark.slow
def test_its_methods_run_on_a_small_cell(tmp_path: Path) -> None:
    small = ("dataset.limit=300", "train.epochs=1", "seeds=1", "runtime.threads=1", "measures=[]")
    done = called(tmp_path, "sweep=erasure_methods", "dataset=digits", "arch=smallnet", "forget=classes",
                  "forget.classes=[3]", *small)  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {path.parts[-3] for path in (tmp_path / "results" / "store").rglob("rows/*/*/row.json")}
    assert rows == {"original", "retrained", *THIRTEEN}
    again = called(tmp_path, "sweep=erasure_methods", "dataset=digits", "arch=smallnet", "forget=classes",
                   "forget.classes=[3]", "method=ft", "method.mask.threshold=0.5", *small)  # fmt: skip
    assert again.returncode == 0, again.stderr
