"""Options of a search that would change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.config import read_command
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.progress import Progress
from deepunlearn.launch.checks import check
from deepunlearn.launch.plan import Planner
from tests.commands import refusal

CELL = ("dataset=digits", "arch=smallnet", "method=ft")


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (("search=none", "search.trials=50"), "leave search.trials out"),
        (("search.prune=true", "search=none", "search.trials=0"), "leave search.prune out"),
        (("search=none", "search.winners=h.yaml"), "leave search.winners out"),
        (("search.candidates=7",), "give search.selection=robust"),
        (("search=fast", "search.population_size=20"), "leave search.population_size out"),
        (("search=thrifty", "search.winners=h.yaml", "hparams=h.yaml"), "leave hparams= out"),
        (("search=thrifty", "search.winners=h.yaml", "hparams=nearest"), "leave hparams= out"),
    ],
)
def test_options_without_effect_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], remedy: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("h.yaml").write_text("digits/smallnet/ft: {lr: 0.1}\n")
    assert refusal(*CELL, *options).remedy.startswith(remedy)


def test_what_a_search_has_by_itself_or_another_one_had_may_stand() -> None:
    for options in (
        ("search=paper", "search.sampler=tpe"),
        ("search=quick", "search.trials=3", "search=none"),
        ("search=fast", "search.population_size=null"),
        ("search=thrifty", "search.candidates=2"),
    ):
        assert read_command([*CELL, *options]).sweep.cells


def test_no_winner_is_dropped_for_want_of_trials(tmp_path: Path) -> None:
    file = tmp_path / "h.yaml"
    file.write_text("".join(f"digits/smallnet/random(ratio=0.{one})/ft: {{lr: 0.{one}}}\n" for one in (1, 2, 3)))
    few = ("search=thrifty", f"search.winners={file}", f"results={tmp_path}")
    with pytest.raises(ConfigError, match="more values than it has trials") as refused:
        check(Planner(read_command([*CELL, *few, "search.trials=3"]).sweep, Progress(quiet=True)))
    assert refused.value.remedy == "give search.trials=4 or more"
    check(Planner(read_command([*CELL, *few, "search.trials=4"]).sweep, Progress(quiet=True)))
