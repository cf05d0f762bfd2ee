"""A kind of forget set is one file and one YAML: one of a user's own is planned, trained, unlearned and scored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import SweepConfig
from deepunlearn.data.splits import make_splits
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.worker import Worker
from deepunlearn.runtime import Runtime
from tests.plugins import put

CODE = '''
"""A share of the samples of one class is forgotten."""

import numpy as np
from deepunlearn.core.forget import ForgetSet
from deepunlearn.core.samples import Candidates


class PartOfClass(ForgetSet):
    label: int
    share: float

    def choose(self, candidates: Candidates):
        of_class = np.flatnonzero(candidates.labels == self.label)
        return of_class[: round(self.share * len(of_class))]
'''
YAML = "name: part_of_class\nlabel: 3\nshare: 0.5\n"
SMALL = (
    "dataset=digits", "dataset.limit=400", "arch=smallnet", "method=ft", "train.epochs=1", "seeds=1", "search=none",
    "runtime.threads=1", "method.params.epochs=1",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path / "plugins", "forget", "part_of_class", CODE, YAML)
    return tmp_path


def sweep_of(folder: Path, *more: str) -> SweepConfig:
    where = f"plugins={folder / 'plugins'}", f"results={folder / 'results'}"
    return read_command([*SMALL, "forget=part_of_class", *where, *more]).sweep


def test_a_kind_of_ones_own_is_computed_and_scored(folder: Path) -> None:
    sweep = SweepConfig.model_validate_json(sweep_of(folder).model_dump_json())  # as a job on another node reads it
    planner = Planner(sweep, Progress(quiet=True))
    labels = planner.data(0).train_labels
    split = planner.splits(0).of(0)
    assert set(labels[split.forget]) == {3} and abs(len(split.forget) - (labels[split.retain] == 3).sum()) <= 1

    done = Worker(planner, Runtime(sweep.runtime).settle(), Progress(quiet=True)).run(planner.tasks)
    assert done == {"done": len(planner.tasks)}
    rows = [json.loads(path.read_text()) for path in (folder / "results").rglob("row.json")]
    assert {row["method"] for row in rows} == {"original", "retrained", "ft"}
    assert all(row["n_forget"] == len(split.forget) for row in rows)
    assert rows[0]["forget_ratio"] == pytest.approx(len(split.forget) / len(split.train))


@pytest.mark.slow
def test_its_values_and_its_code_are_part_of_identity(folder: Path) -> None:
    def key(*more: str) -> str:
        return Planner(sweep_of(folder, *more), Progress(quiet=True)).keys[0].split.hash

    first = key()
    assert key("forget.share=5e-1") == first != key("forget.share=0.4")
    code = folder / "plugins" / "forget" / "part_of_class.py"
    code.write_text(f"{CODE}\n# another rule\n")
    assert key() != first


def test_its_values_are_checked(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"forget\.share has a value that cannot be used") as error:
        sweep_of(folder, "forget.share=half")
    assert error.value.allowed == "a number"
    with pytest.raises(ConfigError, match="forget set is empty"):
        Planner(sweep_of(folder, "forget.share=0.001"), Progress(quiet=True)).splits(0)


@pytest.mark.parametrize("kind", ["random", "halves"])
def test_parts_are_sorted_and_of_the_sizes_that_are_planned_with(kind: str) -> None:
    forget = read_command([f"forget={kind}"]).sweep.cells[0].forget
    labels = np.arange(2000) % 10
    splits = make_splits(labels, labels[:100], limit=None, val_ratio=0.1, forget=forget, seed=3)
    for seed in splits.seeds[:3]:
        split = splits.of(seed)
        assert splits.sizes(seed) == split.sizes
        for part in (split.retain, split.forget, split.val, split.test):
            assert part.dtype == np.int64 and (np.diff(part) > 0).all()
