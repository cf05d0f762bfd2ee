"""An option that does not exist: what is near it, and to which choice of its group it belongs."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.config.files import GROUPS, options
from deepunlearn.config.known import names_of
from tests.commands import refusal
from tests.launch.sweeps import own_method


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["launcher=slurm", "launcher.particion=gpu"], "did you mean 'launcher.partition'?"),
        (["launcher.particion=gpu"], "did you mean 'launcher.partition' (of launcher=slurm)?"),
        (["search=fast", "search.trial=3"], "did you mean 'search.trials'?"),
        (["forget=halves", "forget.halving=12"], "did you mean 'forget.halvings'?"),
        (["method=scrub", "method.params.retain_batch=3"], "did you mean 'method.params.retain_batch_size'?"),
        (["partition=gpu"], "did you mean 'launcher.partition' (of launcher=slurm)?"),
        (["trials=3"], "did you mean 'search.trials'?"),
        (["laucher.partition=gpu"], "did you mean 'launcher.partition' (of launcher=slurm)?"),
        (["seed=3"], "did you mean 'seeds'?"),
    ],
)
def test_the_nearest_name_is_one_of_the_choices_made(arguments: list[str], remedy: str) -> None:
    assert refusal(*arguments).remedy == remedy


def test_all_options_of_the_chosen_launcher_are_listed() -> None:
    allowed = str(refusal("launcher=slurm", "launcher.nosuch=1").allowed).split(", ")
    assert set(allowed) == {f"launcher.{name}" for name in names_of("launcher")["slurm"]}


@pytest.mark.parametrize(
    ("arguments", "problem", "remedy"),
    [
        (["launcher.partition=gpu"], "of launcher=slurm, not of launcher=local", "add launcher=slurm"),
        (["launcher.extra.exclude=a"], "of launcher=slurm, not of launcher=local", "add launcher=slurm"),
        (["forget.parts=5"], "of forget=halves, not of forget=random", "add forget=halves"),
        (["forget=halves", "forget.count=20"], "of forget=random, not of forget=halves", "add forget=random"),
        (["method=ft", "method.params.init_rate=1"], "of method=msg, not of method=ft", "add method=msg"),
        (["method=ft,ff", "method.params.lr=0.1"], "not of method=ff", "write method.ft.params.lr=VALUE for ft alone"),
        (["method=ft", "method.space.init_rate.low=1"], "of method=msg, not of method=ft", "add method=msg"),
        (["method=chain", "chain.steps=[ct,ft]", "method.params.lr=1"], "not of a chain", "chain.0.lr="),
        (
            ["method=chain", "chain.steps=[ct,ft]", "method.mask.threshold=0.5"],
            "not of a chain",
            "run the method alone",
        ),
        (["method=chain", "chain.steps=[ct,ft]", "method.space.lr.low=1e-5"], "not of a chain", "the method alone"),
        (["method=rum", "method.params.lr=0.1"], "not of rum", "rum.1.lr="),
        (["method=ft", "chain.0.lr=0.1"], "method=chain is not chosen", "add method=chain"),
    ],
)
def test_an_option_of_another_choice_names_it(arguments: list[str], problem: str, remedy: str) -> None:
    wrong = refusal(*arguments)
    assert problem in wrong.problem and remedy in str(wrong.remedy)


def test_an_option_of_a_method_of_ones_own_names_it(tmp_path: Path) -> None:
    own_method(tmp_path / "own", "mine", "pass")
    yaml = tmp_path / "own" / "mine.yaml"
    yaml.write_text(yaml.read_text().replace("lr:", "rate_of_mine:"))
    wrong = refusal(f"extra_methods={tmp_path / 'own'}", "method=ft", "method.params.rate_of_mine=1")
    assert "of method=mine, not of method=ft" in wrong.problem


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_is_known_by_its_choice(group: str) -> None:
    for choice in options(group):
        assert names_of(group)[choice], "each file of conf/ is read"
