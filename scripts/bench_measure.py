"""Pace and memory of `python -m deepunlearn.measure` on a store of 1,800 models with invented logits.

    python scripts/bench_measure.py [--seeds N] [--images N] [--workers N] [--in DIR]

Nine cells (three networks, three forget sets) of 60,000 images of noise in ten classes, 10,000 of them to test; of each
cell 18 methods and the original and retrained model of ten seeds. D_R has 34,000 to 40,375 samples, D_F 2,125 to 8,500.
The store takes 4 GB. Measures over seeds need ten of them (KLoM), four or three: with two they cost next to nothing,
so that only ten tell what 1,800 models take. Prints two Markdown tables: all measures of ours that ask for logits
alone, of all models, and the same command again; and the default scores of one model beside its unlearning (smallnet,
FT with its defaults).

Seconds of the processor are those of all processes together: on a machine with other work, a share of them for each
worker is what it would take alone.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bench_analysis import measure

from deepunlearn.config import read_command
from deepunlearn.config.measures import known_measures
from deepunlearn.core.progress import Progress
from deepunlearn.core.provenance import commit, machine
from deepunlearn.core.store import Store
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import prepared
from deepunlearn.launch.task import Task
from deepunlearn.launch.worker import Worker
from deepunlearn.metrics.accuracy import Floats
from deepunlearn.registry import Folders
from deepunlearn.runtime import Runtime

METHODS = "bt,cfk,cfw,ct,euk,fcs,ff,ft,ga,iu,kde,labelflip,msg,prmq,rni,salun,scrub,srl"
CLASSES, TEST = 10, 1 / 6  # share of the images
CODE = """
import numpy as np
from deepunlearn.data.images import RawData, RawPart
from deepunlearn.data.inventory import inventory_of

def find(config):
    return inventory_of(config, "noise.npz")

def read(config, inventory):
    arrays = np.load(inventory.root / "noise.npz")
    train, test = (RawPart(arrays[f"{part}_labels"], arrays[f"{part}_images"]) for part in ("train", "test"))
    return RawData(train, test, class_names=tuple("abcdefghij"), channels=3)
"""
YAML = """# noise
name: noise
title: Noise
root: {root}
classes: 10
train: {{epochs: 1, lr: 0.1, momentum: 0.9, weight_decay: 5e-4, batch_size: 256}}
"""
FACTS = {"seconds": 60.0, "retrain_step_seconds": 0.5, "notes": {}, "machine": "invented"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--in", dest="folder", type=Path, help="where the store goes; else a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        write_images(folder, given.images)
        print(f"{machine()}, {given.workers} workers; commit {commit()}\n")
        models = write_store(folder, given.seeds)
        show_pace(folder, models, given.workers)
        show_one_model(folder)


def write_images(folder: Path, images: int) -> None:
    """Noise as images of a plug-in's dataset."""
    random, own = np.random.default_rng(0), folder / "own" / "dataset"
    own.mkdir(parents=True)
    test = round(TEST * images)
    arrays: dict[str, Any] = {}
    for part, size in (("train", images - test), ("test", test)):
        arrays[f"{part}_labels"] = np.arange(size) % CLASSES
        arrays[f"{part}_images"] = random.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)
    np.savez(folder / "noise.npz", **arrays)
    (own / "noise.py").write_text(CODE)
    (own / "noise.yaml").write_text(YAML.format(root=folder))


def sweep(folder: Path, *given: str) -> Planner:
    """A sweep without a search on these images."""
    base = ("dataset=noise", "search=none", f"plugins={folder / 'own'}", f"results={folder / 'results'}")
    return Planner(read_command([*base, "runtime.threads=1", *given]).sweep, Progress(quiet=True))


def write_store(folder: Path, seeds: int) -> int:
    """Store all models with logits of their own; how many."""
    grid = ("arch=smallnet,resnet18,tinyvit", "forget.ratio=0.05,0.1,0.2")
    planner = sweep(folder, *grid, f"method={METHODS}", f"seeds={seeds}")
    references = (task for task in planner.tasks if task.stage == "reference")
    unlearned = (task for task in planner.tasks if task.stage == "evaluate" and task.method in planner.methods)
    for task in (*references, *unlearned):
        write_model(planner, task)
    prepared(planner, "bench", [])
    return sum(task.stage == "evaluate" for task in planner.tasks)


def write_model(planner: Planner, task: Task) -> None:
    """A model whose logits favour the true label, each as much as it likes."""
    assert task.seed is not None
    keys = planner.keys[task.cell]
    key: Any = (
        keys.reference("original" if task.method == "original" else "retrained", task.seed)
        if task.stage == "reference"
        else planner.subject(task)
    )
    split = keys.make_shared(planner.data(task.cell)) if task.method == "original" else planner.splits(task.cell).of(0)
    random = np.random.default_rng(abs(hash(key.short)) % 2**32)
    data = planner.data(task.cell)
    labels = {name: data.train_labels[getattr(split, name)] for name in ("retain", "forget", "val")}
    labels["test"] = data.test_labels[split.test]
    logits = {name: invented(own, random) for name, own in labels.items()}
    with Store(planner.results.store).writing(key, planner.place(task), dict(FACTS)) as draft:
        draft.write_arrays("logits.npz", **logits)


def invented(labels: np.ndarray[Any, Any], random: np.random.Generator) -> Floats:
    """[N, K] float32, a wide distribution of confidence."""
    logits = random.standard_normal((len(labels), CLASSES), dtype=np.float32)
    logits[np.arange(len(labels)), labels] += 3 + 2 * random.standard_normal(len(labels), dtype=np.float32)
    return logits


def logit_measures() -> list[str]:
    """Names of ours that look at logits and take no minutes."""
    known = known_measures(Folders()).items()
    return [name for name, one in known if set(one.needs) <= {"logits", "training"} and not one.slow]


def show_pace(folder: Path, models: int, workers: int) -> None:
    """All measures of all models; then the same command, which finds all there."""
    names = logit_measures()
    given = [f"measures=[{','.join(names)}]", f"results={folder / 'results'}", f"plugins={folder / 'own'}"]
    print(f"| {models} models, {len(names)} measures | seconds | of the processor | a share | peak GB, all processes |")
    print("|---|---|---|---|---|")
    for what in ("computed", "again, all there"):
        before = processor()
        seconds, memory = measure("-m", "deepunlearn.measure", *given, f"launcher.workers={workers}", "confirm=true")
        took = processor() - before
        print(f"| {what} | {seconds:.0f} | {took:.0f} | {took / workers:.0f} | {memory:.2f} |", flush=True)


def processor() -> float:
    """Seconds of the processor that ended children of this process, and theirs, have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show_one_model(folder: Path) -> None:
    """The scores of every row, computed anew, beside the seconds of the unlearning that they are of."""
    planner = sweep(folder, "arch=smallnet", "method=ft", "seeds=1", f"results={folder / 'one'}")
    worker = Worker(planner, Runtime(planner.sweep.runtime).settle(), planner.progress)
    worker.run(planner.tasks)
    (task,) = (one for one in planner.tasks if one.method == "ft")
    unlearned = planner.seconds(task)
    assert unlearned is not None, planner.failure(task)
    times = list(scored_again(planner, worker, task))
    print("\n| one model, as much data | seconds |\n|---|---|")
    print(f"| unlearning, FT on smallnet | {unlearned:.2f} |")
    print(f"| all default scores, median of {len(times)} | {np.median(times):.2f} |")
    print(f"| share | {np.median(times) / unlearned:.1%} |", flush=True)


def scored_again(planner: Planner, worker: Worker, task: Task, repeats: int = 5) -> Iterator[float]:
    """Seconds of scoring a stored model, the row included."""
    for _ in range(repeats):
        for stage in ("metrics", "rows"):
            shutil.rmtree(planner.results.store / "noise" / "smallnet" / stage / task.method)
        start = time.perf_counter()
        worker.run([task])
        yield time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
