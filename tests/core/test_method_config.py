"""What a method's YAML says of its runs."""

from __future__ import annotations

import pytest

from deepunlearn.config import read_command


@pytest.mark.parametrize(
    ("arguments", "params", "epochs"),
    [
        (["method=rni"], {"epochs": 5, "fine_epochs": 2, "reset_epochs": 1}, 5),
        (["method=kde"], {"epochs": 3, "warmup_epochs": 3}, 6),  # a trial is not to be pruned in its warm-up
        (["method=chain", "chain.steps=[ct,prmq]"], {"0.epochs": 2, "1.epochs": 3.2}, 6),
        (["method=ff"], {"alpha": 0.1}, 1),
    ],
)
def test_epochs_of_a_run(arguments: list[str], params: dict[str, float], epochs: int) -> None:
    (method,) = read_command(arguments).sweep.methods
    assert method.epochs_of(params) == epochs
