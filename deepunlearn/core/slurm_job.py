"""What SLURM's controller says of a job."""

from __future__ import annotations

import shutil
import subprocess

ANSWER_SECONDS = 60.0


def facts_of(job: str) -> dict[str, str] | None:
    """What `scontrol show job` says of one job: JobState, Restarts, ... Empty where there is none; None: no answer.

    Asked for the job that an array has its id of, SLURM says what it knows of each job of the array, a line each.
    """
    if shutil.which("scontrol") is None:
        return None
    command = ["scontrol", "show", "job", "--oneliner", job]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    if asked.returncode != 0:
        return {} if "Invalid job id" in asked.stderr else None
    facts = (dict(word.split("=", 1) for word in line.split() if "=" in word) for line in asked.stdout.splitlines())
    return next((one for one in facts if one.get("JobId") == job), {})
