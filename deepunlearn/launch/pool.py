"""Several worker processes on one machine, which take the tasks of a stage one by one. Imports no torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from contextlib import suppress
from pathlib import Path
from typing import cast

from deepunlearn.core import stopping
from deepunlearn.core.infrastructure import rule_of_note
from deepunlearn.core.progress import Progress, duration
from deepunlearn.launch.plan import Planner
from deepunlearn.launch.task import State, Task

DEATHS = 3  # after so many processes died at a task it is left for the next command
POLL_SECONDS = 0.2


class Pool:
    """Runs tasks in `count` processes of `python -m deepunlearn.launch.work`, each with its share of the threads.

    file: the configuration that they read; folder: of the run, where their logs go to `logs/`; environments: what each
    process's environment has beside this one's, e.g. its GPU.
    """

    def __init__(
        self,
        planner: Planner,
        folder: Path,
        progress: Progress,
        count: int,
        environments: list[dict[str, str]],
        *,
        file: Path,
    ) -> None:
        self.planner, self.folder, self.progress, self.file = planner, folder, progress, file
        self.count, self.environments = count, environments
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._lock = threading.Lock()

    def run(self, tasks: list[Task]) -> Counter[State]:
        """How the tasks ended. Raises Stopped where this process was asked to stop and the workers have followed."""
        self._tasks, self._outcome, self._deaths = deque(tasks), Counter[State](), Counter[Task]()
        self._total, self._told, self._ending = len(tasks), False, False
        threads = [threading.Thread(target=self._serve, args=(index,), daemon=True) for index in range(self.count)]
        try:
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                self._pass_on_signal()
                time.sleep(POLL_SECONDS)
        finally:
            self._end()
        stopping.check()
        return self._outcome

    def _pass_on_signal(self) -> None:
        """What asks us to stop asks the workers to, once; they end at their next checkpoint or trial."""
        if stopping.requested() and not self._told:
            self._told = True
            self._tasks.clear()
            with self._lock:
                for process in self._processes.values():
                    process.send_signal(signal.SIGUSR2)

    def _end(self) -> None:
        """Workers end when their input does; those that are still busy (this process was interrupted) are ended."""
        interrupted = sys.exc_info()[0] is not None
        self._ending = True
        with self._lock:
            processes = list(self._processes.values())
        for process in processes:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
            if interrupted and process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in processes:
            process.wait()

    # ---------------------------------------------------------------------------------------------------- one worker

    def _serve(self, index: int) -> None:
        """Give tasks to worker `index` until there are none; start another process where one died."""
        while True:
            try:
                task = self._tasks.popleft()
            except IndexError:
                return
            started = time.monotonic()
            try:
                state = self._ask(index, task)
            except OSError as error:  # no process can be started, or no log of it written
                self._give_up(task, type(error).__name__, f"no worker process could be started: {error}")
                continue
            if state is not None:
                self._outcome[state] += 1
                self._tell(task, state, time.monotonic() - started)
            elif stopping.requested() or self._ending:
                return
            else:
                self._died(index, task)

    def _ask(self, index: int, task: Task) -> State | None:
        """The state that a worker leaves `task` in; None where its process ended instead."""
        process = self._process(index)
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(f"{task}\n")
            process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return None
        answer = process.stdout.readline().strip()
        return cast(State, answer) if answer else None

    def _process(self, index: int) -> subprocess.Popen[str]:
        with self._lock:
            known = self._processes.get(index)
            if known is None or known.poll() is not None:
                self._processes[index] = self._start(index)
            return self._processes[index]

    def _start(self, index: int) -> subprocess.Popen[str]:
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        own = self.environments[index % len(self.environments)]
        with (logs / f"worker-{os.environ.get('SLURM_JOB_ID', 'local')}-{index}.log").open(
            "a", encoding="utf-8"
        ) as log:
            return subprocess.Popen(
                [sys.executable, "-m", "deepunlearn.launch.work", str(self.file), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **own},
            )

    def _died(self, index: int, task: Task) -> None:
        """The task is given out again, and stored as not run after several deaths."""
        code = self._processes[index].wait()
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        label = task.label(self.planner.sweep)
        self._deaths[task] += 1
        if self._deaths[task] < DEATHS:
            self.progress.say(f"{label}: the worker process ended {how}; another takes over")
            self._tasks.appendleft(task)
            return
        logs = self.folder / "logs"
        self._give_up(task, "WorkerDied", f"{DEATHS} worker processes at it ended, the last one {how}; see {logs}")

    def _give_up(self, task: Task, error: str, message: str) -> None:
        """The task was not run: what ends processes, or keeps them from starting, is nothing of the method's."""
        rule = rule_of_note(error, message)
        told = f"{message}\n  remedy:  {rule.remedy}" if rule else message
        self.planner.note(task, "infrastructure", error, told, "")
        self.progress.say(f"NOT RUN: {task.label(self.planner.sweep)}: {told}")
        self._outcome["to do"] += 1

    def _tell(self, task: Task, state: State, seconds: float) -> None:
        done = sum(self._outcome.values())
        shown = "not run" if state == "to do" else state
        self.progress.ended(task, (task.cell, task.stage))
        self.progress.say(f"{shown}: {task.label(self.planner.sweep)} ({duration(seconds)}); {done}/{self._total}")
