"""What measures of outputs are given without any images being moved is what all others see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepunlearn.config import read_command
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.runtime import Runtime
from deepunlearn.stages.evaluation import Experiment


@pytest.mark.parametrize(
    "forget",
    [["forget=random"], ["forget=classes", "forget.classes=[3]"], ["forget=mislabelled"]],
    ids=lambda one: one[0],
)
def test_labels_and_what_is_counted_are_those_of_the_parts(forget: list[str], tmp_path: Path) -> None:
    sweep = read_command(["dataset=digits", "arch=smallnet", "runtime.device=cpu", *forget]).sweep
    stage = Experiment(sweep.cells[0], Results(tmp_path), Runtime(sweep.runtime), Progress(quiet=True))
    labels, counted = stage.labels, stage.counted
    data = stage.split_data(0)
    assert labels.keys() == data.labels.keys()
    for part, own in data.labels.items():
        assert np.array_equal(labels[part], own), part
    assert counted.forgotten_classes == data.counted.forgotten_classes
    assert {name: one.tolist() for name, one in counted.unseen.items()} == {
        name: one.tolist() for name, one in data.counted.unseen.items()
    }
