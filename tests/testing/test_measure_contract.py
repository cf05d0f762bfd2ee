"""The contract of measures: ours keep it, and what breaks one is told."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from deepunlearn.config.measures import known_measures
from deepunlearn.list import main
from deepunlearn.metrics.scores import SEARCH_PARTS
from deepunlearn.registry import Folders
from deepunlearn.testing.measure_contract import *  # noqa: F403  the tests
from deepunlearn.testing.run import spread
from tests.plugins import put_mine
from tests.test_layering import imports, modules

LARGEST = "outputs.logits['forget'].max(axis=1).mean()"
CODE = """import numpy as np

def measure(outputs):
    return {{'Mine': {value}}}
"""
YAML = """version: 1
title: Mine
source: a test
kind: score
needs: [logits, training]
columns:
  - {{name: Mine, low: null, better: {better}, meaning: the largest logit}}
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    spread(metafunc, "measure", list(known_measures(Folders()).values()))


BREAKS = {  # what is wrong -> better:, the value, what is told
    "nothing": ("lower", f"float({LARGEST})", "12 passed, 1 skipped"),
    "direction": ("higher", f"float({LARGEST})", "better: higher is the wrong way round"),
    "looks at nothing": ("neither", "0.5", "four different models get the same values"),
    "undefined for few samples": (
        "neither", f"float({LARGEST}) if len(outputs.labels['forget']) > 10 else None",
        "it is not defined where five samples are forgotten, and its YAML does not say so (undefined:)",
    ),
    "undefined without classes": (
        "neither", f"None if outputs.forgotten_classes else float({LARGEST})",
        "it is not defined where a class is forgotten whole, and its YAML does not say so (undefined:): Mine",
    ),
    "unknown seconds": ("neither", f"float({LARGEST}) / outputs.seconds['retrained']", "test_seconds_may_be_unknown"),
    "not a number": ("neither", "float('nan')", "finite number"),
    "another value each time": ("neither", "float(np.random.default_rng().random())", "test_equal_outputs_give_equal"),
    "a shared random state": ("neither", f"float({LARGEST}) + 0 * np.random.random()", "a state that others draw from"),
    "what others see": ("neither", "float(outputs.logits['forget'].__imul__(2).max())", "test_it_leaves_what_it_is"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("wrong", BREAKS)
def test_a_measure_that_breaks_it_is_told(wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    better, value, told = BREAKS[wrong]
    put_mine(tmp_path, "measure", CODE.format(value=value), YAML.format(better=better))
    assert main(["measure", "mine", "--check", f"plugins={tmp_path}"]) == ("passed" not in told)
    assert told in capsys.readouterr().out


def test_no_search_sees_a_measure_or_the_test_part() -> None:
    """So that none can tune on test data, whatever its code looks at.

    A search reads accuracies and losses of its own on parts without the test part, and imports nothing that computes
    measures; a method is given neither.
    """
    assert set(SEARCH_PARTS) == {"retain", "forget", "val"}
    computing = {"deepunlearn.metrics.added", "deepunlearn.stages.measuring", "deepunlearn.measures"}
    for name, path in modules().items():
        if name.startswith(("search", "methods.", "ops")):
            found = {one for one in imports(path) if any(one.startswith(other) for other in computing)}
            assert not found, f"{name} imports {found}"
            assert "measures" not in _attributes(path), f"{name} asks for the measures of a sweep"


def _attributes(path: Path) -> set[str]:
    """The names of attributes that a file reads."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
