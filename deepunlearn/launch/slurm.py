"""Submits the tasks of a plan to SLURM through submitit: arrays of jobs, one or more per stage. Imports no torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import write_atomically
from deepunlearn.core.progress import Progress
from deepunlearn.core.schema import SlurmLauncher
from deepunlearn.core.store import now
from deepunlearn.core.words import number_of
from deepunlearn.launch import sbatch
from deepunlearn.launch.estimate import Estimator
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.runs import write_sweep
from deepunlearn.launch.task import Stage, Task

# Selections are made by the jobs that need them.
SUBMITTED: tuple[Stage, ...] = ("confidence", "reference", "record", "search", "evaluate", "measure")
PROGRAMS = ("sbatch", "srun", "squeue", "scontrol")
POLL_SECONDS = 10.0


@dataclass(frozen=True)
class Array:
    """One submitted, or to be submitted, job array: what each of its jobs does, in order."""

    stage: str
    bundles: list[list[Task]]
    minutes: float  # estimate of the longest job
    alone: bool = False  # its jobs have their nodes to themselves
    round: int = 0  # of what is done by round

    @property
    def title(self) -> str:
        return number_of(len(self.bundles), f"{self.stage} job")


def arrays(planner: Planner, estimator: Estimator, tasks: list[Task], launcher: SlurmLauncher) -> list[Array]:
    """`tasks` in jobs of about `minutes_per_job` and arrays of at most `max_array_size` jobs, step by step."""
    made = []
    for step in planner.steps:
        stage = step.stage
        chosen = [task for task in tasks if planner.step_of(task) == step] if stage in SUBMITTED else []
        jobs = list(_bundles(estimator, chosen, launcher))
        if stage == "search" and launcher.workers_per_study > 1:
            jobs = [[task] for task in chosen for _ in range(launcher.workers_per_study)]
        for start in range(0, len(jobs), launcher.max_array_size):
            chunk = jobs[start : start + launcher.max_array_size]
            bundles = [_with_selections(planner, job) for job in chunk]
            longest = max(sum(map(estimator.task, job)) for job in bundles) / 60
            alone = stage in planner.timed_stages and _on_cpus(launcher)
            made.append(Array(stage, bundles, longest, alone, step.round))
    return made


def _on_cpus(launcher: SlurmLauncher) -> bool:
    """Whether other jobs on a node would spoil what is timed: not on GPUs of its own."""
    return not (launcher.gpus or launcher.gres)


def _bundles(estimator: Estimator, tasks: Iterable[Task], launcher: SlurmLauncher) -> Iterator[list[Task]]:
    """Runs of tasks of one cell, each about as long as a job may be."""
    bundle: list[Task] = []
    seconds = 0.0
    for task in tasks:
        needed = estimator.task(task)
        full = bundle and (seconds + needed > launcher.minutes_per_job * 60 or bundle[-1].cell != task.cell)
        if full:
            yield bundle
            bundle, seconds = [], 0.0
        bundle.append(task)
        seconds += needed
    if bundle:
        yield bundle


def _with_selections(planner: Planner, job: list[Task]) -> list[Task]:
    """Before evaluations, the selections that they need and that are not made yet; the first job to come makes them."""
    needed = [one for task in job for one in planner.inputs(task) if one.stage == "select" and not planner.is_done(one)]
    return [*dict.fromkeys(needed), *job]


def describe(made: list[Array], launcher: SlurmLauncher) -> str:
    """What would be submitted, sbatch's parameters included."""
    lines = [f"{'array':<12} {'jobs':>6} {'tasks':>7}  longest job"]
    for array in made:
        tasks = sum(map(len, array.bundles))
        alone = ", each alone on its node" if array.alone else ""
        lines.append(f"{array.stage:<12} {len(array.bundles):>6} {tasks:>7}  about {array.minutes:.0f} min{alone}")
    lines.append("sbatch parameters:")
    given = sbatch.parameters(launcher, "STAGE", ["JOBS_BEFORE"])
    lines += [f"  {name}: {value}" for name, value in given.items() if value is not None]
    if left_out := [name for name in sbatch.inherited(launcher) if name.startswith("SBATCH_")]:
        lines.append(f"not passed on to sbatch: {', '.join(left_out)} (the launcher's options are)")
    return "\n".join(lines)


def submit(planner: Planner, folder: Path, made: list[Array], launcher: SlurmLauncher) -> Iterator[tuple[str, Array]]:
    """Submit `made` and note it in the run's folder; yields the id of each array with the array.

    The jobs read the configuration beside them: that of the run is written anew by each command, local ones included.

    Each stage waits until those before it have ended, however, jobs of earlier commands for this run included.
    Raises ConfigError where SLURM refuses an array; those before it are queued and noted.
    """
    orders = [*made, *([Array("tables", [[]], 0.0)] if launcher.tables else [])]
    queue = sorted({one.job for one in queued(folder)}, key=int)
    home = planner.results.work / "submitit" / f"{folder.name}-{time.strftime('%Y%m%dT%H%M%S')}"
    file = write_sweep(planner, home)
    sent: list[tuple[str, Array]] = []
    for number, array in enumerate(orders):
        own = array.stage, array.round
        before = [*queue, *(job for job, one in sent if (one.stage, one.round) != own)]
        given = sbatch.parameters(launcher, array.stage, before, array.alone)
        try:
            job = _send(home / f"{number}-{array.stage}", given, _work(planner, folder, file, array), launcher)
        except Refused as refusal:
            raise _refusal(str(refusal), sent, orders[number:]) from None
        _note(folder, job, array)
        sent.append((job, array))
        yield job, array


class Refused(Exception):
    """What sbatch said when it took no job."""


def _send(folder: Path, given: dict[str, Any], work: Work, launcher: SlurmLauncher) -> str:
    """Submit one array, its files in `folder`; returns its id. Raises Refused, and leaves no files then."""
    import submitit  # noqa: PLC0415  planning and status need none
    from submitit.core.utils import FailedJobError, FailedSubmissionError  # noqa: PLC0415

    folder.mkdir(parents=True, mode=0o700)
    executor = submitit.SlurmExecutor(folder=folder.absolute())
    executor.update_parameters(**given)
    try:
        with sbatch.own_environment(launcher), redirect_stderr(StringIO()):  # submitit prints what it then raises
            jobs = executor.map_array(work.function, *zip(*work.arguments, strict=True))
    except (FailedJobError, FailedSubmissionError) as error:
        shutil.rmtree(folder)
        raise Refused(str(error).strip() or "sbatch failed without a word") from None
    return str(jobs[0].job_id).split("_")[0]  # a single job is no array to submitit: no number stands behind its id


class Work(NamedTuple):
    """What the jobs of an array call."""

    function: Callable[..., Any]
    arguments: list[tuple[Any, ...]]  # of each job


def _work(planner: Planner, folder: Path, file: Path, array: Array) -> Work:
    from deepunlearn.launch import job  # noqa: PLC0415

    if array.stage == "tables":
        return Work(job.make_tables, [(str(planner.results.root.absolute()),)])
    run, settings = str(folder.absolute()), str(file.absolute())
    return Work(job.run_tasks, [(run, list(map(str, bundle)), settings) for bundle in array.bundles])


def _refusal(words: str, sent: list[tuple[str, Array]], left: list[Array]) -> ConfigError:
    """What is queued, what is not, and what SLURM said."""
    queued_now = ", ".join(f"{array.title} (job {job})" for job, array in sent) or "nothing"
    waiting = ", ".join(array.title for array in left)
    return ConfigError(
        f"SLURM refused {left[0].title}; queued by this command: {queued_now}; not queued: {waiting}",
        given=" | ".join(line.strip() for line in words.splitlines() if line.strip()),
        allowed="what your site allows you",
        remedy=sbatch.remedy(words),
    )


def check_cluster() -> None:
    """Raises ConfigError where jobs cannot be submitted."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"launcher=slurm, but this machine has no {', '.join(missing)}",
            given="launcher=slurm",
            allowed="a login node of a SLURM cluster",
            remedy="use launcher=local here",
        )


def _note(folder: Path, job: str, array: Array) -> None:
    tasks = [list(map(str, bundle)) for bundle in array.bundles]
    text = json.dumps({"date": now(), "stage": array.stage, "job": job, "tasks": tasks})
    write_atomically(folder / "jobs" / f"{int(job):012d}.json", text + "\n")


# ------------------------------------------------------------------------------------------------------- what is queued


class Queued(NamedTuple):
    """A job of a run that SLURM still has."""

    job: str  # array id
    number: int  # in its array
    stage: str
    state: str  # PENDING, RUNNING, ...
    reason: str
    tasks: list[Task]


def queued(folder: Path) -> list[Queued]:
    """The jobs of a run that are in the queue, running ones included; none where this machine has no SLURM."""
    notes = {note["job"]: note for note in _notes(folder)}
    if not notes or shutil.which("squeue") is None:
        return []
    queue = []
    for line in _queue():
        job, index, state, reason = line.split("|", 3)
        if job in notes:
            number = int(index) if index.isdigit() else 0
            tasks = [Task.parse(text) for text in notes[job]["tasks"][number]]
            queue.append(Queued(job, number, notes[job]["stage"], state, reason, tasks))
    return queue


def _queue() -> list[str]:
    """Lines `array id|index|state|reason` of all jobs that SLURM has. Raises NoAnswer."""
    command = ["squeue", "--noheader", "--array", "--format", "%F|%K|%T|%r"]
    with sbatch.own_environment():
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        raise NoAnswer(
            "SLURM does not answer",
            given=asked.stderr.strip()[:300],
            allowed="an answer from squeue",
            remedy="try again later",
        )
    return [line for line in asked.stdout.splitlines() if line.count("|") >= 3]  # of several clusters each has a title


class NoAnswer(ConfigError):
    """SLURM's controller cannot be reached: what is queued is not known."""


def wait(folder: Path, progress: Progress) -> None:
    """Return when no job of the run is in the queue any more; while SLURM does not answer, ask again."""
    silent = False
    while True:
        try:
            if not queued(folder):
                return
            silent = False
        except NoAnswer as error:
            if not silent:
                progress.say(f"{error.problem} ({error.given}); asking again until it does")
            silent = True
        time.sleep(POLL_SECONDS)


def _notes(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((folder / "jobs").glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))
