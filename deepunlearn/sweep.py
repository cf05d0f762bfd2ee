"""`python -m deepunlearn.sweep`: plan, run and resume a sweep."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepunlearn.cli import run_main, table, wants_help
from deepunlearn.config import GROUPS, Command, Flags, options, read_command, sweep_files
from deepunlearn.config.hydra_flags import read_flags
from deepunlearn.config.measures import check_classes
from deepunlearn.config.shown import shown
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.forget import Indices
from deepunlearn.core.method_config import MethodConfig, Records
from deepunlearn.core.paths import write_atomically
from deepunlearn.core.progress import Board, Part, Progress, duration
from deepunlearn.core.schema import SlurmLauncher
from deepunlearn.launch import slurm
from deepunlearn.launch.datasets import dataset_lines
from deepunlearn.launch.estimate import Estimator, cluster_speeds
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import folder_of, prepared, running, write_winners
from deepunlearn.launch.speed_file import remarks
from deepunlearn.launch.summary import FILE, summary
from deepunlearn.launch.tasks import STAGES, Task
from deepunlearn.launch.tracking import Tracking
from deepunlearn.search.slots import DEFAULTS, prepare_storage
from deepunlearn.trackers import check_installed

if TYPE_CHECKING:
    from deepunlearn.runtime import Runtime

MANY_AFFECTED = 0.5  # share of batches from which on a plan warns
CONFIRM_ABOVE = 2 * 3600.0  # seconds on a CPU

USAGE = """usage: python -m deepunlearn.sweep [sweep=NAME] [GROUP=OPTION ...] [NAME=VALUE ...]

Train originals and retrains, search hyper-parameters, unlearn, score and store; what is stored is not computed again.
  python -m deepunlearn.sweep method=msg dataset=cifar10
  python -m deepunlearn.sweep sweep=demo
  python -m deepunlearn.sweep method=ft,ct,msg dataset=mnist arch=resnet18,tinyvit search=quick seeds=3 plan=true

dataset=, arch=, method= and forget= may each name several options (a,b), and forget.NAME= several values: every
combination runs. Every other option takes one value; a list is written [a,b].
"""


def main(arguments: Sequence[str]) -> int:
    if wants_help(arguments):
        print(usage())
        return 0
    asked = read_flags(arguments)
    if asked.shows:
        for text in shown(asked):
            print(text)
        return 0
    arguments = asked.words
    command = read_command(arguments)
    check_installed(command.sweep.tracker)
    progress = Progress()
    check_classes(command.sweep.measures, command.sweep.cells)
    planner = Planner(command.sweep, progress, only_plan=command.flags.plan)
    needed = check(planner)
    if command.flags.retry_failed and not command.flags.plan:
        planner.retry()
    if all(planner.state(task) == "done" for task in planner.tasks):
        print(f"nothing to do: all {len(planner.tasks)} tasks are stored in {planner.results.store}")
        show_tracked(Tracking(planner, progress))
        return 0
    if isinstance(command.sweep.launcher, SlurmLauncher):
        return submit(command, planner, command.sweep.launcher, arguments, progress)
    return _run(command, planner, progress, arguments, needed)


def usage() -> str:
    sections = [USAGE]
    sections += [table(f"{group}=", options(group)) for group in GROUPS]
    sections.append(table("sweep=  (a name, or a path ending in .yaml)", sweep_files()))
    sections.append(table("options", _OPTIONS))
    return "\n\n".join(sections)


_OPTIONS = {
    "seeds=10": "report seeds: a number, or a list as [0,1,2]",
    "train.epochs=, train.lr=, train.batch_size=": "the recipe of originals and retrains",
    "search.trials=, search.seeds=, search.space=paper|ours, search.max_epochs=": "the search",
    "search.from_defaults=true, search.winners=FILE": "it begins with default values, with what other cells have found",
    "method.params.NAME=": "fix a hyper-parameter (it is then not searched); null: searched or default",
    "method.space.NAME.low=, .high=, .default=": "its range and default",
    "method.METHOD.params.NAME=, method.METHOD.space.NAME.low=, ...": "the same of one method of the sweep; it wins",
    "plugins=DIR": "a folder with parts of your own: method/, arch/, dataset/, forget/, ... (docs/adding.md)",
    "extra_methods=DIR": "a folder with methods of your own, NAME.py beside NAME.yaml",
    "hparams=FILE": "use these hyper-parameters and do not search",
    "dataset.root=, dataset.source=, dataset.download=true, dataset.limit=N": "where images come from, and how many",
    "dataset.duplicates=warn|error|drop, dataset.background=black|white": "copies in the data; behind transparency",
    "forget.ratio=0.1, forget.NAME=, forget.KIND.NAME=": "values of forget sets, several of them a grid; of one kind",
    "forget.rounds=5, forget.schedule=[1,10,100]": "requests that arrive one after the other (docs/guide.md)",
    "forget.search_rounds=first|each": "search hyper-parameters in the first round of them, or in each",
    "runtime.device=, runtime.precision=, runtime.threads=, runtime.compile=": "where and how it runs",
    "runtime.cpu_kernels=auto|off": "off: plain PyTorch on the CPU, slower; the results are the same within rounding",
    "launcher=slurm, launcher.partition=, launcher.gpus=, ...": "jobs on a cluster; see conf/launcher/slurm.yaml",
    "launcher.extra='{exclude: node01}'": "any other option of sbatch",
    "launcher.workers=N, launcher.workers_per_gpu=, launcher.workers_per_study=": "processes beside each other",
    "wait=true": "launcher=slurm: stay until all jobs have ended",
    "measures=[NAME,SET,...]": "further measures of each model, by name or set (default, all, ...; docs/measures.md)",
    "reference.original=FILE, reference.recipe=FILE": "your own model, and how it was trained (docs/own-models.md)",
    "results=results": "where everything is stored",
    "tracker=mlflow|wandb|tensorboard": "told of each evaluation and search, outside the clock (docs/trackers.md)",
    "keep=weights|logits": "what is stored of each unlearned model",
    "plan=true": "show what would run and what it would cost, and stop",
    "confirm=true": "run although the estimate on a CPU is above 2 hours",
    "retry_failed=true": "run tasks again that failed before",
}


def check(planner: Planner) -> dict[int, int]:
    """Find what is wrong with a sweep before anything expensive starts. Raises DeepUnlearnError.

    Returns the bytes of memory that the network of each cell needs at least, where it had to be looked at.
    """
    sweep = planner.sweep
    _writable(planner.results.root)
    if sweep.search.sampler and sweep.search.storage not in (None, *DEFAULTS):
        prepare_storage(sweep.search, planner.results.search)
    needed: dict[int, int] = {}
    for cell, keys in enumerate(planner.keys):
        planner.sizes(cell)
        blocks = planner.sweep.cells[cell].arch.blocks
        if planner.sweep.cells[cell].arch.identity is not None:
            blocks, needed[cell] = _inspect(planner, cell)
        if cell == 0:
            _check_originals(planner)
        for method in sweep.methods:
            _check_bank(planner, cell, method)
            if keys.source(sweep, method) == "search":
                keys.ranges(method, sweep.search)
                keys.check_blocks(method, method.fixed, blocks)
            else:
                keys.check_blocks(method, keys.given(sweep, method), blocks)
    return needed


def _check_bank(planner: Planner, cell: int, method: MethodConfig) -> None:
    """Raises ConfigError where a bank lacks scores of samples that are forgotten, as far as these are known."""
    if method.bank is not None:
        splits = planner.splits(cell)
        for seed in splits.seeds:
            planner.keys[cell].check_bank(method, splits.of(seed))


def _inspect(planner: Planner, cell: int) -> tuple[int | None, int]:
    """The blocks of a cell's network, and bytes that its training needs. Raises ConfigError where it cannot serve."""
    from deepunlearn.archs.inspection import inspected  # noqa: PLC0415  for networks of ours torch is not needed yet

    config = planner.sweep.cells[cell]
    inspection = inspected(config.arch, planner.keys[cell].classes, planner.network_inputs(cell))
    if inspection.head_left:
        planner.progress.say(
            f"{config.name}: the head is initialised anew, as {config.arch.weights} has none for "
            f"{planner.keys[cell].classes} classes: {', '.join(inspection.head_left)}"
        )
    return inspection.blocks, inspection.bytes_at(config.train.batch_size)


def _check_originals(planner: Planner) -> None:
    """Whether originals that are given are such networks; they are the same for all cells. Raises ConfigError."""
    config = planner.sweep.cells[0]
    if config.given is not None:
        from deepunlearn.given_model import check_originals  # noqa: PLC0415  needs torch

        check_originals(config.arch, planner.keys[0].classes, planner.network_inputs(0), config.given)


def _check_memory(planner: Planner, needed: Mapping[int, int], runtime: Runtime) -> None:
    limit = runtime.memory()
    for cell, least in needed.items():
        if limit is not None and least > limit:
            raise ConfigError(
                f"{planner.sweep.cells[cell].name} needs more memory than {runtime.device_name()} has",
                given=f"at least {least / 1e9:.1f} GB for a training step of train.batch_size="
                f"{planner.sweep.cells[cell].train.batch_size}",
                allowed=f"{limit / 1e9:.1f} GB",
                remedy="lower train.batch_size or dataset.image_size, or choose a smaller network",
            )


def _writable(root: Path) -> None:
    parent = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise ConfigError(
            "the results folder cannot be written",
            given=str(root),
            allowed="a folder you may write to",
            remedy="give results=DIR",
        )


def _run(
    command: Command, planner: Planner, progress: Progress, arguments: Sequence[str], needed: Mapping[int, int]
) -> int:
    from deepunlearn.launch.local import Local  # noqa: PLC0415
    from deepunlearn.launch.speed import Timing  # noqa: PLC0415
    from deepunlearn.launch.worker import Worker  # noqa: PLC0415  torch takes seconds to import; only now is it needed
    from deepunlearn.runtime import Runtime, gpu_environments  # noqa: PLC0415

    _check_methods(command.sweep.methods)
    runtime = Runtime(command.sweep.runtime).settle()
    _check_memory(planner, needed, runtime)
    worker = Worker(planner, runtime, progress)
    gpus = gpu_environments() if runtime.device.type != "cpu" else []
    local = Local(planner, folder_of(planner, command.name), progress, gpus, lambda: worker)
    timing = Timing(planner, runtime, progress)
    timed = timing.of(range(len(planner.sweep.cells)))
    estimator = Estimator(planner, timing.complete(timed))
    seconds = describe_plan(planner, estimator, runtime.device_name(), remarks(planner.sweep.cells, timed.values()))
    if command.flags.plan:
        return 0
    confirm(command.flags, seconds, runtime.device.type)
    removed = planner.store.clean()
    if removed:
        progress.say(f"removed {removed} unfinished results of processes that were killed")
    started = time.monotonic()
    worker.tracking.prepare()
    with running(planner, command.name, arguments) as folder, _live_view(planner, estimator, progress):
        local.run(planner.open_tasks())
        write_winners(planner, folder / "hparams.yaml")
    took = time.monotonic() - started
    print(f"\ndone in {duration(took)} (estimated {duration(seconds)}; ratio {took / max(seconds, 1e-9):.2f})")
    show_tracked(worker.tracking)
    return report(planner, folder)


def _live_view(planner: Planner, estimator: Estimator, progress: Progress) -> AbstractContextManager[Any]:
    """The live view of a sweep that is about to run; nothing where there is no terminal for it."""
    if not progress.live:
        return nullcontext()
    over = [(task.cell, task.stage) for task in planner.tasks if planner.state(task) in ("done", "failed")]
    total: Counter[Part] = Counter((task.cell, task.stage) for task in planner.tasks)
    cells = range(len(planner.sweep.cells))
    seconds: dict[Part, float] = {
        (cell, stage): estimator.stage(stage, cell) for cell in cells for stage in STAGES if total[cell, stage]
    }
    return progress.showing(Board([cell.name for cell in planner.sweep.cells], total, Counter(over), seconds))


def submit(
    command: Command, planner: Planner, launcher: SlurmLauncher, arguments: Sequence[str], progress: Progress
) -> int:
    """Plan and submit what is open as SLURM jobs; returns the exit code."""
    folder = folder_of(planner, command.name)
    estimator = Estimator(planner, cluster_speeds(planner, launcher))
    describe_plan(planner, estimator, "the cluster's nodes")
    in_queue = {task for one in slurm.queued(folder) for task in one.tasks}
    made = slurm.arrays(planner, estimator, [task for task in planner.open_tasks() if task not in in_queue], launcher)
    if in_queue:
        print(f"{len(in_queue)} tasks are in jobs that are queued already")
    print(slurm.describe(made, launcher), flush=True)
    if command.flags.plan:
        return 0
    slurm.check_cluster()
    if not made:
        print("nothing to submit")
        return 0
    _check_methods([method for method in planner.sweep.methods if method.modules])
    prepared(planner, command.name, arguments)
    tracking = Tracking(planner, progress)
    tracking.prepare()
    for number, array in slurm.submit(planner, folder, made, launcher):
        print(f"submitted job {number}: {array.title}", flush=True)
    print(f"watch it with: python -m deepunlearn.status results={planner.sweep.results} --watch")
    if not command.flags.wait:
        return 0
    slurm.wait(folder, progress)
    write_winners(planner, folder / "hparams.yaml")
    show_tracked(tracking)
    return report(planner, folder)


def _check_methods(methods: Iterable[MethodConfig]) -> None:
    """Code that cannot be loaded, or that disagrees with its YAML, is to be known before anything runs."""
    from deepunlearn.composition import make_method  # noqa: PLC0415

    for method in methods:
        make_method(method, method.complete({}))


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


def confirm(flags: Flags, seconds: float, device: str) -> None:
    """Raises ConfigError for what takes hours on a CPU, unless that was confirmed."""
    if device == "cpu" and seconds > CONFIRM_ABOVE and not flags.confirm:
        raise ConfigError(
            "this would take long on a CPU",
            given=f"about {duration(seconds)}",
            allowed="up to 2 hours unasked",
            remedy="add confirm=true or make it smaller: train.epochs= seeds= search.trials= dataset.limit=",
        )


def show_tracked(tracking: Tracking) -> None:
    """Tell the tracker what it does not know yet, and print how that ended."""
    for line in tracking.finish():
        print(line)


def report(planner: Planner, folder: Path) -> int:
    """Print how the tasks ended, and keep that beside the run; 1 where one failed, was skipped or is still to do."""
    text = summary(planner, folder)
    print(text, end="")
    write_atomically(folder / FILE, text)
    return 0 if all(planner.state(task) == "done" for task in planner.tasks) else 1


if __name__ == "__main__":
    sys.exit(run_main(main))
