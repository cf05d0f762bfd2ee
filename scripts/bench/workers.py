"""Trials per hour with one and with two worker processes, each of one thread.

`python -m deepunlearn.sweep` on ResNet18: two studies of fine-tuning trials on ready references, a fresh copy of the
results folder for each run. Counted from the start of the first trial to the end of the last, as Optuna's database has
them: a real search lasts hours, the start of a process seconds. A: two workers, B: one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import optuna
from common import Options, Row, Taken, sweep

REFERENCES = ("seeds=2", "search=none", "method.params.epochs=1")


def rows(options: Options) -> list[Row]:
    base = options.scratch / "references"
    _sweep(options, base, *REFERENCES)
    one, two = [], []
    for _ in range(options.size(3, 1)):
        one.append(_trials_per_hour(options, base, workers=1))
        two.append(_trials_per_hour(options, base, workers=2))
    a, b = Taken("2 workers", two, unit="trials/h"), Taken("1 worker", one, unit="trials/h")
    return [Row("trials per hour, 2 workers against 1", a, b, ">= 1.8")]


def _trials_per_hour(options: Options, base: Path, workers: int) -> float:
    folder = options.scratch / "run"
    shutil.copytree(base, folder)
    search = ("search=paper", "search.seeds=2", f"search.trials={options.size(12, 1)}", "method.params.epochs=2")
    _sweep(options, folder, *search, "seeds=1", f"launcher.workers={workers}")
    trials = _trials(folder)
    shutil.rmtree(folder)
    started = min(trial.datetime_start for trial in trials)
    ended = max(trial.datetime_complete for trial in trials)
    return 3600 * len(trials) / (ended - started).total_seconds()


def _trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'search' / 'studies.db'}")
    trials = [trial for study in storage.get_all_studies() for trial in storage.get_all_trials(study._study_id)]
    assert all(trial.state.name == "COMPLETE" for trial in trials)
    return trials


def _sweep(options: Options, results: Path, *more: str) -> None:
    limit, batch = options.size(1500, 150), options.size(64, 16)
    recipe = ("train.epochs=1", "train.lr=0.05", f"train.batch_size={batch}", "method.params.batch_size=64")
    network = ("arch=smallnet",) if options.quick else ()
    sweep(options, limit, *recipe, *network, "method=ft", "runtime.threads=1", *more, f"results={results}")
