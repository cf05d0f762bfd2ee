"""The page of a check."""

from __future__ import annotations

import re
from pathlib import Path

from deepunlearn.check_gpu.__main__ import LEFT, OPTIONS
from deepunlearn.check_gpu.agreement import LIMITS
from deepunlearn.check_gpu.page import TITLES, page
from deepunlearn.check_gpu.part import Outcome, Part
from deepunlearn.check_gpu.plan import Where, listed


def nothing() -> Outcome:
    return Outcome("ok")


def test_every_group_has_a_table_with_all_columns_and_nothing_is_left_out() -> None:
    parts = [Part(name, nothing) for name in ("graphs/a", "steps/a", "steps/b", "steps/c")]
    outcomes = {
        "graphs/a": Outcome("not on this device", "of CUDA | devices"),
        "steps/a": Outcome("ok", "", {"ms": "1"}),
        "steps/b": Outcome("failed", "why\nnot", {"images/s": "2"}),
        "steps/c": None,
    }
    made = page(parts, outcomes, {"device": "cpu", "cuda": None}, "deepunlearn check-gpu")
    assert "1 not on this device, 1 ok, 1 failed, 1 left." in made and "device: cpu." in made and "cuda: " not in made
    assert made.index(TITLES["graphs"][0]) < made.index(TITLES["steps"][0])
    assert "| graphs/a | not on this device | of CUDA / devices |" in made
    rows = [line for line in made.splitlines() if line.startswith(("| check", "| steps"))][1:]
    assert rows == [
        "| check | outcome | ms | images/s | remark |",
        "| steps/a | ok | 1 |  |  |",
        "| steps/b | failed |  | 2 | why not |",
        "| steps/c | left |  |  | not done yet |",
    ]


def test_every_part_of_the_check_has_a_place_on_the_page(tmp_path: Path) -> None:
    parts = listed(Where("cuda"), tmp_path)
    assert {part.group for part in parts} == set(TITLES)
    assert len({part.name for part in parts}) == len(parts)


def test_the_docs_tell_of_every_group_option_limit_and_exit_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(`(\w+)/", text)) == set(TITLES)
    assert all(f"`{option}=" in text for option in OPTIONS) and f"exit code {LEFT}" in text
    told = dict(
        zip(("smallnet", "tinyvit", "resnet18"), re.findall(r"by (\S+e-\d)", " ".join(text.split())), strict=True)
    )
    assert {name: float(value) for name, value in told.items()} == LIMITS
