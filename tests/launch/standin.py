"""A stand-in for SLURM's programs, for tests without a cluster: it takes jobs, or refuses them in SLURM's words."""

from __future__ import annotations

import stat
from pathlib import Path

PROGRAMS = {
    "sbatch": """
        taken=$(cat $HOME_OF_IT/taken)
        if [ "$taken" -ge "$(cat $HOME_OF_IT/most)" ]; then cat $HOME_OF_IT/words >&2; exit 1; fi
        number=$((taken + 1))
        echo $number >$HOME_OF_IT/taken
        cp "$1" $HOME_OF_IT/$number.sh
        env | sort >$HOME_OF_IT/$number.env
        echo "Submitted batch job $number"
    """,
    "squeue": """
        if [ -e $HOME_OF_IT/silent ]; then echo "no controller" >&2; exit 1; fi
        env | sort >$HOME_OF_IT/squeue.env
        for script in $HOME_OF_IT/*.sh; do
          [ -e $script ] || continue
          last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' $script)
          for index in $([ -n "$last" ] && seq 0 $last || echo N/A); do
            echo "$(basename $script .sh)|$index|PENDING|None"
          done
        done
    """,
    "srun": "",
    "scontrol": """
        echo "$*" >>$HOME_OF_IT/scontrol
        [ "$1" = requeue ] || cat $HOME_OF_IT/job
    """,
}


class StandIn:
    """Programs in `folder / "bin"`, to be put on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir(parents=True)
        for name, text in PROGRAMS.items():
            program = self.bin / name
            lines = [line.strip() for line in text.replace("$HOME_OF_IT", str(folder)).splitlines()]
            program.write_text("\n".join(["#!/bin/bash", *lines, ""]))
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.write("taken", "0")
        self.write("job", "")
        self.takes(1000)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def takes(self, most: int, words: str = "sbatch: error: Batch job submission failed: Unspecified error") -> None:
        """From now on it takes `most` arrays in all, and refuses others with these words."""
        self.write("most", str(most))
        self.write("words", words)

    def end(self, job: int) -> None:
        """The array leaves the queue."""
        (self.folder / f"{job}.sh").unlink()

    def script(self, job: int) -> str:
        return (self.folder / f"{job}.sh").read_text()

    def flags(self, job: int) -> dict[str, str]:
        """What the array's script asks of sbatch."""
        lines = [
            line.removeprefix("#SBATCH --") for line in self.script(job).splitlines() if line.startswith("#SBATCH")
        ]
        return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}

    def asked(self) -> list[str]:
        """What scontrol was called with."""
        file = self.folder / "scontrol"
        return file.read_text().splitlines() if file.exists() else []

    def environment(self, of: str) -> dict[str, str]:
        """What a program saw: `1` for the call that made job 1, or `squeue`."""
        lines = (self.folder / f"{of}.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)
