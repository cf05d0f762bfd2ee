"""Trials per hour by workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.check_gpu import trials, where
from deepunlearn.check_gpu.where import Size, Where

HERE = Where("cpu")


def test_more_workers_than_cores_are_not_for_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "cores", lambda: frozenset(range(4)))
    assert [(part.name, part.lacks) for part in trials.listed(HERE, tmp_path)] == [
        ("trials/resnet18/1", ""),
        ("trials/resnet18/4", ""),
        ("trials/resnet18/8", "8 workers need as many cores, and here are 4"),
        ("trials/resnet18/16", "16 workers need as many cores, and here are 4"),
    ]
    assert not any(part.lacks for part in trials.listed(Where("cuda"), tmp_path))


@pytest.mark.slow
def test_a_worker_makes_the_trials_of_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, "ON_CPU", Size(batch=4, steps=1, repeats=1, images=150, workers=(1,), rate=64))
    monkeypatch.setattr(trials, "ARCH", "smallnet")
    outcome = trials.trials(HERE, 1, tmp_path)
    assert outcome.state == "ok", outcome
    assert outcome.figures["trials"] == "2" and outcome.figures["images of a trial"] == "5 x 150"
