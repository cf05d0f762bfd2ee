"""Weights & Biases: files that `wandb sync` uploads; with WANDB_MODE=online the runs themselves."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from deepunlearn.trackers.base import PROJECT, TrackedRun, Tracker

QUIET = {  # a run is written in one go from what is stored: there is nothing to watch
    "silent": True,
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "x_disable_stats": True,
    "init_timeout": 30,  # seconds
}


class WandbTracker(Tracker):
    """Params are the configuration, scores the summary, curves the history, files part of the configuration."""

    @property
    def mode(self) -> str:
        """`offline` unless the user's settings say otherwise."""
        return os.environ.get("WANDB_MODE", "offline")

    @property
    def elsewhere(self) -> str:
        settings = {name: os.environ.get(name, "") for name in ("WANDB_BASE_URL", "WANDB_PROJECT")}
        return os.environ.get("WANDB_DIR", "") if self.mode == "offline" else f"{self.mode} {settings}"

    @property
    def told_to(self) -> str:
        entity, project = os.environ.get("WANDB_ENTITY", ""), os.environ.get("WANDB_PROJECT") or PROJECT
        offline = project if self.mode == "offline" and project != PROJECT else ""  # online `elsewhere` has it
        return " ".join(filter(None, (self.elsewhere, entity and f"entity {entity}", offline and f"project {offline}")))

    @property
    def view(self) -> str:
        return f"wandb sync {self.home / 'wandb' / 'offline-run-*'}" if self.mode == "offline" else "wandb.ai"

    @property
    def home(self) -> Path:
        """The folder in which the library keeps its own, `wandb`."""
        return Path(os.environ.get("WANDB_DIR") or self.folder)

    def begin(self, run: TrackedRun) -> str:
        return run.short

    def write(self, run: TrackedRun, name: str) -> None:
        import wandb  # noqa: PLC0415  an extra

        self.home.mkdir(parents=True, exist_ok=True)
        for earlier in self.home.glob(f"wandb/offline-run-*-{name}"):
            shutil.rmtree(earlier)
        try:
            self._write(run, name)
        finally:
            wandb.teardown()  # ends the library's process, which may still be writing: nothing is to run beside a clock

    def _write(self, run: TrackedRun, name: str) -> None:
        import wandb  # noqa: PLC0415

        own = wandb.init(
            id=name,
            name=run.title,
            group=run.cell,
            job_type=run.kind,
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            config={**run.facts, "files": {file: str(path) for file, path in run.files.items()}},
            dir=str(self.home),
            mode=self.mode,  # type: ignore[arg-type]
            resume="allow" if self.mode == "online" else None,
            settings=wandb.Settings(**QUIET),
        )
        for step, values in sorted(_by_step(run).items()):
            own.log(values, step=step)
        own.summary.update(dict(run.scores))
        own.finish()


def _by_step(run: TrackedRun) -> dict[int, dict[str, Any]]:
    """What all curves say of each step."""
    steps: dict[int, dict[str, Any]] = {}
    for name, points in run.curves.items():
        for step, value in points:
            steps.setdefault(step, {})[name] = value
    return steps
