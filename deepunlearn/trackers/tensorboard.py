"""TensorBoard: event files in a folder for each run. TensorFlow is not needed."""

from __future__ import annotations

import re
import shutil

from torch.utils.tensorboard import SummaryWriter

from deepunlearn.trackers.base import TrackedRun, Tracker


class TensorBoardTracker(Tracker):
    """Scores and curves are scalars, params and scores the table of the tab HPARAMS, files a text."""

    @property
    def view(self) -> str:
        return f"tensorboard --logdir {self.folder}"

    def begin(self, run: TrackedRun) -> str:
        what = "search" if run.seed is None else f"seed{run.seed}"
        return re.sub(r"[^\w.=()/-]", "_", f"{run.cell}/{run.method}/{what}-{run.short}")

    def write(self, run: TrackedRun, name: str) -> None:
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        with SummaryWriter(str(folder)) as writer:
            writer.add_hparams(dict(run.facts), dict(run.scores), run_name=".")
            for curve, steps in run.curves.items():
                for step, value in steps:
                    writer.add_scalar(curve, value, step)
            writer.add_text("files", "\n".join(f"- {file}: `{path}`" for file, path in run.files.items()))
