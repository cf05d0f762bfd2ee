"""The folder of a sweep command."""

from __future__ import annotations

from deepunlearn.config import read_command
from deepunlearn.launch.runs import hash_of_sweep


def test_how_trials_run_tells_no_two_sweeps_apart() -> None:
    def of(*more: str) -> str:
        return hash_of_sweep(read_command(["dataset=digits", "arch=smallnet", "method=ft", *more]).sweep)

    assert of() == of("search.together=8") == of("search.storage=journal") != of("search.trials=8")
