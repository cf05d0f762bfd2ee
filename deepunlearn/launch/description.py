"""What a plan says before anything runs: tasks, costs, where hyper-parameters are from, what records cost."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from deepunlearn.core.method_config import Records
from deepunlearn.core.progress import duration
from deepunlearn.core.samples import Indices
from deepunlearn.launch.datasets import dataset_lines
from deepunlearn.launch.estimate import Estimator
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.task import STAGES, Task

MANY_AFFECTED = 0.5  # share of batches from which on a plan warns


def describe_plan(planner: Planner, estimator: Estimator, device: str, said: Iterable[str] = ()) -> float:
    """Print tasks and costs by stage and by method; returns the estimated seconds of what is to do.

    said: what a reader should know of the speeds that the estimate rests on.
    """
    counts, total = planner.counts(), 0.0
    print(f"{'stage':<10} {'done':>6} {'failed':>7} {'skipped':>8} {'to do':>6}  estimate on {device}")
    for stage in STAGES:
        seconds = estimator.stage(stage)
        total += seconds
        states = counts[stage]
        if stage in ("confidence", "record", "measure") and not states:
            continue  # few forget sets have the first, few methods the second, and few sweeps further measures
        print(
            f"{stage:<10} {states['done']:>6} {states['failed']:>7} {states['skipped']:>8} {states['to do']:>6}  "
            f"{duration(seconds) if seconds else '-'}"
        )
    cells = dataset_lines(planner), cell_lines(planner, estimator), method_lines(planner), record_lines(planner)
    for line in chain.from_iterable((given_lines(planner), *cells, missing_lines(planner), said)):
        print(line)
    print(
        f"estimate: {duration(total)} ({total / 3600:.2f} device hours) on {device}, if one worker "
        f"with {planner.sweep.runtime.threads or 'all'} threads did everything",
        flush=True,
    )
    return total


def given_lines(planner: Planner) -> Iterator[str]:
    """Which originals are given, and what there is not where their recipe is not."""
    given = planner.sweep.cells[0].given
    if given is None:
        return
    yield "  originals are given and not trained:"
    yield from (f"    seed {file.seed}: {file.path} (sha256 {file.digest})" for file in given.files)
    if not given.recipe:
        yield "  no retrained model, as reference.recipe= is not given: RR, FR, TR, RetDev, gap, ToW and RTE are n/a"


def cell_lines(planner: Planner, estimator: Estimator) -> Iterator[str]:
    """What each cell would take, where there are several."""
    cells = planner.sweep.cells
    for number, cell in enumerate(cells if len(cells) > 1 else ()):
        seconds = sum(estimator.stage(stage, number) for stage in STAGES)
        yield f"  {cell.name}: {duration(seconds)} ({seconds / 3600:,.2f} device hours)"


def missing_lines(planner: Planner) -> Iterator[str]:
    """Which datasets are not there."""
    for cell in {cell.dataset.name: cell for cell in planner.sweep.cells}.values():
        if cell.dataset.name in planner.missing:
            train, test = cell.dataset.train_images, cell.dataset.test_images
            size = f"{train:,} + {test:,} images"
            yield f"  planned as published, {size}, nothing stored; {planner.missing[cell.dataset.name].problem}"


def method_lines(planner: Planner) -> Iterator[str]:
    """One line per cell and method: where its hyper-parameters come from and what they are, if known."""
    for cell, keys in enumerate(planner.keys):
        for name, method in planner.methods.items():
            params = planner.params(cell, name)
            shown = "after search" if params is None else ", ".join(f"{key}={_shown(params[key])}" for key in params)
            yield f"  {planner.sweep.cells[cell].name} {name}: {keys.source(planner.sweep, method)}: {shown}"


def record_lines(planner: Planner) -> Iterator[str]:
    """Of each cell and need for a record, how much of an original's training is touched by the forget set."""
    needing = {method.records: name for name, method in planner.methods.items() if method.records}
    for cell, config in enumerate(planner.sweep.cells):
        seeds = planner.sweep.report_seeds(config)
        for needs, name in needing.items():
            touched = _affected if needs == "updates" else _retrained
            try:
                share = statistics.mean(touched(planner, Task("evaluate", cell, name, seed)) for seed in seeds)
            except LookupError:
                yield f"  {config.name} {name}: how much the forget set touches is known when that is"
                continue
            yield f"  {config.name} {name}: {_touched(needs, share)}"


def _touched(needs: Records, share: float) -> str:
    if needs == "shards":
        return f"{share:.0%} of the ensemble's training is done again"
    undone = ": little is left when they are undone, which is meant for one class or a few samples"
    told = f"{share:.0%} of the batches of an original's training hold forget samples"
    return told + (undone if share > MANY_AFFECTED else "")


def _retrained(planner: Planner, task: Task) -> float:
    """The share of an ensemble's training that is done again. Raises LookupError, ConfigError as `placement`."""
    placement, gone, asked = planner.placement(task)
    every = placement.passes(dict.fromkeys(range(placement.shards), 0), gone)
    return placement.passes(placement.touched(gone, asked), gone) / max(1, every)


def _affected(planner: Planner, task: Task) -> float:
    """The share of an original's batches that hold a forget sample, and none that was requested before.

    Raises LookupError before these are known.
    """
    import torch  # noqa: PLC0415  the order of batches is drawn by it; few plans ask

    from deepunlearn.learning import affected_batches  # noqa: PLC0415

    assert task.seed is not None
    split, identity = planner.splits(task.cell).of(task.seed), planner.record_key(task).original.hash
    earlier = np.setdiff1d(split.forget, planner.requested(task))

    def touched(rows: Indices) -> tuple[int, int]:
        positions = torch.from_numpy(np.searchsorted(split.train, rows))
        batches = affected_batches(identity, planner.sweep.cells[task.cell].train, len(split.train), positions)
        return sum(map(sum, batches)), sum(map(len, batches))

    (every, batches), (before, _) = touched(split.forget), touched(earlier)
    return (every - before) / batches


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
