"""What `launcher=slurm` may ask of SLURM: refused here, before any data is read, where it cannot work."""

from __future__ import annotations

import re

from deepunlearn.core.errors import ConfigError
from deepunlearn.core.schema import SlurmLauncher

LONG_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")  # sbatch's long names without their dashes

SET_BY = {  # sbatch's option -> ours
    "account": "launcher.account",
    "array": "launcher.max_array_size and launcher.array_parallelism",
    "constraint": "launcher.constraint",
    "cpus-per-task": "launcher.cpus",
    "gpus": "launcher.gpus",
    "gpus-per-node": "launcher.gpus",
    "gpus-per-task": "launcher.gpus",
    "gres": "launcher.gres",
    "mem": "launcher.memory_gb",
    "no-requeue": "launcher.max_requeues=0",
    "partition": "launcher.partition",
    "qos": "launcher.qos",
    "requeue": "launcher.max_requeues",
    "signal": "launcher.signal_seconds",
    "time": "launcher.minutes",
    "wckey": "launcher.wckey",
}
NEVER = {  # sbatch's option -> why nobody may set it
    "chdir": "jobs work in the folder of the command, from which its paths lead",
    "clusters": "set SLURM_CLUSTERS in the environment, which SLURM's other programs read too",
    "dependency": "each stage waits for those before it",
    "error": "logs lie in results/work/submitit",
    "help": "it submits nothing",
    "job-name": "jobs are named after their stage",
    "nodes": "a job is one process on one node",
    "ntasks": "a job is one process on one node",
    "ntasks-per-node": "a job is one process on one node",
    "open-mode": "logs of a requeued job are appended",
    "output": "logs lie in results/work/submitit",
    "parsable": "the job's id is read from sbatch's usual answer",
    "quiet": "the job's id is read from sbatch's usual answer",
    "test-only": "plan=true shows what would be submitted",
    "usage": "it submits nothing",
    "version": "it submits nothing",
    "wait": "wait=true stays until all jobs have ended",
    "wrap": "jobs run this program",
}
OTHER_MEMORY = ("mem-per-cpu", "mem-per-gpu")  # sbatch takes one of three


def check(launcher: SlurmLauncher) -> None:
    """Raises ConfigError for what sbatch would refuse, or what could only waste the cluster's time."""
    if launcher.signal_seconds > 30 * launcher.minutes:
        raise ConfigError(
            "launcher.signal_seconds leaves a job no time to work: it could only requeue itself",
            given=f"launcher.minutes={launcher.minutes} launcher.signal_seconds={launcher.signal_seconds}",
            allowed="launcher.signal_seconds of at most half of launcher.minutes, "
            f"{30 * launcher.minutes} s of {60 * launcher.minutes} s here",
            remedy="give a longer launcher.minutes= or a shorter launcher.signal_seconds=",
        )
    for name, value in launcher.extra.items():
        _check_name(name, value)
        _check_value(name, value)
    if launcher.memory_gb is not None:
        for name in OTHER_MEMORY:
            if name in launcher.extra:
                raise _refused(name, launcher.extra[name], "one kind of memory limit", "add launcher.memory_gb=null")


def _check_name(name: str, value: object) -> None:
    if not LONG_NAME.fullmatch(name):
        allowed = "sbatch's long names without the dashes before them, e.g. exclude, mail-type"
        near = name.strip("-").replace("_", "-").lower()
        hint = f"write {near}" if LONG_NAME.fullmatch(near) else "see man sbatch for the names"
        raise _refused(name, value, allowed, hint)
    for own in (own for own in (*SET_BY, *NEVER) if own.startswith(name)):  # sbatch takes beginnings of names as well
        if own in SET_BY:
            raise _refused(
                name,
                value,
                f"options that launcher=slurm does not set; {SET_BY[own]} sets --{own}",
                f"use {SET_BY[own].split('=')[0]}= instead",
            )
        raise _refused(
            name, value, f"options that leave the launcher its work; of --{own}: {NEVER[own]}", "leave it out"
        )


def _check_value(name: str, value: object) -> None:
    if isinstance(value, str) and (not value.strip() or not value.isprintable()):
        raise _refused(name, value, "a value in one line; true for an option without a value", f"correct {name}")


def _refused(name: str, value: object, allowed: str, remedy: str) -> ConfigError:
    return ConfigError(
        f"launcher.extra cannot pass --{name} on to sbatch",
        given=f"{name}: {value!r}",
        allowed=allowed,
        remedy=remedy,
    )
