"""The catalogue of methods, in the docs and on the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deepunlearn.config import method_configs, read_command
from deepunlearn.methods.__main__ import markdown, plain
from deepunlearn.metrics.catalogue import SCORED_TOGETHER
from deepunlearn.registry import registered

DOCS = Path(__file__).parent.parent.parent / "docs" / "methods.md"
PAPER = ["ft", "ga", "srl", "fcs", "msg", "cfw", "prmq", "ct", "kde", "rni", "salun", "cfk", "euk", "scrub", "bt", "ff", "iu", "ngplus"]  # fmt: skip  # noqa: E501


def test_the_table_in_the_docs_is_current() -> None:
    made = markdown(method_configs().values())
    assert made in DOCS.read_text(encoding="utf-8"), "run python -m deepunlearn.methods --markdown"


def test_the_readme_counts_methods_and_measures() -> None:
    readme = (DOCS.parent.parent / "README.md").read_text(encoding="utf-8")
    asked_for = {*registered("measure"), *registered("attack")} - {*SCORED_TOGETHER}
    assert f"- Methods: {len(method_configs())}. " in readme and f"and {len(asked_for)} to ask for" in readme


@pytest.mark.slow
def test_all_18_methods_of_the_paper_are_there_and_in_its_sweep() -> None:
    assert set(PAPER) <= set(method_configs())
    assert [method.name for method in read_command(["sweep=paper"]).sweep.methods] == PAPER


def test_a_method_is_listed_with_every_hyper_parameter() -> None:
    method = method_configs()["scrub"]
    text = plain(method)
    assert "SCRUB" in text and "reads retain, forget, val" in text
    for name in method.space:
        assert re.search(rf"^  {name} ", text, re.MULTILINE)
