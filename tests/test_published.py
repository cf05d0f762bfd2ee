"""The tables of what defects of published code change, on results whose answer is known."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from record_pages import folders_in

from deepunlearn.analysis.records import collect
from deepunlearn.cli import run_main
from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.measure_config import Column
from deepunlearn.ulira.attack import attack
from scripts import published
from scripts.published import (
    MEASURES,
    METHODS,
    Change,
    Place,
    badness,
    by_correctness,
    by_loss,
    check_sets,
    of_measures,
    of_methods,
    places,
    verdict,
)
from tests.commands import run_command

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "scripts" / "published"
SWEEP = FOLDER / "published.yaml"


# --------------------------------------------------------------------------------------------------------------- U-LiRA


def test_correctness_does_not_see_what_confidence_gives_away() -> None:
    """Every model is right on every sample, and those that unlearned it are surer of it."""
    groups, samples = 12, 30
    pair = np.repeat(np.arange(groups), 2)
    own = np.tile([True, False], groups)[:, None] & np.ones(samples, bool)
    phi = np.random.default_rng(0).normal(3.0, 0.3, own.shape).astype(np.float32) + 2 * own
    models: Any = type("Made", (), {"phi": phi, "right": phi > 0, "pair": pair, "positive": {"forgotten": own},
                                    "never": ~own})  # fmt: skip
    assert attack(phi, pair, own, ~own).auc.value > 0.99
    found = by_correctness(models)
    assert found.auc.value == found.accuracy.value == 0.5
    models.right = None
    with pytest.raises(ConfigError, match="do not say which samples"):
        by_correctness(models)


def test_of_the_same_models_u_mia_sees_losses_alone() -> None:
    """A third of the models knows all that it should have forgotten, so well that it is told by any threshold."""
    models, samples = 6, 60
    own = np.zeros((models, samples), dtype=bool)
    own[:, :20] = True
    phi = np.random.default_rng(0).normal(0.0, 0.1, own.shape).astype(np.float32)
    phi[:2, :20] += 8
    made: Any = type("Made", (), {"phi": phi, "positive": {"forgotten": own}, "never": ~own})
    indisc, area = by_loss(made)
    assert area == pytest.approx(1 / 3, abs=0.15) and indisc == pytest.approx(2 / 3, abs=0.15)


def test_what_needs_the_models_is_kept_beside_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [["c", "ft", "0.5 [0.4, 0.6]", "0.5 [0.5, 0.5]", "0.6 [0.5, 0.7]", "0.5 [0.5, 0.5]", "0.970", "0.030"]]
    (tmp_path / "store").mkdir()
    monkeypatch.setattr(published, "of_ulira", lambda folder: iter(lines))
    assert published.attacked_in(tmp_path) == lines
    (tmp_path / "store").rmdir()
    assert published.attacked_in(tmp_path) == lines
    assert published.attacked_in(tmp_path / "records") == []


# ------------------------------------------------------------------------------------------------------------ the table


def column(name: str, better: str, best: float | None = None) -> Column:
    return Column.model_validate({"name": name, "meaning": "x", "better": better, "best": best})


def rows_of(**of: dict[str, list[float]]) -> pd.DataFrame:
    """Rows of one cell; of: column -> method -> value of each seed."""
    methods = next(iter(of.values()))
    lines = [
        {"cell": "c", "dataset_title": "D", "arch_title": "A", "forget_title": "F", "method": method, "seed": seed,
         "usable": True, **{name: of[name][method][seed] for name in of}}
        for method, own in methods.items() for seed in range(len(own))
    ]  # fmt: skip
    return pd.DataFrame(lines)


def test_a_place_is_that_among_the_others_and_its_interval_is_over_seeds() -> None:
    table = pd.DataFrame({"a": [1.0] * 5, "b": [2.0] * 5, "c": [2.0] * 5, "d": [0.0, 0.0, 0.0, 0.0, 6.0]})
    found = places(table)
    assert (found["a"].at, found["b"].at) == (1, 3.5)
    assert str(found["d"]) == "2 [1, 4]"
    assert str(places(table.iloc[:4])["d"]) == "1", "too few seeds for an interval"


@pytest.mark.parametrize(
    ("published_values", "places_", "told"),
    [
        ([0.3, 0.31, 0.3, 0.31, 0.3], (Place(1, 1, 2), Place(4, 3, 5)), "score and rank"),
        ([0.3, 0.31, 0.3, 0.31, 0.3], (Place(1, 1, 3), Place(4, 3, 5)), "score"),
        ([0.0, 0.2, 0.1, 0.0, 0.2], (Place(3, 3, 4), Place(1, 1, 2)), "rank"),
        ([0.1] * 5, (Place(1, 1, 2), Place(1, 1, 2)), "nothing seen"),
        ([0.1 + 1e-12] * 5, (None, None), "nothing seen"),
        ([0.3] * 4, (Place(1), Place(2)), "too few seeds"),
    ],
)
def test_what_a_defect_can_be_said_to_change(
    published_values: list[float], places_: tuple[Place | None, Place | None], told: str
) -> None:
    written = np.full(len(published_values), 0.1)
    assert verdict(Change.of(written, np.array(published_values)), *places_) == told


def test_a_method_is_placed_without_its_counterpart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "JUDGED_BY", ("RetDev",))
    retdev = {"ft": [0.2] * 5, "ssd": [0.1] * 5, "ssd_batch": [0.3] * 5, "retrained": [0.0] * 5, "ga": [0.4] * 5}
    (line,) = of_methods(rows_of(RetDev=retdev), {"RetDev": column("RetDev", "lower")})
    assert line[1:] == ["RetDev", "ssd", "0.100", "0.300", "+0.200 [+0.200, +0.200]", "1 [1, 1]", "2 [2, 2]",
                        "score and rank"]  # fmt: skip


def test_a_model_that_is_not_usable_has_no_score_and_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "JUDGED_BY", ("RetDev",))
    rows = rows_of(RetDev={"ssd": [0.1] * 5, "ssd_batch": [0.3] * 5})
    rows.loc[rows["method"].eq("ssd_batch") & rows["seed"].eq(2), "usable"] = False
    (line,) = of_methods(rows, {"RetDev": column("RetDev", "lower")})
    assert line[3:] == ["0.100", "n/a", "", "1 [1, 1]", "", ""]


def test_columns_to_be_met_are_held_against_the_retrained_model_of_the_seed() -> None:
    table = pd.DataFrame({"retrained": [0.5, 0.7], "original": [1.0, 1.0], "ft": [0.6, 0.6], "ga": [0.5, 0.9]})
    assert badness(table, column("X", "retrained")).round(9).to_dict("list") == {"ft": [0.1, 0.1], "ga": [0.0, 0.2]}
    assert badness(table, column("X", "higher"))["ft"].tolist() == [-0.6, -0.6]
    assert badness(table, column("X", "ideal", 0.6))["ga"].round(9).tolist() == [0.1, 0.3]
    assert badness(table[["ft"]], column("X", "retrained")).empty


def test_measures_are_compared_for_each_method_as_written() -> None:
    written = {"ft": [0.5] * 5, "ga": [0.9] * 5, "retrained": [0.5] * 5, "ssd_batch": [0.1] * 5}
    coded = {"ft": [0.90] * 5, "ga": [0.95] * 5, "retrained": [0.95] * 5, "ssd_batch": [0.1] * 5}
    columns = {name: column(name, "retrained") for name in ("ZRF", "ZRF_coded")}
    lines = {line[2]: line for line in of_measures(rows_of(ZRF=written, ZRF_coded=coded), columns)}
    assert set(lines) == {"ft", "ga", "retrained"}
    assert lines["ft"][3:5] == ["0.500", "0.900"] and lines["ft"][6:] == ["1 [1, 1]", "2 [2, 2]", "score and rank"]
    assert lines["ga"][6:8] == ["2 [2, 2]", "1 [1, 1]"] and lines["retrained"][6:] == ["", "", "score"]


def test_the_overview_says_what_changes_in_how_many_models() -> None:
    zrf, ssd = "ZRF averages a reversed divergence", "SSD squares the means of batches"

    def line(case: str, method: str, place: str, told: str, change: str = "+0.1 [+0.0, +0.2]") -> list[str]:
        return [case, "X", method, "0.1", "0.2", change, place, place, told]

    measured = [line(zrf, "ft", "1 [1, 2]", "score and rank"), line(zrf, "ga", "2 [1, 2]", "nothing seen"),
                line(zrf, "retrained", "", "score"), line(zrf, "ct", "", "", change="")]  # fmt: skip
    few = [line(zrf, "ft", "1", "too few seeds", change="+0.1")]
    cells = {"a": [line(ssd, "ssd", "1 [1, 2]", "score"), *measured], "b": few}
    assert list(published.overview(cells)) == [
        [ssd, "X", "+0.1 [+0.0, +0.2]: score", "n/a"],
        [zrf, "X", "score: 2 of 3, rank: 1 of 2", "too few seeds"],
    ]


def test_the_committed_tables_are_those_of_the_committed_records() -> None:
    folder = ROOT / "results" / "published"
    made = published.made_of(folders_in(folder))
    remake = "python scripts/published.py records=results/published page=results/published/tables.md"
    assert (folder / "tables.md").read_text(encoding="utf-8") == made, f"stale: {remake}"
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- overview of the defects -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    assert shown is not None and shown[1] == made.partition("\n\n")[0], "copy the overview into docs/findings.md"
    assert all(case in made for case in (*METHODS, *MEASURES, "0/1 correctness"))


def test_two_result_sets_of_a_method_are_refused() -> None:
    rows = rows_of(RetDev={"ft": [0.1]})
    with pytest.raises(ConfigError, match="several result sets"):
        check_sets(pd.concat([rows, rows]))


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    assert run_main(published.main, [f"records={tmp_path}"]) == 2


def test_the_sweep_composes_from_the_projects_folder() -> None:
    sweep = read_command(["sweep=scripts/published/published.yaml"]).sweep
    assert {"scrub", "scrub_shared"} <= {config.name for config in sweep.methods}


def test_the_sweep_has_both_sides_of_every_case() -> None:
    sweep = yaml.safe_load(SWEEP.read_text(encoding="utf-8"))
    assert {name for pair in METHODS.values() for name in pair} <= set(sweep["methods"])
    measures = next(one for one in sweep["overrides"] if one.startswith("measures="))
    assert {file.stem for file in (FOLDER / "measure").glob("*.yaml")} | {"zrf", "umia_erasure"} == set(
        yaml.safe_load(measures.partition("=")[2])
    )
    assert {file.stem for file in (FOLDER / "method").glob("*.py")} == {two for _, two in METHODS.values()}


# ----------------------------------------------------------------------------------------------------------- a tiny run


@pytest.mark.slow
def test_a_tiny_sweep_with_both_sides_makes_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = (
        "dataset=digits", "dataset.limit=300", "dataset.source=sklearn", "dataset.title=digits", "arch=smallnet",
        "forget=random", "forget.ratio=0.2", "train.epochs=6", "train.batch_size=16", "seeds=1", "runtime.threads=1",
        "method.sfron.params.steps=10", "method.sfron_fast.params.steps=10",
    )  # fmt: skip
    done = run_command("sweep", tmp_path, f"sweep={SWEEP}", f"plugins={FOLDER}", *tiny)
    assert done.returncode == 0, done.stderr
    page, results = tmp_path / "page.md", tmp_path / "results"
    assert run_main(published.main, [f"records={results}", f"page={page}"]) == 0
    assert page.read_text() in capsys.readouterr().out
    collect(results).write(results)
    shutil.rmtree(results / "store")
    assert run_main(published.main, [f"records={results}"]) == 0
    assert page.read_text() in capsys.readouterr().out, "records say the same without the store"
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.read_text().splitlines()]
    assert {line[0] for line in lines if len(line) == len(published.HEAD)} == {"case", "---", *METHODS, *MEASURES}
    scores = {line[2]: line for line in lines if line[0].startswith("relearning") and line[1].startswith("FA")}
    assert {"original", "retrained", "ft", "scrub"} <= set(scores) and "scrub_shared" not in scores
    assert scores["original"][3] == scores["original"][4] != "n/a", "it knows D_F as it did"
