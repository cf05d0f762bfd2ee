"""Hard and easy samples: by the confidence of an original that is none but the original, and by a file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.keys import MemorisationKey
from deepunlearn.core.progress import Progress
from deepunlearn.core.samples import Labelled
from deepunlearn.core.schema import SlurmLauncher
from deepunlearn.core.split import Splits
from deepunlearn.core.store import Place, Store
from deepunlearn.core.validation import validate
from deepunlearn.data.splits import make_splits
from deepunlearn.forget.difficulty import DifficultyForget
from deepunlearn.launch import slurm
from deepunlearn.launch.estimate import Estimator
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.speed_file import Speed
from deepunlearn.launch.task import Task
from deepunlearn.launch.worker import Worker
from deepunlearn.runtime import Runtime
from deepunlearn.stages.confidence import Confidence
from tests.commands import called, refusal

LABELS = np.random.RandomState(0).permutation(np.arange(400) % 4)
DATA = Labelled(LABELS, LABELS[:200])
SMALL = (
    "dataset=digits", "arch=smallnet", "method=ft", "search=none", "seeds=1", "train.epochs=3", "dataset.limit=400",
    "runtime.threads=1", "runtime.checkpoint_seconds=0", "method.params.epochs=1", "keep=logits",
)  # fmt: skip


def forget_of(end: str = "hardest", ratio: float = 0.2, **more: str) -> DifficultyForget:
    values = {"name": "difficulty", "by": "confidence", "end": end, "ratio": ratio, **more}
    return DifficultyForget.model_validate(values)


def cut(forget: DifficultyForget, confidence: npt.NDArray[np.float64] | None, seed: int = 1) -> Splits:
    return make_splits(LABELS, LABELS[:200], limit=None, val_ratio=0.1, forget=forget, seed=seed, confidence=confidence)


@given(seed=st.integers(0, 1000), ratio=st.floats(0.05, 0.4))
def test_the_hardest_the_easiest_and_those_between(seed: int, ratio: float) -> None:
    confidence = np.random.RandomState(seed).permutation(np.linspace(0, 1, 400))
    hard, easy, middle = (cut(forget_of(end, ratio), confidence).of(0) for end in ("hardest", "easiest", "middle"))
    assert len(hard.forget) == len(easy.forget) == len(middle.forget) == round(ratio * 360)
    assert confidence[hard.forget].max() < confidence[hard.retain].min()
    assert confidence[easy.forget].min() > confidence[easy.retain].max()
    least, most = confidence[middle.forget].min(), confidence[middle.forget].max()
    below, above = confidence[middle.retain] < least, confidence[middle.retain] > most
    assert (below | above).all() and abs(int(below.sum()) - int(above.sum())) <= 1


def test_equal_ones_are_taken_at_random_and_not_by_their_number() -> None:
    one, other = (cut(forget_of(), np.full(400, 0.5), seed).of(0).forget for seed in (1, 2))
    assert not np.array_equal(one, other) and one.max() > 300 and one.min() < 100


def test_sizes_are_known_before_the_confidence_is() -> None:
    pending = cut(forget_of(ratio=0.3), None)
    assert not pending.seeds
    assert pending.sizes(0) == cut(forget_of(ratio=0.3), np.linspace(0, 1, 400)).sizes(0)
    with pytest.raises(LookupError, match="known only when"):
        pending.of(0)
    with pytest.raises(ConfigError, match="forget set is empty"):
        cut(forget_of(ratio=0.001), None)


# ------------------------------------------------------------------------------------------------------ by a file


def by_file(folder: Path, lines: list[str], **more: str) -> DifficultyForget:
    path = folder / "scores.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    values = {"name": "difficulty", "by": "file", "file": str(path), "end": "hardest", "ratio": 0.1, **more}
    forget = validate(DifficultyForget, values, "forget")
    forget.check()
    return forget


def lines_of(scores: npt.NDArray[np.float64]) -> list[str]:
    return ["id,source,score", *(f"{number},x,{score!r}" for number, score in enumerate(scores.tolist()))]


def test_a_high_score_of_a_file_is_hard_whatever_the_order_of_its_lines(tmp_path: Path) -> None:
    scores = np.random.RandomState(3).normal(size=400)
    lines = lines_of(scores)
    forget = by_file(tmp_path, lines)
    split = cut(forget, None).of(0)
    assert scores[split.forget].min() > scores[split.retain].max() and len(split.forget) == 36
    first = forget.key_fields(DATA)
    shuffled = by_file(tmp_path, [lines[0], *lines[:0:-1]])
    assert shuffled.key_fields(DATA) == first, "the key holds what a file says"
    assert by_file(tmp_path, lines_of(scores + 1)).key_fields(DATA) != first


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda lines: lines[:300], r"samples that are trained on have no score(.|\n)*none for 299, "),
        (lambda lines: [*lines, "7,x,0.5"], r"lists 1 sample twice(.|\n)*: 7"),
        (lambda lines: [*lines, "400,x,0.5"], r"lists 1 sample that the dataset does not have(.|\n)*400"),
        (lambda lines: [*lines[:-1], "399,x,high"], r"1 scores of forget.file are no numbers(.|\n)*399: high"),
        (lambda lines: [*lines[:-1], "399,x,nan"], r"no numbers(.|\n)*399: nan"),
        (lambda lines: [*lines[:-1], "399,x,"], r"no score in line 401"),
        (lambda lines: ["id,source,hardness", *lines[1:]], r"a column named file or id, and one named score"),
        (lambda lines: lines[1:], r"a column named file or id, and one named score"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    change: Callable[[list[str]], list[str]], problem: str, tmp_path: Path
) -> None:
    lines = change(lines_of(np.linspace(0, 1, 400)))
    with pytest.raises(ConfigError, match=problem):
        cut(by_file(tmp_path, lines), None)


@pytest.mark.parametrize("given", [("forget.by=file",), ("forget.file=scores.csv",)])
def test_a_file_is_given_where_it_is_read(given: tuple[str, ...]) -> None:
    assert "do not go together" in str(refusal("method=ft", "dataset=digits", "forget=difficulty", *given))


# -------------------------------------------------------------------------------------------------- by memorisation


def put_bank(
    folder: Path,
    scores: npt.NDArray[np.float64],
    rows: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64] = LABELS,
    arch: str = "small",
) -> Path:
    """As `python -m deepunlearn.lira` leaves them; the folder of the entry."""
    key, place = MemorisationKey(originals=arch, version=1), Place("digits", arch, "original")
    with Store(folder / "store").writing(key, place, {}) as draft:
        draft.write_arrays("memorisation.npz", rows=rows, labels=labels[rows], score=scores, low=scores, high=scores)
        draft.write_json("memorisation.json", {"halvings": 12, "arch_title": "Small", "right_is": "the largest logit"})
    return Store(folder / "store").path(key, place)


def by_bank(folder: Path) -> DifficultyForget:
    values = {"name": "difficulty", "by": "memorisation", "bank": str(folder), "end": "hardest", "ratio": 0.1}
    forget = validate(DifficultyForget, values, "forget")
    forget.check()
    return forget


def test_what_is_memorised_most_is_hard_and_captions_say_by_whom(tmp_path: Path) -> None:
    scores, rows = np.random.RandomState(3).permutation(np.linspace(-0.1, 1, 400)), np.arange(400)
    put_bank(tmp_path, scores, rows)
    forget = by_bank(tmp_path)
    split = cut(forget, None).of(0)
    assert scores[split.forget].min() > scores[split.retain].max() and len(split.forget) == 36
    assert "12 originals of Small" in split.remarks[0] and "the largest logit" in split.remarks[0]
    assert forget.title == "hardest 10 % by memorisation"


def test_the_key_holds_what_a_bank_says_and_not_where_it_is(tmp_path: Path) -> None:
    entry = put_bank(tmp_path / "one", np.linspace(0, 1, 400), np.arange(400))
    put_bank(tmp_path / "other", np.linspace(0, 1, 400), np.arange(400))
    put_bank(tmp_path / "third", np.linspace(1, 0, 400), np.arange(400))
    first = by_bank(tmp_path / "one").key_fields(DATA)
    assert by_bank(entry).key_fields(DATA) == by_bank(tmp_path / "other").key_fields(DATA) == first
    assert by_bank(tmp_path / "third").key_fields(DATA) != first


def test_banks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no memorisation scores(.|\n)*deepunlearn.lira"):
        by_bank(tmp_path / "nowhere")
    put_bank(tmp_path, np.linspace(0, 1, 300), np.arange(300))
    with pytest.raises(ConfigError, match=r"have no score in forget.bank(.|\n)*dataset.val_ratio"):
        cut(by_bank(tmp_path), None)
    put_bank(tmp_path, np.linspace(0, 1, 400), np.arange(400), arch="other")
    with pytest.raises(ConfigError, match=r"several of them(.|\n)*give the folder of one"):
        cut(by_bank(tmp_path), None)
    with pytest.raises(ConfigError, match="no memorisation scores of these data"):
        by_bank(tmp_path).key_fields(Labelled(LABELS[::-1].copy(), LABELS[:200]))
    assert "do not go together" in str(
        refusal("method=ft", "dataset=digits", "forget=difficulty", "forget.by=memorisation")
    )


# ------------------------------------------------------------------------------------------------- from the command on


def planner_of(folder: Path, *more: str) -> Planner:
    return Planner(read_command([*SMALL, f"results={folder}", *more]).sweep, Progress(quiet=True))


def run(planner: Planner, *stages: str) -> None:
    worker = Worker(planner, Runtime(planner.sweep.runtime).settle(), Progress(quiet=True))
    tasks = [task for task in planner.tasks if not stages or task.stage in stages]
    assert set(worker.run(tasks)) == {"done"}


def stored(folder: Path, stage: str, name: str) -> dict[str, npt.NDArray[np.float64]]:
    (path,) = folder.rglob(f"{stage}/*/*/{name}")
    with np.load(path) as arrays:
        return dict(arrays)


def test_the_plan_has_the_watched_training_once_for_all_forget_sets_that_go_by_it(tmp_path: Path) -> None:
    planner = planner_of(tmp_path, "forget=difficulty")
    (watched,) = (task for task in planner.tasks if task.stage == "confidence")
    assert planner.tasks[0] == watched == Task("confidence", 0, "original", 0)
    assert all(watched in planner.inputs(task) for task in planner.tasks if task.stage == "reference")
    others = "forget.end=easiest", "forget.ratio=0.3"
    keys = [planner_of(tmp_path, "forget=difficulty", other).keys[0] for other in others]
    assert len({one.confidence.hash for one in (*keys, planner.keys[0])}) == 1
    assert len({one.split.hash for one in (*keys, planner.keys[0])}) == 3
    longer = planner_of(tmp_path, "forget=difficulty", "train.epochs=4").keys[0]
    assert longer.split != planner.keys[0].split, "another training knows other samples to be hard"
    assert not [task for task in planner_of(tmp_path).tasks if task.stage == "confidence"]


def test_it_is_the_first_job_on_a_cluster_and_its_cost_is_that_of_the_original_and_a_pass_per_epoch(
    tmp_path: Path,
) -> None:
    planner = planner_of(tmp_path, "forget=random,difficulty", "seeds=2", "launcher=slurm")
    launcher, speed = planner.sweep.launcher, Speed(train=100, predict=400)
    assert isinstance(launcher, SlurmLauncher)
    estimator = Estimator(planner, [speed, speed])
    watched, *others = planner.tasks
    first, *_ = slurm.arrays(planner, estimator, planner.open_tasks(), launcher)
    assert first.stage == "confidence" and first.bundles == [[watched]]
    references = [task for task in others if task.stage == "reference"]
    originals = {task.seed: estimator.task(task) for task in references if task.method == "original"}
    assert set(originals) == {0, 1}, "one of each seed for both forget sets"
    samples, epochs = 340, 3
    assert estimator.task(watched) == pytest.approx(epochs * samples * (1 / 100 + 1 / 400), abs=0.5)
    assert originals[1] - originals[0] == pytest.approx(epochs * samples / 100), "that of seed 0 is there by then"


@pytest.mark.slow
def test_the_watched_training_is_the_original_of_a_sweep_without_it(tmp_path: Path) -> None:
    """Bit for bit; and where that is stored already it stays, and the same samples are forgotten."""
    plain, alone, after = (tmp_path / name for name in ("plain", "alone", "plain"))
    run(planner_of(plain), "reference")
    (before,) = plain.rglob("reference/original/*/weights.safetensors")
    kept = before.stat().st_ino
    run(planner_of(alone, "forget=difficulty"))
    run(planner_of(after, "forget=difficulty"), "confidence", "reference")
    (again,) = alone.rglob("reference/original/*/weights.safetensors")
    assert before.read_bytes() == again.read_bytes() and before.stat().st_ino == kept
    for stage, name in (("confidence", "confidence.npz"), ("reference/original/..", "logits.npz")):
        one, other = (sorted(folder.rglob(f"{stage.split('/')[0]}/original/*/{name}")) for folder in (alone, after))
        assert len(one) == len(other) == 1 and one[0].read_bytes() == other[0].read_bytes()

    sure = stored(alone, "confidence", "confidence.npz")
    split = stored(alone, "split", "split.npz")
    assert np.array_equal(sure["samples"], np.union1d(split["retain"], split["forget"])), "never val"
    forgotten = np.isin(sure["samples"], split["forget"])
    assert sure["confidence"][forgotten].max() <= sure["confidence"][~forgotten].min()
    rows = [json.loads(path.read_text()) for path in alone.rglob("row.json")]
    assert {row["method"]: row["FA"] < row["RA"] for row in rows} == {"original": True, "retrained": True, "ft": True}


@pytest.mark.slow
def test_a_kill_in_a_watched_training_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(planner_of(tmp_path / "whole", "forget=difficulty"), "confidence")
    look, calls = Confidence.look, []

    def killed(self: Confidence, model: object) -> None:
        calls.append(model)
        if len(calls) in (2, 4):
            raise KeyboardInterrupt
        look(self, model)  # type: ignore[arg-type]

    monkeypatch.setattr(Confidence, "look", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(planner_of(tmp_path / "broken", "forget=difficulty"), "confidence")
    run(planner_of(tmp_path / "broken", "forget=difficulty"), "confidence")
    assert len(calls) == 5, "epochs 1, 2 (killed), 2, 3 (killed), 3"
    one, other = (stored(tmp_path / name, "confidence", "confidence.npz") for name in ("whole", "broken"))
    assert np.array_equal(one["confidence"], other["confidence"])
    assert not list((tmp_path / "broken").rglob("work/*.safetensors"))


@pytest.mark.slow
def test_a_failed_watched_training_is_named_and_holds_up_what_needs_it(tmp_path: Path) -> None:
    done = called(tmp_path, *SMALL, "forget=difficulty", "train.lr=1e9", "train.momentum=0")
    assert done.returncode == 1
    assert re.search("failed: digits/smallnet.* confidence original seed 0", done.stdout)
    assert re.search("skipped: digits/smallnet.* reference retrained seed 0: needs", done.stdout)
