"""The winners of results/findings are what its rows have, and one of them, run again on one seed, has its rows.

With the same processor, threads and torch to the last bit, elsewhere as near as other seeds are to each other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from deepunlearn.analysis.records import gather
from tests.conftest import NO_IMAGES

ROOT = Path(__file__).parent.parent
SITTING = ROOT / "results" / "findings" / "1"
IMAGES = ROOT / "datasets" / "cifar10-images"
METHOD = "msg"
SAME = ["machine", "device", "threads", "torch", "precision"]  # where these are one, so is every bit
SCORES = ["RA", "FA", "VA", "TA", "RetDev", "MIA", "MIA_AUC", "Indisc", "Disc_AUC", "moved"]
ROUNDING = 0.02  # added to the spread of the seeds: five images of 255


def stored() -> pd.DataFrame:
    """The rows of sweep=findings and its references; the folder has those of other sweeps, too."""
    found = gather([SITTING])
    own = found.cases[found.cases["run"].str.rpartition("-")[0] == "findings"]
    rows = found.rows.assign(result_set=found.rows["result_set"].fillna(""))
    return rows[rows["cell"].isin(own["cell"]) & rows["result_set"].isin({"", *own["result_set"]})]


def test_the_winners_are_the_values_of_the_rows() -> None:
    winners = yaml.safe_load((SITTING / "findings.yaml").read_text(encoding="utf-8"))
    rows = stored()
    searched = rows[rows["search"].notna()]
    told = {name: [json.loads(text) for text in own.unique()] for name, own in searched.groupby("method")["params"]}
    assert {f"cifar10/resnet18/{name}" for name in told} == set(winners)
    for name, (params,) in told.items():
        winner = winners[f"cifar10/resnet18/{name}"]
        assert winner == {key: params[key] for key in winner}, name


def test_a_row_that_does_not_come_back_is_noticed() -> None:
    rows = stored()
    own = rows[rows["method"] == METHOD].reset_index(drop=True)
    row = own.loc[0]
    assert_comes_back(row.copy(), row, own)
    other = row.copy()
    other["RA"] += 1e-7
    with pytest.raises(AssertionError):
        assert_comes_back(other, row, own)
    other["machine"] = "another"
    assert_comes_back(other, row, own)
    other["RA"] -= 0.5
    with pytest.raises(AssertionError):
        assert_comes_back(other, row, own)


@pytest.mark.slow
@pytest.mark.skipif(not IMAGES.is_dir(), reason=NO_IMAGES)
def test_a_winner_run_again_gives_its_row(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "deepunlearn.sweep", "sweep=findings", f"method={METHOD}", "seeds=1", "measures=none"),
        *(f"hparams={SITTING / 'findings.yaml'}", f"dataset.root={IMAGES}", f"results={tmp_path}"),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows, again = stored(), gather([tmp_path]).rows.set_index("method")
    for name in ("original", "retrained", METHOD):
        own = rows[(rows["method"] == name) & (rows["cell"] == again.at[name, "cell"])]
        (row,) = (line for _, line in own[own["metrics_key"] == again.at[name, "metrics_key"]].iterrows())
        assert row["seed"] == 0
        assert_comes_back(again.loc[name], row, own)


def assert_comes_back(again: pd.Series, row: pd.Series, seeds: pd.DataFrame) -> None:
    """seeds: the rows of the same method, among them `row`."""
    if again[SAME].equals(row[SAME]):
        assert again[SCORES].to_dict() == row[SCORES].to_dict()
        return
    low, high = seeds[SCORES].min(), seeds[SCORES].max()
    around = high - low + ROUNDING
    assert ((low - around <= again[SCORES]) & (again[SCORES] <= high + around)).all(), again[SCORES].to_dict()
