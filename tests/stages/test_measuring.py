"""What measures of outputs are given without any images being moved is what all others see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deepunlearn.config import read_command
from deepunlearn.core.keys import UnlearnedKey
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.runtime import Runtime
from deepunlearn.stages.evaluation import Experiment
from deepunlearn.stages.measuring import RepeatedCall, StoredModels, Subject


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
    models = StoredModels(stage, SimpleNamespace(subject=SimpleNamespace(seed=0)), "mine")  # type: ignore[arg-type]
    assert models.parts["unseen_test"].labels.tolist() == stage.known_labels["unseen_test"].tolist()


def test_a_call_is_measured_without_what_stands_before_it() -> None:
    """Ensembles, models of the round before and compiled graphs are none of its memory and energy."""
    noted: list[str] = []
    stage: Any = SimpleNamespace(
        ready=lambda *_: (noted.append("load"), lambda: noted.append("call"))[1],
        build_graphs=lambda *_: noted.append("graphs"),
    )
    run: Any = (None, {})
    subject = Subject(UnlearnedKey.model_construct(drawn=None, earlier=None), None, "ft", 0, run)  # type: ignore[arg-type]

    @contextmanager
    def block() -> Iterator[None]:
        noted.append("begin")
        yield
        noted.append("end")

    again = RepeatedCall(stage, subject)
    for _ in range(2):
        again.unlearn(block())
    assert noted == ["load", "graphs", *["begin", "call", "end"] * 2]
