"""Tasks that are timed in turns, since a machine's speed drifts: A, B, A, B, and ratios within a round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch

Task = Callable[[], object]


def turns(
    repeats: int, tasks: Mapping[str, Task], counts: Mapping[str, int] | None = None, warm_up: bool = True
) -> dict[str, list[float]]:
    """Wall seconds of each task, round after round: A, B, A, B. Where it is to warm up, a first round does not count.

    counts: how often a task runs in a round, where that is more than once; its seconds are those of one run.
    """
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(repeats + warm_up):
        for name, task in tasks.items():
            seconds = _seconds(task, (counts or {}).get(name, 1))
            if turn >= warm_up:
                taken[name].append(seconds)
    return taken


def _seconds(task: Task, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        task()
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return (time.perf_counter() - start) / count
