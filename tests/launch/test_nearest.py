"""`hparams=nearest`: whose values a sweep takes, and that it keeps them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from deepunlearn.analysis.nearness import Setting
from deepunlearn.analysis.rows import collect
from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.progress import Progress
from deepunlearn.launch import nearest
from deepunlearn.launch.nearest import with_nearest
from tests.commands import called, refusal, tree

SMALL = ("dataset=digits", "arch=smallnet", "seeds=1", "train.epochs=2", "runtime.threads=1")
SEARCH = ("search=quick", "search.trials=2", "search.seeds=1")
NEAREST = (*SMALL, "dataset.limit=800", "hparams=nearest")


def said(folder: Path, *arguments: str) -> str:
    """All that a sweep that ends well says."""
    done = called(folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def used(folder: Path) -> list[dict[str, Any]]:
    """The hyper-parameters of each model of FT that was made with given ones."""
    rows = collect(folder / "results")
    return [json.loads(text) for text in rows[(rows["method"] == "ft") & (rows["search"] == "file")]["params"]]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with winners of FT on 300 and on 700 samples, each with a weight decay that tells it from the other."""
    folder = tmp_path_factory.mktemp("nearest")
    for limit, decay in ((300, 0.00123), (700, 0.00321)):
        own = (f"dataset.limit={limit}", f"method.params.weight_decay={decay}")
        assert called(folder, "method=ft", *SMALL, *SEARCH, *own).returncode == 0
    return folder


@pytest.mark.slow
def test_the_values_of_the_nearest_setting_are_used_said_and_kept(searched: Path) -> None:
    planned = said(searched, "method=ft", *NEAREST, "plan=true")
    assert "hparams=nearest: digits/smallnet/ft: found by search=quick (2 trials) for digits, SmallNet" in planned
    assert "near, 0." in planned and "samples, there" in planned
    kept = searched / "results" / "nearest"
    assert not kept.exists(), "a plan writes nothing"

    said(searched, "method=ft", *NEAREST)
    (values,) = used(searched)
    assert values["weight_decay"] == 0.00321, "700 samples are nearer to 800 than 300 are"
    (file,) = kept.glob("*/hparams.yaml")
    assert len(tree(kept)) == 1, "no draft is left"
    assert yaml.safe_load(file.read_text()) == {"digits/smallnet/ft": values}
    assert file.read_text().startswith("# found by search=quick (2 trials) for digits, SmallNet")

    said(searched, "method=ft", *SMALL, *SEARCH, "dataset.limit=800", "method.params.weight_decay=0.00654")
    again = said(searched, "method=ft", *NEAREST)
    assert "as picked when this sweep began" in again and "nothing to do" in again
    assert "hparams=nearest: digits/smallnet/ft: found by search=quick (2 trials) for digits, SmallNet" in again
    assert used(searched) == [values], "a nearer one that was stored meanwhile changes nothing"
    said(searched, "method=ft", *NEAREST, "seeds=[1]")
    assert {one["weight_decay"] for one in used(searched)} == {0.00321, 0.00654}, "another sweep picks anew"


@pytest.mark.slow
def test_a_winner_that_was_searched_on_a_reported_seed_is_told_and_never_held_out(searched: Path) -> None:
    warning = "searched on seeds 0, which are reported here"
    assert warning in said(searched, "method=ft", *NEAREST, "plan=true")
    assert warning not in said(searched, "method=ft", *NEAREST, "seeds=[5]", "plan=true")

    held_out = ("method=ft", *NEAREST, "protocol=heldout")
    refused = called(searched, *held_out, "plan=true")
    assert refused.returncode == 2 and "digits/smallnet/ft was on seeds that are reported now" in refused.stderr
    assert "not seeds 0" in refused.stderr and "protocol=heldout" in refused.stderr
    assert warning not in said(searched, *held_out, "seeds=[5]", "plan=true")


def test_of_processes_that_begin_together_all_go_on_with_the_pick_that_was_first(tmp_path: Path) -> None:
    file = tmp_path / "nearest" / "0123abcd" / "hparams.yaml"
    nearest._keep(file, "first")
    nearest._keep(file, "second")
    assert file.read_text() == "first" and [*tree(tmp_path)] == ["nearest/0123abcd/hparams.yaml"]


def found(k: int, samples: int) -> nearest._Winner:
    """What a search for CF-k in a setting of so many samples may have found."""
    params = json.dumps({"k": k, "lr": 0.01})
    rows = pd.DataFrame([{"params": params, "method_version": 1, "seed": 0, "trials": 2, "search": "quick"}])
    setting = Setting(dataset="digits", arch="smallnet", classes=10, samples=samples, forgotten=samples // 10)
    return nearest._Winner("cfk", setting, f"{samples} samples", rows, frozenset())


def test_values_that_the_network_cannot_have_are_passed_over_and_nothing_refused_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SmallNet has two blocks."""

    def picked(*more: str, only_plan: bool = True) -> dict[str, Any]:
        sweep = read_command([*SMALL, "method=cfk", "hparams=nearest", f"results={tmp_path}", *more]).sweep
        return with_nearest(sweep, Progress(quiet=True), only_plan=only_plan).hparams["digits/smallnet/cfk"]

    near, far = found(k=4, samples=1200), found(k=1, samples=20)
    monkeypatch.setattr(nearest, "_winners", lambda _: [near, far])
    assert picked()["k"] == 1
    with pytest.raises(ConfigError, match="lr of method cfk is fixed by the command, and hparams=nearest has another"):
        picked("method.params.lr=0.5", only_plan=False)
    with pytest.raises(ConfigError, match="storage cannot be opened"):
        picked("search.storage=nosuch://x", only_plan=False)
    monkeypatch.setattr(nearest, "_winners", lambda _: [near])
    with pytest.raises(ConfigError, match="has found values that digits/smallnet can have") as refused:
        picked(only_plan=False)
    assert refused.value.allowed == "1 to 2" and not (tmp_path / "nearest").exists()


def test_a_method_with_nothing_to_search_has_its_values(tmp_path: Path) -> None:
    sweep = read_command([*SMALL, "method=sisa", "hparams=nearest", f"results={tmp_path}"]).sweep
    (method,) = sweep.methods
    picked = with_nearest(sweep, Progress(quiet=True), only_plan=False).hparams
    assert picked == {"digits/smallnet/sisa": method.defaults}
    (file,) = tmp_path.rglob("hparams.yaml")
    assert file.read_text().startswith("# nothing is searched")


@pytest.mark.slow
def test_a_method_without_a_stored_search_is_refused_before_anything_runs(searched: Path) -> None:
    before = tree(searched / "results" / "store")
    refused = called(searched, "method=ft,ga", *NEAREST)
    assert refused.returncode == 2 and "no search is stored for ga" in refused.stderr
    assert "methods with a stored winner: ft" in refused.stderr and "search=none" in refused.stderr
    assert tree(searched / "results" / "store") == before


def test_an_empty_folder_has_nothing_near(tmp_path: Path) -> None:
    refused = called(tmp_path, "method=ft", *NEAREST)
    assert refused.returncode == 2 and "(none)" in refused.stderr
    assert not (tmp_path / "results" / "nearest").exists()


def test_a_file_that_is_not_there_is_refused_with_the_word_that_is_known() -> None:
    assert str(refusal("method=ft", "hparams=nearst").allowed).endswith("or nearest")
