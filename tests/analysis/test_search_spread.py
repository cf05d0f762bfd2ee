"""The spread of a search, against values worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from deepunlearn.analysis import figures
from deepunlearn.analysis.figures import kept, search
from deepunlearn.analysis.figures.search import best_so_far, importances
from deepunlearn.analysis.records import FIDELITY, collect
from deepunlearn.analysis.search_spread import completed, spread
from deepunlearn.core.errors import StoreError

if TYPE_CHECKING:
    from tests.analysis.conftest import Shelf


def trials(*lines: dict[str, Any]) -> pd.DataFrame:
    base = {
        "cell": "c",
        "result_set": "r",
        "method": "ft",
        "seed": 0,
        "state": "COMPLETE",
        "reason": "",
        "seconds": 1.0,
        **dict.fromkeys(FIDELITY),
    }
    none = dict.fromkeys(("retain", "forget", "val", "mia"), 0.0)
    made = [
        {**base, "slot": slot, **none, **line, "params": json.dumps(line["params"])} for slot, line in enumerate(lines)
    ]
    return pd.DataFrame(made)


def test_norm_is_euclidean_and_only_completed_trials_count() -> None:
    done = completed(trials({"retain": 0.3, "mia": 0.4, "params": {}}, {"state": "PRUNED", "params": {}}))
    assert done["norm"].tolist() == [pytest.approx(0.5)]


def test_spread_by_hand() -> None:
    """Twelve completed trials: the best tenth are two, so three; a pruned one with the best losses does not count."""
    lines = [{"mia": 0.1 * number, "params": {"lr": 0.1 / number, "epochs": number}} for number in range(1, 13)]
    lines[5]["seed"] = 1
    lines.append({"mia": 0.0, "state": "PRUNED", "params": {"lr": 9.0, "epochs": 99}})
    lines.append({"state": "FAIL", "params": {"lr": 9.0, "epochs": 99}})
    (line,) = spread(trials(*lines)).to_dict("records")
    assert line["finished"] == "12 completed, 1 pruned, 1 diverged"
    assert line["norm_by_seed"] == "0.100, 0.600"
    assert line["best_trials"] == "epochs=1..3, lr=0.0333..0.1"


def test_pruned_trials_say_what_they_were_scored_by() -> None:
    lines = [{"state": "PRUNED", "params": {}, "epoch": epoch, "epochs": 10, "samples": 512} for epoch in (3, 2)]
    (line,) = spread(trials(*({**one, "sum": 0.5} for one in lines))).to_dict("records")
    assert line["finished"] == "2 pruned at epoch 2 to 3 of 10, scored on 512 samples"
    old = {"state": "PRUNED", "params": {}}  # as earlier versions left them
    assert spread(trials(old))["finished"].item() == "1 pruned"


def test_forty_trials_give_four() -> None:
    lines = [{"mia": 0.01 * number, "params": {"kind": "ab"[number % 2], "lr": float(number)}} for number in range(40)]
    assert spread(trials(*lines))["best_trials"].item() == "kind=a|b, lr=0..3"


def test_no_trials_no_lines() -> None:
    assert spread(trials({"params": {}}).iloc[:0]).empty


def test_a_search_without_completed_trials_has_its_states() -> None:
    (line,) = spread(trials({"state": "FAIL", "params": {"lr": 1.0}})).to_dict("records")
    assert line["finished"] == "1 diverged" and pd.isna(line["best_trials"])


def test_best_so_far_never_rises() -> None:
    lines = [{"mia": value, "params": {}} for value in (0.5, 0.7, 0.2, 0.9)]
    lines[1]["state"] = "FAIL"
    assert best_so_far(completed(trials(*lines)))[0].tolist() == [0.5, 0.5, 0.2, 0.2]


RANGES = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "decay": {"low": 0.0, "high": 1.0},
    "epochs": {"low": 1, "high": 10},
    "batch_size": {"choices": [32, 64, 128, 256]},
}


def searched(generator: np.random.Generator, count: int, seeds: int = 1) -> list[dict[str, Any]]:
    """Random values of `RANGES`, which nothing depends on; each search seed has a level of its own."""
    return [
        {
            "seed": number % seeds,
            "mia": generator.uniform(0.1, 0.5) + number % seeds,
            "params": {
                "lr": float(10 ** generator.uniform(-4, 0)),
                "decay": generator.uniform(),
                "epochs": int(generator.integers(1, 11)),
                "batch_size": int(generator.choice([32, 64, 128, 256])),
                "fixed": 3,
            },
        }
        for number in range(count)
    ]


def shares(lines: list[dict[str, Any]], ranges: dict[str, Any] | None = None) -> dict[str, float]:
    told = json.dumps(RANGES if ranges is None else ranges)
    return importances(completed(trials(*lines)).assign(ranges=pd.Series([told] * len(lines), dtype="string")))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 4])
def test_of_hyper_parameters_that_do_not_matter_nothing_is_shown(seeds: int) -> None:
    """In at least 95 % of searches with 20 trials."""
    found = [shares(searched(np.random.default_rng(number), 20, seeds)) for number in range(60)]
    assert sum(map(bool, found)) <= 3
    assert sum("batch_size" in one for one in found) <= 1, "where batch sizes are numbers they win"


@pytest.mark.parametrize("name", ["lr", "batch_size"])
def test_the_hyper_parameter_that_decides_is_found(name: str) -> None:
    lines = searched(np.random.default_rng(1), 60, seeds=3)
    for line in lines:
        line["mia"] = abs(np.log2(line["params"][name] / 64)) / 4 + line["seed"] / 10
    found = shares(lines)
    assert set(found) == {name}
    assert 0.5 < found[name] <= 1


def test_it_is_found_among_20_trials() -> None:
    lines = searched(np.random.default_rng(2), 20)
    for line in lines:
        line["mia"] = abs(np.log10(line["params"]["lr"]) + 2)
    assert set(shares(lines)) == {"lr"}


def test_whole_numbers_that_depended_on_others_have_the_range_in_which_they_came_out() -> None:
    lines = searched(np.random.default_rng(3), 60)
    for line in lines:
        line["mia"] = line["params"]["epochs"] / 10
    assert set(shares(lines, RANGES | {"epochs": {"low": 0.0, "high": 1.0}})) == {"epochs"}


def test_nothing_varied_or_no_ranges_nothing_mattered() -> None:
    assert shares([{"params": {"lr": 0.1}}] * 30, {"lr": RANGES["lr"]}) == {}
    without = completed(trials(*searched(np.random.default_rng(0), 30)))
    assert importances(without.assign(ranges=pd.Series(pd.NA, index=without.index, dtype="string"))) == {}


def enough() -> pd.DataFrame:
    """Twenty trials, the learning rate of which decides."""
    ranges = '{"lr": {"low": 0.0, "high": 20.0}, "epochs": {"low": 1, "high": 3}}'
    params = [{"lr": float(number), "epochs": 1 + number % 3} for number in range(20)]
    return trials(*({"mia": one["lr"] / 20, "params": one} for one in params)).assign(ranges=ranges)


def test_importances_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, found = search.all_importances(enough(), {})
    kept.write(tmp_path / "records" / kept.FILE, found)
    assert made["ft"].keys() == {"lr"} and len(found) == 1
    monkeypatch.setattr(search, "importances", lambda done: pytest.fail("computed again"))
    assert search.all_importances(enough(), kept.read(tmp_path / "records" / kept.FILE)) == (made, found)


@pytest.mark.parametrize(
    "change",
    [
        {"mia": 0.5},
        {"params": '{"lr": 3.5, "epochs": 1}'},
        {"ranges": '{"lr": {"low": 0.0, "high": 30.0}}'},
        {"seed": 1},
    ],
)
def test_other_trials_have_other_importances(change: dict[str, Any]) -> None:
    changed = enough()
    changed.loc[3, list(change)] = list(change.values())
    assert kept.digest(completed(changed)) != kept.digest(completed(enough()))
    assert kept.digest(completed(enough())) == kept.digest(completed(enough()))


def test_a_file_of_importances_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / kept.FILE).write_text('{"abc": {"lr": "much"}}')
    with pytest.raises(StoreError, match=r"importances\.json cannot be used") as error:
        kept.read(tmp_path / kept.FILE)
    assert "much" in str(error.value.given) and "delete it" in str(error.value.remedy)
    assert kept.read(tmp_path / "none.json") == {}


@pytest.mark.slow
def test_a_second_report_draws_the_same_from_what_is_kept(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [f'0,{slot},COMPLETE,,0,0,0,{slot / 20},1.0,"{{""lr"": {0.001 * (slot + 1)}}}"' for slot in range(20)]
    shelf.searched("\n".join([*told, ""]))
    found, path = collect(shelf.root), tmp_path / kept.FILE
    first = figures.draw(found, [], importances=path)
    monkeypatch.setattr(search, "importances", lambda done: pytest.fail("computed again"))
    assert figures.draw(found, [], importances=path) == first
    assert "importance-digits-resnet18" in {picture.name for picture in first}
