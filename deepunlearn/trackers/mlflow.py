"""MLflow: runs in a folder of files, which processes of many machines can write, or on the user's server."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepunlearn.trackers.base import PROJECT, TrackedRun, Tracker

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

URI, EXPERIMENT = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"  # settings of MLflow's own
MOST_PARAMS, MOST_METRICS, LONGEST_PARAM = 100, 1000, 6000  # of one request, and characters
UNLESS_SET = {  # so that a server that is gone costs seconds; the library asks five times and waits two minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing is sent anywhere that was not asked for
    "MLFLOW_ALLOW_FILE_STORE": "true",  # SQLite's locks do not hold on file systems of several machines
}


class MlflowTracker(Tracker):
    """Curves and scores are metrics; key, kind and files are tags."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name, value in UNLESS_SET.items():
            os.environ.setdefault(name, value)

    @property
    def elsewhere(self) -> str:
        return os.environ.get(URI, "")

    @property
    def told_to(self) -> str:
        return self.elsewhere if self.title == PROJECT else f"{self.elsewhere} {self.title}"

    @property
    def title(self) -> str:
        """Of the experiment that runs are put into."""
        return os.environ.get(EXPERIMENT) or PROJECT

    @property
    def view(self) -> str:
        if self.elsewhere:
            return self.elsewhere
        return f"MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {self._files}  (pip install mlflow)"

    @property
    def _files(self) -> str:
        return (self.folder.absolute() / "mlruns").as_uri()

    @cached_property
    def client(self) -> MlflowClient:
        from mlflow.tracking import MlflowClient  # noqa: PLC0415  seconds

        return MlflowClient(self.elsewhere or self._files)

    @cached_property
    def experiment(self) -> str:
        """The id of the experiment that runs are put into; made where it is missing."""
        known = self.client.get_experiment_by_name(self.title)
        return str(known.experiment_id if known else self.client.create_experiment(self.title))

    def prepare(self) -> None:
        """Two processes would each make an experiment of the same name."""
        assert self.experiment

    def begin(self, run: TrackedRun) -> str:
        tags = {"deepunlearn.key": run.key, "deepunlearn.kind": run.kind}
        made = self.client.create_run(self.experiment, tags=tags, run_name=run.title)
        return str(made.info.run_id)

    def write(self, run: TrackedRun, name: str) -> None:
        from mlflow.entities import Param, RunTag  # noqa: PLC0415

        known = self.client.get_run(name).data  # params never change there
        facts = {key: value for key, value in run.facts.items() if key not in known.params}
        params = [Param(key, str(value)[:LONGEST_PARAM]) for key, value in facts.items()]
        tags = [RunTag(f"deepunlearn.file.{key}", str(path)) for key, path in run.files.items()]
        for chunk in _chunks(params, MOST_PARAMS):
            self.client.log_batch(name, params=chunk)
        for chunk in _chunks(list(self._metrics(run, name, known.metrics)), MOST_METRICS):
            self.client.log_batch(name, metrics=chunk)
        self.client.log_batch(name, tags=tags)
        self.client.set_terminated(name)

    def _metrics(self, run: TrackedRun, name: str, known: Mapping[str, float]) -> Iterator[Any]:
        """What MLflow does not have already: a step that is written twice is there twice.

        known: the newest value of each metric that it has. Of several values of one step it shows the latest.
        """
        from mlflow.entities import Metric  # noqa: PLC0415

        now = int(time.time() * 1000)
        for key, value in run.scores.items():
            if key not in known:
                yield Metric(key, value, now, 0)
            elif not _same(known[key], value):
                yield Metric(key, value, max(now, 1 + self._history(name, key)[0].timestamp), 0)
        for key, steps in run.curves.items():
            there = {one.step: one for one in reversed(self._history(name, key))} if key in known else {}
            for step, value in steps:
                if step not in there:
                    yield Metric(key, value, now, step)
                elif not _same(there[step].value, value):
                    yield Metric(key, value, max(now, 1 + there[step].timestamp), step)

    def _history(self, name: str, key: str) -> list[Any]:
        """All that MLflow has of a metric, the latest first."""
        return sorted(self.client.get_metric_history(name, key), key=lambda one: -int(one.timestamp))


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    yield from (items[start : start + size] for start in range(0, len(items), size))
