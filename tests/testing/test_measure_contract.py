"""The contract of measures, on ours; and what breaks it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.config.measures import known_measures
from deepunlearn.list import main
from deepunlearn.registry import Folders
from deepunlearn.testing.measure_contract import *  # noqa: F403  the tests
from deepunlearn.testing.run import spread
from tests.plugins import put_mine


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    spread(metafunc, "measure", list(known_measures(Folders()).values()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("better", "code", "told"),
    [
        ("lower", "outputs.logits['forget'].max(axis=1).mean()", "7 passed"),
        ("higher", "outputs.logits['forget'].max(axis=1).mean()", "better: higher is the wrong way round"),
        ("neither", "0.5", "four different models get the same values"),
    ],
)
def test_a_measure_that_breaks_it_is_told(
    better: str, code: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml = f"""version: 1
title: Mine
source: a test
kind: score
needs: [logits]
columns:
  - {{name: Mine, low: null, better: {better}, meaning: the largest logit}}
"""
    put_mine(tmp_path, "measure", f"def measure(outputs):\n    return {{'Mine': float({code})}}\n", yaml)
    assert main(["measure", "mine", "--check", f"plugins={tmp_path}"]) == ("passed" not in told)
    assert told in capsys.readouterr().out
