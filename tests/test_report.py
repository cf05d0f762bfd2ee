"""Sizes and rounds from the command line to the page: one tiny sweep, its tables, its page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from deepunlearn.analysis.figures.style import Picture
from deepunlearn.report import write_figures
from tests.commands import run_command, sweep

pytestmark = pytest.mark.slow

TINY = ("seeds=1", "search=none", "train.epochs=5", "dataset.limit=400", "runtime.threads=1")
SWEEP = """
cells:
  - {dataset: digits, arch: smallnet, forget: {name: random, count: 1}}
  - {dataset: digits, arch: smallnet, forget: {name: random, count: 40}}
  - {dataset: digits, arch: smallnet, forget: {name: random, schedule: [4, 12, 20]}}
methods: [ft]
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one sweep of two sizes and three requests, with tables and page."""
    folder = tmp_path_factory.mktemp("series")
    (folder / "series.yaml").write_text(SWEEP, encoding="utf-8")
    for done in (
        sweep(folder, "sweep=series.yaml", *TINY), run_command("tables", folder), run_command("report", folder)
    ):  # fmt: skip
        assert done.returncode == 0, done.stderr
    return folder / "results"


def table(results: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(results / "tables" / f"{name}-digits-smallnet.csv")


def test_sizes_are_joined_and_rounds_are_no_sizes(results: Path) -> None:
    assert sorted(set(table(results, "sizes")["samples"])) == [1, 40], "36 are those of rounds"
    one = table(results, "sizes-accuracy").query("samples == 1")
    assert set(one["FA_low"].round(3)) <= {0.0, 0.025} and set(one["FA_high"].round(3)) <= {0.975, 1.0}
    assert "attack n/a: 1 sample is forgotten" in (results / "tables/sizes-digits-smallnet.md").read_text()


def test_each_round_goes_on_and_its_scores_are_in_order(results: Path) -> None:
    scores = table(results, "rounds-scores").set_index(["method", "round"])
    own = scores.loc["ft"]
    assert own["requested"].tolist() == [4, 12, 20] and own["forgotten"].tolist() == [4, 16, 36]
    assert pd.isna(own.loc[1, "FA_earlier_mean"]) and own["FA_earlier_mean"].notna().sum() == 2
    assert own["Disc_AUC_request_mean"].isna().tolist() == [True, False, False], "of 4 samples there is no attack"
    assert own["Disc_AUC_earlier_mean"].isna().tolist() == [True, True, False]
    assert scores.loc["retrained", "FA_request_mean"].notna().all()


def test_seconds_are_held_against_retraining_and_one_seed_has_no_verdict(results: Path) -> None:
    seconds = table(results, "rounds-seconds").set_index("method")
    assert (seconds["retraining_each"] > seconds["retraining_once"]).all()
    assert set(table(results, "rounds-verdicts")["verdict"]) == {"cannot tell: needs 5 seeds, has 1"}


def test_rankings_count_each_sequence_once(results: Path) -> None:
    coverage = pd.read_csv(results / "tables" / "coverage.csv")
    assert coverage["cell"].nunique() == 5, "two sizes and three rounds"
    seeds = pd.read_csv(results / "tables" / "reliability.csv").set_index("method")
    assert seeds.loc["ft", "result_sets"] == 3, "two sizes and the last round"


def test_the_page_has_a_view_of_each(results: Path) -> None:
    page = (results / "index.html").read_text(encoding="utf-8")
    assert 'id="over-sizes"' in page and 'id="over-rounds"' in page
    for name in ("sizes", "sizes-choice", "rounds-scores", "rounds-requests", "rounds-seconds"):
        assert (results / "figures" / f"{name}-digits-smallnet.pdf").exists()


def test_figures_of_an_earlier_report_are_replaced_and_nothing_else(tmp_path: Path) -> None:
    one = Picture("one", "One", "", "", "<svg/>", b"1", ".pdf")
    write_figures([one], tmp_path)
    (tmp_path / "mine.svg").write_text("mine")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    write_figures([replace(one, name="two", suffix=".svg")], tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"two.svg", "captions.md", "mine.svg", ".ipynb_checkpoints"}
