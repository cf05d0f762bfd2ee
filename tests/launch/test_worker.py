"""Infrastructure that fails, for real: what it hits is not run, never a failure, and runs again by itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepunlearn.config import read_command
from deepunlearn.core.progress import Progress
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.task import Task
from deepunlearn.launch.worker import Worker
from deepunlearn.runtime import Runtime
from tests.commands import run_command, sweep
from tests.data.small_data import write_classes
from tests.launch.sweeps import own_method, rows

WORK = (
    "arch=smallnet",
    "search=none",
    "train.epochs=1",
    "seeds=1",
    "dataset.limit=300",
    "runtime.threads=1",
    "extra_methods=own",
)
FILL = "open('results/ballast', 'wb').write(bytes(20_000_000))"
NO_GPU_MEMORY = "import torch; raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB')"


def notes(folder: Path) -> list[dict[str, str]]:
    return [json.loads(path.read_text()) for path in folder.rglob("failure.json")]


@pytest.mark.slow
def test_a_file_beyond_the_limit_is_not_run_and_runs_again_by_itself(tmp_path: Path) -> None:
    """`ulimit -f`: the method writes 20 MB where 12 are allowed; the other method and the references go on."""
    own_method(tmp_path / "own", "large", FILL)
    command = [sys.executable, "-m", "deepunlearn.sweep", *WORK, "method=large,ft"]
    limited = subprocess.run(
        ["bash", "-c", 'ulimit -f 12000; exec "$@"', "-", *command],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert limited.returncode == 1 and "Traceback" not in limited.stderr, limited.stderr
    assert "not run: digits/smallnet evaluate large seed 0: OSError: [Errno 27] File too large" in limited.stdout
    assert "make room" in limited.stdout and "the same command runs it again" in limited.stdout
    assert "5 done, 1 to do" in limited.stdout
    assert [note["kind"] for note in notes(tmp_path)] == ["infrastructure"]
    refused = run_command("tables", tmp_path)
    assert refused.returncode == 2 and "1 not run: OSError: [Errno 27] File too large" in refused.stderr
    done = sweep(tmp_path, *WORK, "method=large,ft")
    assert done.returncode == 0, done.stderr
    assert not notes(tmp_path) and len(rows(tmp_path)) == 4


@pytest.mark.slow
def test_no_memory_on_the_gpu_says_what_to_make_smaller(tmp_path: Path) -> None:
    """In a report, and in the trials of a search, which ends instead of trying for ever."""
    own_method(tmp_path / "own", "huge", NO_GPU_MEMORY)
    work = [*WORK, "method=huge", "search=quick", "search.trials=2", "search.seeds=1", "search.max_epochs=1"]
    done = sweep(tmp_path, *work)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "not run: digits/smallnet search huge seed 0: OutOfMemoryError: CUDA out of memory" in done.stdout
    assert "batch_size" in done.stdout and "launcher.workers_per_gpu=1" in done.stdout
    assert Counter(note["kind"] for note in notes(tmp_path)) == {"infrastructure": 3}, "what needs the search, too"
    shown = run_command("tables", tmp_path, "partial=true").stdout.splitlines()
    assert any(line.startswith("| huge ") and "| incomplete " in line for line in shown)


@pytest.mark.slow
def test_a_dataset_that_is_gone_or_another_when_its_turn_comes(tmp_path: Path) -> None:
    counts = {f"{part}/{name}": count for part, count in (("train", 40), ("test", 20)) for name in "ab"}
    images, results = tmp_path / "images", tmp_path / "results"
    write_classes(images, counts)
    command = read_command(
        ["arch=smallnet", "dataset=folder", f"dataset.root={images}", "train.epochs=1", "seeds=1", "method=ft",
         "search=none", f"results={results}", "dataset.val_ratio=0.3", "forget.ratio=0.3", "dataset.image_size=32"]
    )  # fmt: skip

    def run_after(change: str) -> tuple[Counter[str], Planner]:
        planner = Planner(command.sweep, Progress(quiet=True))
        assert planner.keys
        shutil.rmtree(results / "cache")
        if change == "gone":
            images.rename(tmp_path / "elsewhere")
        if change == "other":
            write_classes(images, {"train/a": 39})
            (images / "train" / "a" / "0039.png").unlink()
        worker = Worker(planner, Runtime(command.sweep.runtime), Progress(quiet=True))
        return Counter(map(str, worker.run(planner.open_tasks()))), planner

    for change in ("gone", "other"):
        states, planner = run_after(change)
        assert set(states) == {"to do"}, change
        assert all(note["kind"] == "infrastructure" for _, note in planner.not_run())
        assert len(list(planner.not_run())) == len(planner.tasks), change
        if change == "gone":
            (tmp_path / "elsewhere").rename(images)
    again = Planner(command.sweep, Progress(quiet=True))
    worker = Worker(again, Runtime(command.sweep.runtime), Progress(quiet=True))
    assert worker.run(again.open_tasks()) == {"done": len(again.tasks)}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 30 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", str(folder)], check=False)
    if made.returncode != 0:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_on_which_not_even_the_note_fits(small_disk: Path, tmp_path: Path) -> None:
    own_method(tmp_path / "own", "greedy", FILL.replace("20_000_000", "10**9"))
    (tmp_path / "results").symlink_to(small_disk)
    done = sweep(tmp_path, *WORK, "method=greedy")
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stderr
    assert "NOT RUN: digits/smallnet evaluate greedy seed 0: [Errno 28] No space left on device" in done.stderr
    assert "the note of this cannot be written" in done.stderr
    assert sweep(tmp_path, *WORK, "method=greedy").returncode == 2, "nothing at all can be written"
    assert not list(small_disk.rglob(".failure.json*")) and not list(small_disk.rglob(".draft-*"))
    (small_disk / "ballast").unlink()
    (tmp_path / "own" / "greedy.py").write_text((tmp_path / "own" / "greedy.py").read_text().replace("10**9", "10"))
    assert sweep(tmp_path, *WORK, "method=greedy").returncode == 0


def test_what_another_machine_has_just_finished_is_neither_missed_nor_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes to light when the store is asked anew: the references of an evaluation, then the evaluation."""
    given = ["arch=smallnet", "method=ft", "search=none", "seeds=1", f"results={tmp_path}"]
    planner, seen = Planner(read_command(given).sweep, Progress(quiet=True)), set[Task]()
    worker = Worker(planner, Runtime(planner.sweep.runtime), Progress(quiet=True))
    (task,) = (one for one in planner.tasks if one.method == "ft")
    monkeypatch.setattr(planner, "is_done", lambda one: one in seen or (planner.store.anew and not seen.add(one)))
    monkeypatch.setattr(worker, "_perform", pytest.fail)
    assert worker.run_task(task) == "done" and seen == {task, *planner.inputs(task)}
    assert not notes(tmp_path)


def test_the_data_of_the_cell_before_go_when_another_begins(tmp_path: Path) -> None:
    given = ["arch=smallnet", "method=ft", "search=none", "forget=random,classes", f"results={tmp_path}"]
    progress = Progress(quiet=True)
    planner = Planner(read_command(given).sweep, progress)
    worker = Worker(planner, Runtime(planner.sweep.runtime), progress)
    first = weakref.ref(worker.experiment(0))
    assert worker.experiment(0) is first(), "all tasks of a cell share what it has read"

    worker.experiment(1)
    assert first() is None
