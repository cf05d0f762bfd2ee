"""`python -m deepunlearn.measure`: further measures of models that are stored already."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deepunlearn import sweep
from deepunlearn.cli import folders_of, run_main, table, wants_help
from deepunlearn.config import Command, read_command
from deepunlearn.config.arguments import listed, parsed
from deepunlearn.config.hydra_flags import read_flags
from deepunlearn.config.measures import check_classes, known_measures, sets_of
from deepunlearn.core.errors import ConfigError, unknown
from deepunlearn.core.paths import check_writable
from deepunlearn.core.progress import Progress, duration
from deepunlearn.core.schema import SlurmLauncher
from deepunlearn.core.validation import refuse_repeats
from deepunlearn.launch.estimate import Estimator
from deepunlearn.launch.runs import running
from deepunlearn.launch.speed_file import Speed
from deepunlearn.launch.stored import AXES, COMMAND, Found, How, StoredModels, find
from deepunlearn.launch.task import State, Task
from deepunlearn.registry import Folders

if TYPE_CHECKING:
    from deepunlearn.launch.local import Local
    from deepunlearn.launch.worker import Worker
    from deepunlearn.runtime import Runtime

OPTIONS = ("measures", "results", "plan", "confirm", "retry_failed", "wait", "plugins", "extra_methods", "launcher")
OPEN = ("to do", "skipped")
States = dict[str, dict[Task, State]]
ANY_SPEED = Speed(1.0, 1.0)  # of measures of outputs, whose estimate asks for none
USAGE = """usage: python -m deepunlearn.measure measures=[NAME,SET,...] [results=DIR] [method=NAME,...] [NAME=VALUE ...]

Computes further measures of all models that are stored, without training or unlearning any: a column that you think of
today is there for last year's results as well. What is stored is not computed again; the same command goes on after a
stop. The same as the sweep's command with measures=, for every sweep that was run on these results.
  python -m deepunlearn.measure 'measures=[relearn,aus]' plan=true   what is missing, or cannot be measured; its cost
  python -m deepunlearn.measure 'measures=[aus,zrf]'                 two measures, of all stored models
  python -m deepunlearn.measure 'measures=[erasure]' dataset=cifar10 method=ft,ga
  python -m deepunlearn.measure 'measures=[sklearn.f1_score(average=macro)]'
  python -m deepunlearn.measure 'measures=[all]' launcher=slurm launcher.cpus=4
Then: python -m deepunlearn.tables shows the new columns, and python -m deepunlearn.report has them on its page. A row
that lacks one shows "-": not computed. docs/measures.md says what each means, and what it does not say."""
_WORDS = {
    "measures=[NAME,SET,...]": "what to compute: measures, sets of them, sklearn.NAME(argument=value, ...)",
    "results=results": "where the models are stored",
    "method=, dataset=, arch=, forget=": "only models of these (a,b), and the references of their cells",
    "plan=true": "show what would be computed and what it would cost, and stop",
    "confirm=true": "run although the estimate on a CPU is above 2 hours",
    "retry_failed=true": "compute again what failed before",
    "launcher=slurm, launcher.partition=, ...": "jobs on a cluster; see conf/launcher/slurm.yaml; wait=true: stay",
    "launcher.workers=N": "processes beside each other",
    "runtime.device=, runtime.threads=": "where and how it runs; as the sweep did, where nothing is said",
    "plugins=DIR": "a folder with measures of your own (docs/adding.md)",
}


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code: 0, or 1 where a measure failed or was not computed."""
    if wants_help(arguments):
        print(usage(folders_of(arguments)[1]))
        return 0
    arguments = _words(arguments)
    command, chosen = read(arguments)
    progress = Progress()
    given = command.sweep
    check_writable(Path(given.results), f"a copy of {given.results} that is yours")
    runtime = {key.partition(".")[2] for key, _ in map(parsed, arguments) if key.startswith("runtime.")}
    changed = {name: getattr(given.runtime, name) for name in runtime}
    found = find(chosen, How(given.results, given.measures, given.launcher, changed), progress)
    if not found.planners:
        raise _nothing(command, found)
    check_classes(given.measures, [cell for planner in found.planners for cell in planner.sweep.cells])
    if command.flags.retry_failed and not command.flags.plan:
        for planner in found.planners:
            planner.retry()
    print(f"measures: {', '.join(one.name for one in given.measures)}")
    if isinstance(given.launcher, SlurmLauncher):
        return _submit(command, found, given.launcher, arguments, progress)
    return _run(command, found, arguments, progress)


def usage(folders: Folders) -> str:
    """The help text, with what there is to choose from."""
    known = known_measures(folders)
    sets = {name: ", ".join(one.name for one in own) or "(none)" for name, own in sets_of(known.values()).items()}
    titles = {name: one.title + (" (slow)" if one.slow else "") for name, one in known.items()}
    del sets["all"], sets["none"]
    parts = [table("options", _WORDS), table("measures", titles), table("sets, beside all", sets)]
    return "\n\n".join([USAGE, *parts])


def _words(arguments: Sequence[str]) -> list[str]:
    """The words without flags. Raises ConfigError for those that show a configuration: that of models is stored."""
    asked = read_flags(arguments)
    if asked.shows:
        raise ConfigError(
            "models are measured as they are stored, so there is no configuration to show",
            given=" ".join(arguments),
            allowed="--config-dir DIR, NAME=VALUE",
            remedy="plan=true says what would be computed; meta.json beside a model has its configuration",
        )
    return asked.words


def read(arguments: Sequence[str]) -> tuple[Command, dict[str, list[str]]]:
    """What is to be computed and how, and by axis which models. Raises ConfigError."""
    refuse_repeats(arguments)
    given = [parsed(argument) for argument in arguments]
    for key, _ in given:
        known = key in (*AXES, *OPTIONS) or key.startswith(("launcher.", "runtime."))
        if not known or key == "runtime.precision":
            raise unknown("option", key, [*AXES, *OPTIONS, "launcher.NAME", "runtime.NAME"], remedy=_AS_STORED)
    chosen = {key: _listed(key, value) for key, value in given if key in AXES}
    command = read_command([f"{key}={value}" for key, value in given if key not in AXES])
    if not command.sweep.measures:
        raise ConfigError(
            "no measure is chosen",
            given=f"measures= of {', '.join(arguments) or 'nothing'}",
            allowed=", ".join(known_measures(folders_of(arguments)[1])) or "(none)",
            remedy="give measures=[NAME,...]; python -m deepunlearn.measure --help lists them. Columns of every row "
            "(gap, ToW, ...) need no command",
        )
    return command._replace(name=COMMAND), chosen


_AS_STORED = "leave it out: models are measured as they are stored; python -m deepunlearn.measure --help lists options"


def _listed(axis: str, value: str) -> list[str]:
    """The names of an axis; of forget sets also spellings, which may hold commas."""
    return [value] if axis == "forget" and "(" in value else listed(axis, value)


def _nothing(command: Command, found: Found) -> ConfigError:
    return ConfigError(
        "nothing is stored that could be measured",
        given="; ".join(found.left_out) or f"results={command.sweep.results}",
        allowed="runs with at least one model that is stored",
        remedy="run the sweep's command first (runs/NAME/command.txt), or choose other models",
    )


# ------------------------------------------------------------------------------------------------------ on this machine


def _run(command: Command, found: Found, arguments: Sequence[str], progress: Progress) -> int:
    states = _states(found.planners)
    if not any(one in OPEN for known in states.values() for one in known.values()):
        _print_rest(found)
        return _report(found.planners, states)
    runtimes = _runtimes(found.planners)
    estimators = {planner.run: _estimator(planner, runtimes[planner.run], progress) for planner in found.planners}
    devices = sorted({one.device_name() for one in runtimes.values() if one is not None}) or ["cpu"]
    seconds = _print_plan(found, states, estimators, ", ".join(devices))
    if command.flags.plan:
        return 0
    kinds = {one.device.type for one in runtimes.values() if one is not None} - {"cpu"}
    sweep.confirm(command.flags, seconds, min(kinds, default="cpu"))
    if removed := found.planners[0].store.clean():
        progress.say(f"removed {removed} unfinished results of processes that were killed")
    started = time.monotonic()
    for planner in found.planners:
        if tasks := [task for task, state in states[planner.run].items() if state in OPEN]:
            with running(planner, COMMAND, arguments):
                _local(planner, runtimes[planner.run], progress, estimators[planner.run]).run(tasks)
    took = time.monotonic() - started
    print(f"\ndone in {duration(took)} (estimated {duration(seconds)})")
    return _report(found.planners, _states(found.planners))


def _states(planners: Sequence[StoredModels]) -> States:
    """By run how far the measuring of each model is: looked up once, which takes seconds of thousands."""
    return {planner.run: {task: planner.state(task) for task in planner.tasks} for planner in planners}


def _looks_at_networks(planner: StoredModels) -> bool:
    """Where no measure does, this process needs no torch, which takes seconds and a third of a gigabyte."""
    return any({"models", "call"} & set(one.needs) for one in planner.sweep.measures)


def _runtimes(planners: Sequence[StoredModels]) -> dict[str, Runtime | None]:
    """By run what its models were made with, precision and threads included; None where no network is looked at.

    A process is set to one of them at a time: `settle` it before what it is for.
    """
    return {planner.run: _runtime(planner) if _looks_at_networks(planner) else None for planner in planners}


def _runtime(planner: StoredModels) -> Runtime:
    from deepunlearn.runtime import Runtime  # noqa: PLC0415

    return Runtime(planner.sweep.runtime)


def _local(planner: StoredModels, runtime: Runtime | None, progress: Progress, estimator: Estimator) -> Local:
    from deepunlearn.launch.local import Local  # noqa: PLC0415
    from deepunlearn.launch.runs import folder_of  # noqa: PLC0415

    def worker() -> Worker:
        from deepunlearn.launch.worker import Worker  # noqa: PLC0415

        return Worker(planner, (runtime or _runtime(planner)).settle(), progress, estimator.task)

    return Local(planner, folder_of(planner, COMMAND), progress, _gpus(runtime), worker)


def _gpus(runtime: Runtime | None) -> list[dict[str, str]]:
    """The GPUs that workers share; measures of outputs use none."""
    if runtime is None or runtime.device.type == "cpu":
        return []
    from deepunlearn.runtime import gpu_environments  # noqa: PLC0415

    return gpu_environments()


def _estimator(planner: StoredModels, runtime: Runtime | None, progress: Progress) -> Estimator:
    """The speed of networks is measured only where a measure looks at them."""
    cells = range(len(planner.sweep.cells))
    if runtime is None:
        return Estimator(planner, [ANY_SPEED for _ in cells])
    from deepunlearn.launch.speed import Timing  # noqa: PLC0415

    timing = Timing(planner, runtime.settle(), progress)
    return Estimator(planner, timing.complete(timing.of(cells)))


def _print_plan(found: Found, known: States, estimators: dict[str, Estimator], device: str) -> float:
    """Print what is there, what is to be done and what it costs; returns the estimated seconds."""
    width = max(len(cell.name) for planner in found.planners for cell in planner.sweep.cells)
    print(f"{'cell':<{width}} {'models':>7} {'done':>6} {'failed':>7} {'to do':>6}  estimate on {device}")
    total = 0.0
    for planner in found.planners:
        for number, cell in enumerate(planner.sweep.cells):
            own = {task: state for task, state in known[planner.run].items() if task.cell == number}
            states, left = Counter(own.values()), [task for task, state in own.items() if state in OPEN]
            seconds = sum(map(estimators[planner.run].task, left))
            total += seconds
            print(
                f"{cell.name:<{width}} {len(own):>7} {states['done']:>6} {states['failed']:>7} {len(left):>6}  "
                f"{duration(seconds) if left else '-'}"
            )
    _print_rest(found)
    print(f"estimate: {duration(total)} on {device}, if one worker did everything", flush=True)
    return total


def _print_rest(found: Found) -> None:
    """What is not measured, and what takes its time."""
    for line in found.left_out:
        print(f"not measured: {line}")
    measures = {one.name: one for planner in found.planners for one in planner.sweep.measures if one.slow}
    for name, one in measures.items():
        print(f"slow: {name}" + (f": {one.cost}" if one.cost else ""))


def _report(planners: Sequence[StoredModels], known: States) -> int:
    """Print how it ended; 1 where a measure failed or was not computed."""
    states = Counter(state for own in known.values() for state in own.values())
    results = planners[0].results
    if set(states) == {"done"}:
        print(f"all {states['done']} models have these measures, stored in {results.store}")
        print(f"tables: python -m deepunlearn.tables results={results.root}")
        return 0
    print(", ".join(f"{count} {state}" for state, count in states.items()))
    for planner, task in _bad(planners, known):
        note = planner.failure(task)
        told = "not computed yet" if note is None else f"{note['kind']}: {note['message'].splitlines()[0]}"
        print(f"  {task.label(planner.sweep)}: {told}")
    print("what failed is computed again with retry_failed=true; tracebacks are in the store's failures folders")
    return 1


def _bad(planners: Sequence[StoredModels], known: States) -> Iterator[tuple[StoredModels, Task]]:
    for planner in planners:
        yield from ((planner, task) for task, state in known[planner.run].items() if state != "done")


# --------------------------------------------------------------------------------------------------------- on a cluster


def _submit(
    command: Command, found: Found, launcher: SlurmLauncher, arguments: Sequence[str], progress: Progress
) -> int:
    """Jobs for each run that has something to do; returns the exit code."""
    _print_rest(found)
    codes = [0]
    for planner in found.planners:
        if planner.open_tasks():
            print(f"run {planner.run}")
            codes.append(sweep.submit(command._replace(sweep=planner.sweep), planner, launcher, arguments, progress))
    if len(codes) == 1:
        return _report(found.planners, _states(found.planners))
    return max(codes)


if __name__ == "__main__":
    sys.exit(run_main(main))
