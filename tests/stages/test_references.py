"""Originals that forget sets share: their outputs by the parts of each."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.analysis import records
from deepunlearn.analysis.coverage import require_complete
from deepunlearn.core.split import Split
from deepunlearn.stages.references import recut
from tests.commands import Running, called, until
from tests.launch.sweeps import owners, rows

NONE = np.empty(0, dtype=np.int64)
SMALL = (
    "dataset=digits", "arch=smallnet", "train.epochs=20", "seeds=1", "dataset.limit=300", "runtime.threads=1",
    "keep=logits", "method=ft", "search=none", "runtime.checkpoint_seconds=0",
)  # fmt: skip
RATIOS = ("0.1", "0.05", "0.2")


def split(train: np.ndarray, forgotten: np.ndarray) -> Split:
    return Split(train[~forgotten], train[forgotten], NONE, NONE)


@given(st.data())
def test_each_sample_has_its_own_outputs_whatever_is_forgotten(data: st.DataObject) -> None:
    train = np.array(sorted(data.draw(st.sets(st.integers(0, 99), min_size=1, max_size=30))), dtype=np.int64)
    masks = st.lists(st.booleans(), min_size=len(train), max_size=len(train)).map(np.array)
    by, wanted = split(train, data.draw(masks)), split(train, data.draw(masks))

    def outputs(rows: np.ndarray) -> np.ndarray:
        return np.stack([rows, -rows], axis=1).astype(np.float32)

    stored = {"retain": outputs(by.retain), "forget": outputs(by.forget), "val": outputs(NONE), "test": outputs(NONE)}
    found = recut(stored, by, wanted)
    assert list(found) == list(stored)
    for part in ("retain", "forget"):
        assert np.array_equal(found[part], outputs(getattr(wanted, part)))


def test_outputs_on_other_samples_are_not_taken_for_these() -> None:
    one, other = (split(np.array(train), np.array([True, False])) for train in ([0, 1], [0, 2]))
    with pytest.raises(AssertionError, match="same"):
        recut({"retain": np.zeros((1, 2)), "forget": np.zeros((1, 2))}, one, other)


def killed_once(folder: Path, *arguments: str) -> int:
    """Run a sweep with two workers, one of which is killed while it trains; the exit code."""
    process = Running("sweep", folder, *SMALL, *arguments, "launcher.workers=2")
    training = until(lambda: [one for one in owners(folder / "results" / "work") if one.pid != process.pid])
    os.kill(training[0].pid, signal.SIGKILL)
    return process.end().returncode


@pytest.mark.slow
def test_a_grid_trains_one_original_and_gives_the_rows_of_sweeps_alone(tmp_path: Path) -> None:
    """A worker at the grid is killed; the ratios run one after another, backwards, and one in a folder alone."""
    grid, backwards, alone = (tmp_path / name for name in ("grid", "backwards", "alone"))
    for folder in (grid, backwards, alone):
        folder.mkdir()
    assert killed_once(grid, f"forget.ratio={','.join(RATIOS)}") == 0
    for folder, ratios in ((backwards, RATIOS[::-1]), (alone, RATIOS[1:2])):
        for ratio in ratios:
            done = called(folder, *SMALL, f"forget.ratio={ratio}")
            assert done.returncode == 0, done.stderr
    assert len(rows(grid)) == 9 and rows(grid) == rows(backwards)
    assert len(rows(alone)) == 3 and rows(alone).items() <= rows(grid).items()
    for folder in (grid, backwards):
        trained = [path.parent.parent.name for path in folder.rglob("history.json")]
        assert sorted(trained) == ["original"] + 3 * ["retrained"]
    logits = [path.read_bytes() for path in tmp_path.rglob("reference/original/*/logits.npz")]
    assert len(logits) == 3 and len(set(logits)) == 1, "whoever trains it stores the same"
    found = records.collect(grid / "results")
    require_complete(found.cases)
    assert sorted(found.rows["forget_ratio"].unique()) == [0.05, 0.1, 0.2]
