"""How SLURM's programs are called: what a job is given, in whose environment, and what a refusal means."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from deepunlearn.core.schema import SlurmLauncher

# ------------------------------------------------------------------------------------------------ what a job is given


def parameters(launcher: SlurmLauncher, stage: str, after: Iterable[str], alone: bool = False) -> dict[str, Any]:
    """What submitit is given for the arrays of a stage, which begin after the jobs `after` have ended, however.

    alone: no other job on their nodes. None: the option is not sent.
    """
    dependency = ":".join(after)
    return {
        "job_name": f"deepunlearn-{stage}",
        "partition": launcher.partition,
        "account": launcher.account,
        "qos": launcher.qos,
        "constraint": launcher.constraint,
        "wckey": launcher.wckey,  # else submitit sends a name of its own
        "gres": launcher.gres,
        "gpus_per_node": None if launcher.gres else launcher.gpus or None,
        "cpus_per_task": launcher.cpus,
        "mem": None if launcher.memory_gb is None else f"{math.ceil(launcher.memory_gb * 1024)}M",
        "time": launcher.minutes,
        "array_parallelism": launcher.array_parallelism,
        "signal_delay_s": launcher.signal_seconds,
        "setup": [f"export OMP_NUM_THREADS={launcher.cpus}", *launcher.setup],
        "srun_args": srun_arguments(launcher),
        "additional_parameters": {
            **passed_on(launcher),
            "requeue": True,
            **({"exclusive": True} if alone else {}),
            **({"dependency": f"afterany:{dependency}"} if dependency else {}),
        },
    }


def srun_arguments(launcher: SlurmLauncher) -> list[str]:
    """The step's own words: since 22.05 srun does not ask for the cores of its job by itself, and may bind it to one.

    All of the script's environment goes to the step, also where the site says that jobs begin with an empty one.
    """
    return [f"--cpus-per-task={launcher.cpus}", "--export=ALL"]


def passed_on(launcher: SlurmLauncher) -> dict[str, Any]:
    """`launcher.extra` as flags; an option that is false or null is not sent."""
    return {name: value for name, value in launcher.extra.items() if value is not None and value is not False}


# -------------------------------------------------------------------------------------------------- whose environment

REACH = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")  # how SLURM's programs find its controller and are let in
INHERITED = re.compile(
    r"(SLURM|SLURMD|SRUN|SBATCH|SALLOC|SQUEUE|SCONTROL|SUBMITIT)_.*"  # of an allocation, or defaults of options
    r"|.*_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|ZE_AFFINITY_MASK"  # the GPUs of an allocation
)
DEFAULTS = ("account", "constraint", "partition", "qos", "wckey")  # a login's SBATCH_* that hold where ours are null


def inherited(launcher: SlurmLauncher | None = None) -> list[str]:
    """The variables of this process that neither SLURM's programs nor jobs may see.

    An allocation's would ask for its node, its cores and its GPUs again; sbatch heeds SBATCH_* before what its script
    says, squeue leaves out what SQUEUE_* says. A login's defaults for options that the launcher leaves open stay.
    """
    kept = list(REACH)
    if launcher is not None and "SLURM_JOB_ID" not in os.environ:
        kept += [f"SBATCH_{name.upper()}" for name in DEFAULTS if getattr(launcher, name) is None]
    return sorted(name for name in os.environ if INHERITED.fullmatch(name) and name not in kept)


@contextmanager
def own_environment(launcher: SlurmLauncher | None = None) -> Iterator[None]:
    """The environment without what is `inherited`, for the block."""
    hidden = {name: os.environ.pop(name) for name in inherited(launcher)}
    try:
        yield
    finally:
        os.environ.update(hidden)


# ---------------------------------------------------------------------------------------------- what a refusal means

LIMIT = (
    "jobs in the queue are limited (sacctmgr show qos, sacctmgr show assoc): wait until some have ended, or make fewer "
    "and longer jobs with launcher.minutes_per_job=, in arrays below the limit with launcher.max_array_size="
)
RESOURCES = "give less, or other, of launcher.gpus=, launcher.gres=, launcher.cpus=, launcher.memory_gb="
MEANINGS = (  # SLURM's words, in the order in which they are looked for -> what to do
    (r"MaxSubmitJob|GrpSubmitJob|temporarily unavailable|unable to accept job", LIMIT),
    (r"(Max|Grp|Assoc|QOS)\w*Wall|[Tt]ime limit|--time", "give a shorter launcher.minutes="),
    (r"(Max|Grp|Assoc|QOS)\w*(Cpu|TRES|Gres|GRES|Mem|Node|Billing)", RESOURCES),
    (r"accounting/QOS policy", f"ask your site which limit this is (sacctmgr show qos, sacctmgr show assoc): {LIMIT}"),
    (r"Invalid account", "give launcher.account= as sacctmgr show assoc lists yours, and launcher.partition= with it"),
    (r"[Pp]artition", "give launcher.partition= as sinfo lists them"),
    (r"Invalid qos|QOS", "give launcher.qos= as sacctmgr show assoc lists yours"),
    (r"[Ww][Cc]key", "give launcher.wckey= as sacctmgr show wckey lists yours"),
    (r"feature", "give launcher.constraint= as sinfo --format=%f lists them"),
    (r"array", "give launcher.max_array_size= of at most MaxArraySize (scontrol show config)"),
    (r"[Mm]emory|--mem", "give less with launcher.memory_gb=, or null to leave it to the site"),
    (r"gres|node configuration|TRES", RESOURCES),
    (r"reservation|license|node name|option|specification", "correct launcher.extra="),
    (
        r"contact slurm controller|not responding|timed out|[Cc]onnection|Protocol|[Mm]unge|authentication",
        "wait until SLURM answers (scontrol ping)",
    ),
)
UNKNOWN = "see what your site asks for; conf/launcher/slurm.yaml lists the options, launcher.extra passes any other on"


def remedy(words: str) -> str:
    """What to do about an answer of sbatch."""
    advice = next((text for pattern, text in MEANINGS if re.search(pattern, words)), UNKNOWN)
    return f"{advice}; then the same command submits what is not queued yet"
