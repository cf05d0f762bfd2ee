"""Originals that forget sets share: their outputs by the parts of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.core.forget import Split
from deepunlearn.stages.references import recut
from tests.commands import called
from tests.launch.sweeps import rows

NONE = np.empty(0, dtype=np.int64)
SMALL = (
    "dataset=digits", "arch=smallnet", "train.epochs=1", "seeds=1", "dataset.limit=300", "runtime.threads=1",
    "keep=logits", "method=ft", "search=none",
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


@pytest.mark.slow
def test_whoever_trains_the_original_stores_the_same_and_the_scores_are_those_of_a_sweep_alone(tmp_path: Path) -> None:
    """Forwards, backwards and one ratio alone."""
    folders = {name: tmp_path / name for name in ("forwards", "backwards", "0.05")}
    for name, folder in folders.items():
        folder.mkdir()
        for ratio in {"forwards": RATIOS, "backwards": RATIOS[::-1]}.get(name, (name,)):
            done = called(folder, *SMALL, f"forget.ratio={ratio}")
            assert done.returncode == 0, done.stderr
    together, alone = rows(folders["forwards"]), rows(folders["0.05"])
    assert len(together) == 9 and together == rows(folders["backwards"])
    assert len(alone) == 3 and alone.items() <= together.items()
    trained = [path.parent.parent.name for path in folders["forwards"].rglob("history.json")]
    assert sorted(trained) == ["original"] + 3 * ["retrained"]
    logits = [path.read_bytes() for one in folders.values() for path in one.rglob("reference/original/*/logits.npz")]
    assert len(logits) == 3 and len(set(logits)) == 1
