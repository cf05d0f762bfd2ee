"""What a method's YAML says of its runs."""

from __future__ import annotations

import pytest

from deepunlearn.config import read_command


def test_values_go_to_the_sampler_and_come_back() -> None:
    """Of cfk, whose number of blocks depends on the network, and whose epochs end at E_max."""
    sweep = read_command(["method=cfk", "dataset=digits", "arch=resnet18"]).sweep
    (method,) = sweep.methods
    ranges = {name: spec.range(name, "paper", 3, None) for name, spec in method.space.items() if spec.searched}
    given = method.complete({})
    drawn = method.to_search(given, ranges, 8)
    assert set(drawn) == set(ranges)
    back = method.from_search(drawn, ranges, 8)
    assert back == {**given, "epochs": min(int(given["epochs"]), 3)}


def test_the_end_of_a_range_that_the_method_excludes_is_drawn_inside() -> None:
    """SCRUB's temperature begins at 0 in the paper, and may not be 0."""
    (method,) = read_command(["method=scrub", "dataset=digits"]).sweep.methods
    ranges = {"temperature": method.space["temperature"].range("temperature", "paper", 3, None)}
    for drawn, run in ((0.0, 5e-6), (5.0, 5.0), (2.5, 2.5)):
        assert method.from_search({"temperature": drawn}, ranges, 8)["temperature"] == pytest.approx(run)


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
