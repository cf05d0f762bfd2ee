"""The statistics against invented result sets whose truth is known; scripts/simulated_truth.py runs more of them."""

from __future__ import annotations

import importlib.util
import math
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SETS = 12


@pytest.fixture(scope="module")
def simulated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulated_truth", ROOT / "scripts" / "simulated_truth.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5, 10])
def test_intervals_cover_and_few_cells_have_a_false_difference(simulated: ModuleType, seeds: int) -> None:
    told = {kind: simulated.simulate(kind, seeds, SETS) for kind in simulated.TRUTHS}
    for kind in ("like the paper", "evenly spread", "in three ties"):
        assert told[kind]["coverage"] >= 0.92, (kind, told[kind])
        assert told[kind]["width"] < 9, "an interval over all places would cover, too"
    assert sum(one["false"] for one in told.values()) / len(told) <= 0.06
    assert told["all equal"]["false"] <= 0.06 and told["in three ties"]["false"] <= 0.06
    assert told["all equal"]["refused"] >= 0.8 and told["like the paper"]["refused"] == 0
    if seeds == 10:
        assert told["in three ties"]["power"] > 0.8, "methods of three times the best's RetDev are found"


@pytest.mark.slow
def test_two_seeds_give_neither_intervals_nor_differences(simulated: ModuleType) -> None:
    told = simulated.simulate("like the paper", 2, 2)
    assert all(math.isnan(told[name]) for name in ("coverage", "false", "power"))


def test_the_page_has_the_whole_table(simulated: ModuleType) -> None:
    page = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z ]+) \| (\d+) \|", page, re.MULTILINE)
    assert rows == [(kind, str(seeds)) for kind in simulated.TRUTHS for seeds in simulated.SEEDS]
