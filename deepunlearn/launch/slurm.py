"""Submits the tasks of a plan to SLURM through submitit: arrays of jobs, one or more per stage. Imports no torch."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.paths import write_atomically
from deepunlearn.core.schema import SlurmLauncher
from deepunlearn.core.store import now
from deepunlearn.launch.estimate import Estimator
from deepunlearn.launch.plan import Planner, Stage, Task

SUBMITTED: tuple[Stage, ...] = ("reference", "search", "evaluate")  # selections are made by the jobs that need them
POLL_SECONDS = 10.0


@dataclass(frozen=True)
class Array:
    """One submitted, or to be submitted, job array: what each of its jobs does, in order."""

    stage: str
    bundles: list[list[Task]]
    minutes: float  # estimate of the longest job
    alone: bool = False  # its jobs have their nodes to themselves


def arrays(planner: Planner, estimator: Estimator, tasks: list[Task], launcher: SlurmLauncher) -> list[Array]:
    """`tasks` in jobs of about `minutes_per_job` and arrays of at most `max_array_size` jobs, stage by stage."""
    made = []
    for stage in SUBMITTED:
        chosen = [task for task in tasks if task.stage == stage]
        jobs = list(_bundles(estimator, chosen, launcher))
        if stage == "search" and launcher.workers_per_study > 1:
            jobs = [[task] for task in chosen for _ in range(launcher.workers_per_study)]
        for start in range(0, len(jobs), launcher.max_array_size):
            part = jobs[start : start + launcher.max_array_size]
            longest = max(sum(map(estimator.task, job)) for job in part) / 60
            bundles = [_with_selections(planner, job) for job in part]
            made.append(Array(stage, bundles, longest, stage == "evaluate" and _timed_on_cpus(planner, launcher)))
    return made


def _timed_on_cpus(planner: Planner, launcher: SlurmLauncher) -> bool:
    """Whether other jobs on a node would spoil the seconds of unlearning: not on GPUs of its own, nor in U-LiRA."""
    return planner.timed and not (launcher.gpus or launcher.gres)


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
    """Before evaluations, the selections that they need and that are not made yet: these take no time."""
    needed = [one for task in job for one in planner.inputs(task) if one.stage == "select" and not planner.is_done(one)]
    return [*dict.fromkeys(needed), *job]


def parameters(launcher: SlurmLauncher, stage: str, after: Iterable[str], alone: bool = False) -> dict[str, Any]:
    """What submitit is given for the arrays of a stage, which begin after the jobs `after` have ended, however.

    alone: no other job on their nodes.
    """
    gpus = {"slurm_gres": launcher.gres} if launcher.gres else {"slurm_gpus_per_node": launcher.gpus or None}
    dependency = ":".join(after)
    chosen = {
        "name": f"deepunlearn-{stage}",
        "slurm_partition": launcher.partition,
        "slurm_account": launcher.account,
        "slurm_qos": launcher.qos,
        "slurm_constraint": launcher.constraint,
        **gpus,
        "slurm_cpus_per_task": launcher.cpus,
        "slurm_mem": f"{math.ceil(launcher.memory_gb * 1024)}M",
        "slurm_time": launcher.minutes,
        "slurm_array_parallelism": launcher.array_parallelism,
        "slurm_signal_delay_s": launcher.signal_seconds,
        "slurm_setup": list(launcher.setup) or None,
        "slurm_additional_parameters": {
            "requeue": True,
            **({"exclusive": True} if alone else {}),
            **({"dependency": f"afterany:{dependency}"} if dependency else {}),
        },
    }
    return {name: value for name, value in chosen.items() if value is not None}


def describe(made: list[Array], launcher: SlurmLauncher) -> str:
    """What would be submitted, sbatch's parameters included."""
    lines = [f"{'array':<12} {'jobs':>6} {'tasks':>7}  longest job"]
    for array in made:
        tasks = sum(map(len, array.bundles))
        alone = ", each alone on its node" if array.alone else ""
        lines.append(f"{array.stage:<12} {len(array.bundles):>6} {tasks:>7}  about {array.minutes:.0f} min{alone}")
    lines.append("sbatch parameters:")
    for name, value in parameters(launcher, "STAGE", ["JOBS_BEFORE"]).items():
        lines.append(f"  {name.removeprefix('slurm_')}: {value}")
    return "\n".join(lines)


def submit(planner: Planner, folder: Path, made: list[Array], launcher: SlurmLauncher) -> Iterator[str]:
    """Submit `made` and note it in the run's folder; yields the id of each array.

    Each stage waits until those before it have ended, however, jobs of earlier commands for this run included.
    """
    import submitit  # noqa: PLC0415  planning and status need none

    from deepunlearn.launch import job  # noqa: PLC0415

    work = planner.results.work / "submitit" / f"{folder.name}-{time.strftime('%Y%m%dT%H%M%S')}"
    work.mkdir(parents=True, mode=0o700)
    executor = submitit.AutoExecutor(folder=work.absolute(), cluster="slurm")
    ended = sorted({one.job for one in queued(folder)}, key=int)
    for stage in SUBMITTED:
        before = list(ended)
        for array in (array for array in made if array.stage == stage):
            executor.update_parameters(**parameters(launcher, stage, before, array.alone))
            texts = [[str(task) for task in bundle] for bundle in array.bundles]
            jobs = executor.map_array(job.run_tasks, [str(folder.absolute())] * len(texts), texts)
            ended.append(jobs[0].job_id.split("_")[0])
            _note(folder, ended[-1], stage, texts)
            yield ended[-1]
    if launcher.tables:
        executor.update_parameters(**parameters(launcher, "tables", ended))
        last = executor.submit(job.make_tables, str(planner.results.root.absolute()))
        _note(folder, last.job_id, "tables", [[]])
        yield last.job_id


def check_cluster() -> None:
    """Raises ConfigError where jobs cannot be submitted."""
    if shutil.which("sbatch") is None:
        raise ConfigError(
            "launcher=slurm, but this machine has no sbatch",
            given="launcher=slurm",
            allowed="a login node of a SLURM cluster",
            remedy="use launcher=local here",
        )


def _note(folder: Path, job: str, stage: str, tasks: list[list[str]]) -> None:
    text = json.dumps({"date": now(), "stage": stage, "job": job, "tasks": tasks})
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
    asked = subprocess.run(
        ["squeue", "--noheader", "--array", "--format", "%F|%K|%T|%r"], capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        raise ConfigError("SLURM does not answer", given=asked.stderr.strip()[:300], remedy="try again later")
    found = []
    for line in asked.stdout.splitlines():
        job, index, state, reason = line.split("|")
        if job in notes:
            number = int(index) if index.isdigit() else 0
            tasks = [Task.parse(text) for text in notes[job]["tasks"][number]]
            found.append(Queued(job, number, notes[job]["stage"], state, reason, tasks))
    return found


def wait(folder: Path) -> None:
    """Return when no job of the run is in the queue any more."""
    while queued(folder):
        time.sleep(POLL_SECONDS)


def _notes(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((folder / "jobs").glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))
