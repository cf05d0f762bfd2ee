"""The spread of a search, against values worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deepunlearn.analysis.figures.search import best_so_far, importances
from deepunlearn.analysis.search_spread import completed, spread


def trials(*lines: dict[str, Any]) -> pd.DataFrame:
    base = {
        "cell": "c",
        "result_set": "r",
        "method": "ft",
        "seed": 0,
        "state": "COMPLETE",
        "reason": "",
        "seconds": 1.0,
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


def test_the_hyper_parameter_that_decides_is_found() -> None:
    generator = np.random.default_rng(0)
    lines = []
    for _ in range(100):
        params = {
            "lr": float(10 ** generator.uniform(-4, 0)),
            "decay": float(generator.uniform()),
            "fixed": 3,
            "kind": "x",
        }
        lines.append({"mia": abs(np.log10(params["lr"]) + 2) / 4, "params": params})
    found = importances(completed(trials(*lines)))
    assert set(found) == {"lr", "decay"}
    assert found["lr"] > 0.7 and sum(found.values()) == pytest.approx(1)


def test_nothing_varied_nothing_mattered() -> None:
    assert importances(completed(trials(*[{"params": {"lr": 0.1}}] * 30))) == {}
