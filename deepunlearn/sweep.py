"""`python -m deepunlearn.sweep`: plan, run and resume a sweep."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from deepunlearn.cli import run_main, table, wants_help
from deepunlearn.config import GROUPS, Command, Flags, options, read_command, sweep_files
from deepunlearn.config.arguments import NOTHING
from deepunlearn.config.hydra_flags import read_flags
from deepunlearn.config.measures import check_classes
from deepunlearn.config.shown import shown
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import write_atomically
from deepunlearn.core.progress import Board, Part, Progress, duration
from deepunlearn.core.schema import SlurmLauncher
from deepunlearn.launch import slurm
from deepunlearn.launch.checks import check, check_memory, check_methods
from deepunlearn.launch.description import describe_plan
from deepunlearn.launch.estimate import Estimator, cluster_speeds
from deepunlearn.launch.nearest import with_nearest
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import folder_of, prepared, running, write_winners
from deepunlearn.launch.speed_file import remarks
from deepunlearn.launch.summary import FILE, summary
from deepunlearn.launch.tracking import Tracking
from deepunlearn.trackers import check_installed

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
    if command.nearest:
        command = command._replace(sweep=with_nearest(command.sweep, progress, only_plan=command.flags.plan))
    planner = Planner(command.sweep, progress, only_plan=command.flags.plan)
    needed = check(planner)
    if command.flags.retry_failed and not command.flags.plan:
        planner.retry()
    if all(planner.state(task) == "done" for task in planner.tasks):
        print(f"nothing to do: all {len(planner.tasks)} tasks are stored in {planner.results.store}")
        if not command.flags.plan:
            show_tracked(Tracking(planner, progress))
        return 0
    if isinstance(command.sweep.launcher, SlurmLauncher):
        return submit(command, planner, command.sweep.launcher, arguments, progress)
    return _run(command, planner, progress, arguments, needed)


def usage() -> str:
    sections = [USAGE]
    sections += [table(f"{group}=", options(group)) for group in GROUPS]
    sections.append(table("sweep=  (a name, or a path ending in .yaml)", sweep_files()))
    sections += [table("options", _OPTIONS), table("as in Hydra", _HYDRA)]
    return "\n\n".join(sections)


_HYDRA = {
    "--cfg job [--package NAME] [--resolve]": "print the configuration of each cell and method, and run nothing",
    "--info": "where configurations are looked for, and which are chosen; runs nothing",
    "--config-dir DIR, -cd DIR": "a folder of configurations of your own; the same as plugins=DIR",
    "'NAME=${oc.env:VARIABLE}'": "a value from the environment",
    ", ".join(f"~{name}" for name in NOTHING): ", ".join(f"{name}={none}" for name, none in NOTHING.items()),
}
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
    "hparams=FILE|nearest": "use these hyper-parameters, or what stored searches found, and do not search",
    "dataset.root=, dataset.source=, dataset.download=true, dataset.limit=N": "where images come from, and how many",
    "dataset.duplicates=warn|error|drop, dataset.background=black|white": "copies in the data; behind transparency",
    "forget.ratio=0.1, forget.NAME=, forget.KIND.NAME=": "values of forget sets, several of them a grid; of one kind",
    "forget.rounds=5, forget.schedule=[1,10,100]": "requests that arrive one after the other (docs/rounds.md)",
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


def _run(
    command: Command, planner: Planner, progress: Progress, arguments: Sequence[str], needed: Mapping[int, int]
) -> int:
    from deepunlearn.launch.local import Local  # noqa: PLC0415
    from deepunlearn.launch.speed import Timing  # noqa: PLC0415
    from deepunlearn.launch.worker import Worker  # noqa: PLC0415  torch takes seconds to import; only now is it needed
    from deepunlearn.runtime import Runtime, gpu_environments  # noqa: PLC0415

    check_methods(command.sweep.methods)
    runtime = Runtime(command.sweep.runtime).settle()
    check_memory(planner, needed, runtime)
    gpus = gpu_environments() if runtime.device.type != "cpu" else []
    timing = Timing(planner, runtime, progress)
    timed = timing.of(range(len(planner.sweep.cells)))
    estimator = Estimator(planner, timing.complete(timed))
    worker = Worker(planner, runtime, progress, estimator.task)
    local = Local(planner, folder_of(planner, command.name), progress, gpus, lambda: worker)
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
    seconds = {task: estimator.task(task) for task in planner.open_tasks()}
    return progress.showing(Board([cell.name for cell in planner.sweep.cells], total, Counter(over), seconds))


def submit(
    command: Command, planner: Planner, launcher: SlurmLauncher, arguments: Sequence[str], progress: Progress
) -> int:
    """Plan and submit what is open as SLURM jobs; returns the exit code."""
    folder = folder_of(planner, command.name)
    estimator = Estimator(planner, cluster_speeds(planner, launcher))
    describe_plan(planner, estimator, "the cluster's nodes")
    queue = slurm.queued(folder)
    in_queue = {task for one in queue for task in one.tasks}
    made = slurm.arrays(planner, estimator, [task for task in planner.open_tasks() if task not in in_queue], launcher)
    if in_queue:
        print(f"{len(in_queue)} tasks are in jobs that are queued already")
    print(slurm.describe(made, launcher), flush=True)
    if command.flags.plan:
        return 0
    slurm.check_cluster()
    tracking = Tracking(planner, progress)
    if made:
        check_methods([method for method in planner.sweep.methods if method.modules])
        prepared(planner, command.name, arguments)
        tracking.prepare()
        for number, array in slurm.submit(planner, folder, made, launcher):
            print(f"submitted job {number}: {array.title}", flush=True)
        print(f"watch it with: python -m deepunlearn.status results={planner.sweep.results} --watch")
    else:
        print("nothing to submit")
    if not command.flags.wait or not (made or queue):
        return 0
    slurm.wait(folder, progress)
    write_winners(planner, folder / "hparams.yaml")
    show_tracked(tracking)
    return report(planner, folder)


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
