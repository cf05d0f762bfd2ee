"""Trials at once: what may be together, and that a sweep finds the same as one by one."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from deepunlearn.config.methods import method_config
from deepunlearn.core.params import Value
from deepunlearn.methods.base import Problem
from deepunlearn.methods.ft import FineTuning
from deepunlearn.testing.small import make_setting, original_of, parts, quick_params, runtime
from deepunlearn.together import columns, groups, reason_apart
from tests.commands import sweep

FT = method_config("ft")
SETTINGS = (
    "arch=smallnet",
    "method=ft",
    "method.params.batch_size=64",
    "search=paper",
    "search.trials=4",
    "search.seeds=1",
    "search.max_epochs=2",
    "train.epochs=1",
    "seeds=1",
    "dataset.limit=400",
    "runtime.threads=1",
)


def values(**changes: Value) -> dict[str, Value]:
    return {**quick_params(FT), **changes}


def test_groups_differ_in_real_numbers_and_epochs_alone() -> None:
    many = [values(lr=0.1), values(batch_size=64), values(epochs=5), values(batch_size=64, weight_decay=0.0, epochs=1)]
    assert groups(FT, many) == [[2, 0], [1, 3]], "those of most epochs come first"


def test_what_may_differ_is_a_column() -> None:
    made = columns(FT, [values(lr=0.1, epochs=3), values(lr=0.2, epochs=1)], torch.device("cpu"))
    assert made["lr"].tolist() == [0.1, 0.2] and made["epochs"].tolist() == [3.0, 1.0]
    assert made["batch_size"] == values()["batch_size"] and made["lr"].dtype == torch.float64


@pytest.mark.parametrize(
    ("method", "arch", "settings", "word"),
    [
        ("ft", "smallnet", {}, None),
        ("scrub", "smallnet", {}, "no step for several"),
        ("ft", "smallnet", {"precision": "bf16"}, "bf16"),
        ("ft", "tinyvit", {}, "cannot be stacked"),
    ],
)
def test_what_is_run_one_by_one_says_why(method: str, arch: str, settings: dict[str, str], word: str | None) -> None:
    setting = make_setting(original_of(arch), arch, parts(train=60, test=40), runtime(**settings))
    why = reason_apart(method_config(method), setting)
    assert why is None if word is None else word in str(why)


def test_a_run_of_its_own_has_to_say_that_it_is_for_several() -> None:
    class OtherRun(FineTuning):
        def run(self, problem: Problem) -> Iterator[None]:
            yield from super().run(problem)

    class OtherName(FineTuning):
        pass

    assert FineTuning.together and OtherName.together and not OtherRun.together


@pytest.mark.slow
def test_a_search_finds_the_same_together_as_one_by_one(tmp_path: Path) -> None:
    found = []
    for together in (1, 4):
        folder = tmp_path / str(together)
        folder.mkdir()
        done = sweep(folder, *SETTINGS, f"search.together={together}")
        assert done.returncode == 0, done.stderr
        (table,) = (folder / "results" / "store").rglob("trials.csv")
        with table.open(encoding="utf-8") as file:
            found.append(list(csv.DictReader(file)))
    alone, grouped = found
    assert [line["together"] for line in alone] == ["1"] * 4 and [line["together"] for line in grouped] == ["4"] * 4
    for one, other in zip(alone, grouped, strict=True):
        assert json.loads(one["params"]) == json.loads(other["params"]) and one["state"] == other["state"]
        for loss in ("retain", "forget", "val", "mia"):
            assert float(one[loss]) == pytest.approx(float(other[loss]), abs=0.02), loss
