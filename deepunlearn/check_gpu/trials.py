"""Trials of a search per hour, by worker processes that share a device; on noise, so that nothing is downloaded."""

from __future__ import annotations

import os
import shutil
import textwrap
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import optuna

from deepunlearn.check_gpu.part import Outcome, Part
from deepunlearn.check_gpu.where import Where
from deepunlearn.config import read_command
from deepunlearn.core.paths import Results
from deepunlearn.core.progress import Progress
from deepunlearn.core.provenance import cores
from deepunlearn.instruments.apart import Apart
from deepunlearn.runtime import Runtime, gpu_environments
from deepunlearn.search.study import SlotStudy
from deepunlearn.stages.evaluation import Experiment

ARCH = "resnet18"
EACH = 2  # trials of each worker that are timed
EPOCHS = 5
NOISE = '''
    """Noise in the shape of CIFAR-10."""

    from pathlib import Path

    import numpy as np

    from deepunlearn.data.images import RawData, RawPart
    from deepunlearn.data.inventory import Inventory


    def find(config):
        return Inventory(Path(), (), (f"{config.train_images} {config.test_images}",))


    def read(config, inventory):
        parts = []
        for seed, count in enumerate((config.train_images, config.test_images)):
            pixels = np.random.RandomState(seed).randint(0, 256, (count, 32, 32, 3)).astype(np.uint8)
            parts.append(RawPart(np.arange(count) % 10, pixels))
        return RawData(*parts, class_names=tuple("0123456789"), channels=3)
'''
NOISE_YAML = """
    # noise in the shape of CIFAR-10
    name: noise
    title: Noise
    classes: 10
    crop_padding: 4
    flip: true
    train: {epochs: 1, lr: 0.01, momentum: 0.9, weight_decay: 5.0e-4, batch_size: 64}
"""


def listed(where: Where, folder: Path) -> Iterator[Part]:
    """A part for each number of workers. folder: where their references and studies may be stored."""
    for workers in where.size.workers:
        yield Part(f"trials/{ARCH}/{workers}", partial(trials, where, workers, folder), _lacks(where, workers))


def _lacks(where: Where, workers: int) -> str:
    free = len(cores())
    return "" if where.on_gpu or workers <= free else f"{workers} workers need as many cores, and here are {free}"


class Searcher:
    """A worker: its own process on the device, with a share of the cores, and a study that it shares with others."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.arguments, self.environment = arguments, environment

    def begin(self) -> None:
        os.environ.update(self.environment)  # before the device is looked at
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self.sweep = read_command(self.arguments).sweep
        runtime = Runtime(self.sweep.runtime).settle()
        results = Results(Path(self.sweep.results))
        self.experiment = Experiment(self.sweep.cells[0], results, runtime, Progress(quiet=True))

    def prepare(self) -> None:
        """Have the original and the retrained model, and run once what a trial runs."""
        for role in ("original", "retrained"):
            self.experiment.reference(role, 0)
        self.experiment.retrained_accuracies(0)
        method = self.sweep.methods[0]
        self.experiment.unlearn(method, method.complete({}), 0)

    def search(self, trials: int) -> int:
        """Take part until the study has so many trials; how many of all were completed."""
        search = self.sweep.search.model_copy(update={"trials": trials})
        study = SlotStudy(self.experiment, self.sweep.methods[0], search, (0,))
        study.run()
        return sum(trial.state.name == "COMPLETE" for trial in study.finished().values())


def trials(where: Where, workers: int, folder: Path) -> Outcome:
    """Each trial fine-tunes for 5 epochs and is scored, with Optuna's database, as in a sweep.

    Counted from the moment when all workers are ready to the end of the last trial.
    """
    arguments, environment = _arguments(where, workers, folder), _environment(where)
    count = EACH * workers
    with ExitStack() as ends:
        pool = [Apart(Searcher(arguments, environment)) for _ in range(workers)]
        for one in pool:
            ends.callback(one.close)
        pool[0].call("prepare")  # stores what the others find
        _all(pool, "prepare")
        began = time.perf_counter()
        completed = _all(pool, "search", count)
        seconds = time.perf_counter() - began
    figures = {
        "images of a trial": f"{EPOCHS} x {where.size.images:,}",
        "trials": str(count),
        "seconds": f"{seconds:.1f}",
        "trials per hour": f"{3600 * count / seconds:,.0f}",
    }
    if max(completed) < count:
        return Outcome("failed", f"{max(completed)} of {count} trials were completed", figures)
    return Outcome("ok", "", figures)


def _all(pool: list[Apart], name: str, *arguments: int) -> list[int]:
    """The same of each at the same time."""
    for one in pool:
        one.ask(name, *arguments)
    return [one.answer() for one in pool]


def _arguments(where: Where, workers: int, folder: Path) -> list[str]:
    """A sweep whose originals are there for every number of workers, and whose study begins anew."""
    shutil.rmtree(folder / "results" / "search", ignore_errors=True)
    own = folder / "own" / "dataset"
    own.mkdir(parents=True, exist_ok=True)
    (own / "noise.py").write_text(textwrap.dedent(NOISE), encoding="utf-8")
    (own / "noise.yaml").write_text(textwrap.dedent(NOISE_YAML).lstrip(), encoding="utf-8")
    images, threads = where.size.images, max(1, len(cores()) // workers)
    data = [f"plugins={own.parent}", "dataset=noise", f"dataset.train_images={images}"]
    method = ["method=ft", f"method.params.epochs={EPOCHS}", "method.params.batch_size=64", "method.space.lr.high=0.01"]
    where_to = [f"runtime.device={where.device}", f"runtime.threads={threads}", f"results={folder / 'results'}"]
    search = ["search=paper", "search.seeds=1", "seeds=1"]
    return [*data, f"dataset.test_images={images // 5}", f"arch={ARCH}", *method, *search, *where_to]


def _environment(where: Where) -> dict[str, str]:
    return gpu_environments()[0] if where.on_gpu else {}
