"""A job that runs out of time, on a stand-in for SLURM; tests on a real one are in test_cluster.py."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from deepunlearn.config.files import read_yaml
from deepunlearn.core import stopping
from deepunlearn.core.paths import shipped
from deepunlearn.core.schema import SlurmLauncher
from deepunlearn.launch import job, requeue
from tests.commands import until
from tests.launch.standin import StandIn

SECONDS = 0.2  # SIGUSR2 comes so long before the time limit
REQUEUED = ["requeue 77_3"]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """We are the job that has the id of its array."""
    made = StandIn(tmp_path / "cluster")
    monkeypatch.setenv("PATH", f"{made.bin}:{os.environ['PATH']}")
    for name, value in {"JOB_ID": "77", "ARRAY_JOB_ID": "77", "ARRAY_TASK_ID": "3", "RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr(requeue, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(requeue, "KILLED_WITHIN", 0)  # this SLURM ends nobody
    monkeypatch.setattr(stopping, "_reason", None)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGCONT, *stopping.SIGNALS)}
    yield made
    for number, handler in handlers.items():
        signal.signal(number, handler)


def run(work: Callable[[], None], most: int = 20, seconds: float = SECONDS) -> None:
    """A job whose tasks are `work`."""
    values = read_yaml(shipped("conf") / "launcher" / "slurm.yaml")
    launcher = SlurmLauncher(**{**values, "max_requeues": most}).model_copy(update={"signal_seconds": seconds})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "load_sweep", lambda _: SimpleNamespace(launcher=launcher))
        patch.setattr(job, "Planner", lambda *_: None)
        patch.setattr(job, "_local", lambda *_: SimpleNamespace(run=lambda _: work()))
        patch.setattr(job, "measure_speeds", lambda *_: None)
        job.run_tasks("run", [])


def told(*signals: signal.Signals, then: float = 0.0) -> None:
    """Signals come; what is under way ends so many seconds later, and work could be left there."""
    for number in signals:
        os.kill(os.getpid(), number)
    time.sleep(then)
    stopping.check()


def test_what_outlasts_the_time_limit_is_requeued_before_it_and_once(cluster: StandIn) -> None:
    began = time.monotonic()

    def work() -> None:
        os.kill(os.getpid(), signal.SIGUSR2)
        until(cluster.asked)
        told(signal.SIGTERM)  # SLURM ends the job

    run(work, seconds=4)
    assert time.monotonic() - began < 4
    assert cluster.asked() == REQUEUED, "the array's other jobs stay, and nobody asks twice"


def test_what_can_be_left_before_is_left_there(cluster: StandIn) -> None:
    run(lambda: told(signal.SIGUSR2))
    assert cluster.asked() == REQUEUED


def test_a_job_that_ends_in_time_is_not_requeued(cluster: StandIn) -> None:
    run(lambda: os.kill(os.getpid(), signal.SIGUSR2))
    time.sleep(SECONDS)
    assert cluster.asked() == []


def test_a_job_that_was_requeued_too_often_ends(cluster: StandIn) -> None:
    with pytest.raises(SystemExit, match="1"):
        run(lambda: told(signal.SIGUSR2, then=SECONDS), most=1)
    assert cluster.asked() == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ("JobState=RUNNING PreemptTime=2026-12-01T10:00:00", REQUEUED),  # SLURM gives it its GraceTime
        ("JobState=RUNNING PreemptTime=None", []),
        ("JobState=COMPLETING PreemptTime=None", []),  # scancel, also between the warning and the time limit
    ],
)
@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGUSR2, signal.SIGTERM]])
def test_a_job_that_is_preempted_is_requeued_and_one_that_is_cancelled_ends(
    cluster: StandIn, signals: list[signal.Signals], facts: str, expected: list[str]
) -> None:
    cluster.write("job", f"JobId=77 ArrayJobId=77 {facts}\nJobId=78 ArrayJobId=77 JobState=RUNNING PreemptTime=None\n")
    try:
        run(lambda: told(*signals))
    except SystemExit as end:
        assert end.code == 143 and not expected
    assert [words for words in cluster.asked() if not words.startswith("show")] == expected


def test_a_job_without_an_array_has_its_own_id(cluster: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID")
    run(lambda: told(signal.SIGUSR2))
    assert cluster.asked() == ["requeue 77"]
