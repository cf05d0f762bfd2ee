"""What may be a grid, how lists are written, and words that say nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepunlearn.config import read_command
from deepunlearn.config.arguments import GRIDS, LISTS, NOTHING, check
from deepunlearn.config.files import AXES, GROUPS
from deepunlearn.config.known import _top_level, names_of
from deepunlearn.core.errors import ConfigError
from deepunlearn.core.params import ParamSpec
from deepunlearn.core.schema import CellConfig, LocalLauncher, RuntimeConfig, SlurmLauncher, SweepConfig
from deepunlearn.core.search_config import SearchConfig
from deepunlearn.sweep import usage
from tests.commands import refusal

ALL = [
    *(name for name in (*GROUPS, *_top_level()) if name not in AXES),
    *sorted(
        f"{group}.{field}"
        for group in GROUPS
        if group != "forget"
        for field in {field for fields in names_of(group).values() for field in fields}
    ),
]


def test_no_option_but_an_axis_may_be_a_grid() -> None:
    assert len(ALL) > 300
    for name in ALL:
        for values in ("1,2", "range(0,3)", "choice(a,b)"):
            with pytest.raises(ConfigError) as caught:
                check(f"{name}={values}")
            assert GRIDS in caught.value.problem and f"{name}={values}" == caught.value.given
            assert "multirun" not in f"{caught.value}", "nobody is told to add the flag that was given"


@pytest.mark.parametrize("flag", [[], ["-m"], ["--multirun"]])
def test_a_grid_of_a_setting_is_refused_with_and_without_hydras_flag(flag: list[str]) -> None:
    wrong = refusal(*flag, "method=ft", "method.params.lr=1e-4,1e-3")
    assert "one command for each value" in str(wrong.remedy) and "the search chooses" in str(wrong.remedy)
    assert refusal(*flag, "seeds=0,1").remedy == "write 'seeds=[0,1]'"
    assert "'chain.steps=[ct,ft]'" in str(refusal(*flag, "method=chain", "chain.steps=ct,ft").remedy)
    assert "[a,b]" in str(refusal("seeds=range(0,3)").remedy), "a range is no list"
    assert "one of fast, none, paper, quick, thrifty" in str(refusal(*flag, "search=paper,fast").allowed)
    assert "'results=\"/a,b\"'" in str(refusal(*flag, "results=/a,b").remedy), "a path may have commas, in quotes"


@pytest.mark.slow
def test_what_is_said_of_grids_is_true() -> None:
    command = read_command(["-m", "dataset=mnist,digits", "arch=[resnet18,tinyvit]", "method=ft,ct", "seeds=[0,1]"])
    assert len(command.sweep.cells) == 4 and command.sweep.seeds == (0, 1)
    assert read_command(['results="/a,b"']).sweep.results == "/a,b"


def test_a_folder_may_be_called_like_a_number() -> None:
    sweep = read_command(["results=2024_08", "dataset=folder", "dataset.root=1e3"]).sweep
    assert (sweep.results, sweep.cells[0].dataset.root) == ("2024_08", "1e3")
    command = read_command(["results='20260801'", "dataset.root=null"])
    assert command.sweep.results == "20260801" and command.sweep.cells[0].dataset.root is None


@pytest.mark.parametrize(("text", "seeds"), [("3", (0, 1, 2)), ("[4,7]", (4, 7))])
def test_seeds_may_come_from_a_variable(monkeypatch: pytest.MonkeyPatch, text: str, seeds: tuple[int, ...]) -> None:
    monkeypatch.setenv("SEEDS", text)
    assert read_command(["seeds=${oc.env:SEEDS}"]).sweep.seeds == seeds


@pytest.mark.parametrize("text", ["three", "[1,2", "[0,0]", ""])
def test_what_is_no_number_in_a_variable_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SEEDS", text)
    assert "seeds has a value" in refusal("seeds=${oc.env:SEEDS}").problem


def test_each_name_of_an_axis_counts_once() -> None:
    sweep = read_command(["dataset=digits,digits", "method=ft,ct,ft"]).sweep
    assert len(sweep.cells) == 1 and [method.name for method in sweep.methods] == ["ft", "ct"]


@pytest.mark.parametrize("value", ["", ",", "[]", "ft,", "choice(ft,ct)", "${search}", "ft ct"])
def test_an_axis_takes_names(value: str) -> None:
    for axis in AXES:
        wrong = refusal(f"{axis}={value}")
        assert axis in wrong.problem and wrong.given == f"{axis}={value}"


@pytest.mark.parametrize("value", ["5", "[paper,fast]", "{name: paper}", "", "null", "${oc.env:HOME}"])
def test_a_group_takes_one_name(value: str) -> None:
    for group in GROUPS:
        if group not in AXES:
            assert group in refusal(f"{group}={value}").problem


def test_a_choice_is_made_by_its_group() -> None:
    assert refusal("launcher.name=slurm").remedy == "write launcher=slurm"
    assert "dataset=" in str(refusal("dataset=folder", "dataset.name=mine").allowed)


@pytest.mark.parametrize("argument", ["results=${oc.env:HOME", "seeds=[0,1", "train.lr={a: 1", "--cfg", "seeds"])
def test_what_cannot_be_read_is_shown_whole(argument: str) -> None:
    assert argument in refusal("search=quick", argument).problem


@pytest.mark.parametrize(
    ("argument", "remedy"),
    [
        ("--version", "deepunlearn --version"),
        ("--config_dir", "did you mean '--config-dir'?"),
        ("~train", "choose another, train=NAME"),
        ("~dataset.root", "leave dataset.root out, or write dataset.root=null"),
        ("+new=1", "drop the '+'"),
        ("+train.lr=0.1", "drop the '+'"),
        ("++train.lrr=0.1", "did you mean 'train.lr'?"),
        ("hydra.run.dir=out", "results=DIR"),
        ("hydra/launcher=joblib", "launcher=slurm"),
    ],
)
def test_hydras_ways_to_change_a_configuration_are_told_ours(argument: str, remedy: str) -> None:
    assert remedy in str(refusal(argument).remedy)


@pytest.mark.parametrize(
    ("removed", "left"),
    [("~search", "search=none"), ("~search=quick", "search=none"), ("~launcher", "launcher=local")],
)
def test_a_group_that_may_be_absent_is_removed_as_in_hydra(removed: str, left: str) -> None:
    others = ["search=quick", "launcher=slurm"]
    assert read_command([*others, removed]).sweep == read_command([*others, left]).sweep


@pytest.mark.parametrize(("name", "none"), NOTHING.items())
def test_help_and_guide_say_what_stands_where_a_group_is_removed(name: str, none: str) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    for told in (usage(), guide):
        assert f"~{name}" in told and f"{name}={none}" in told


def test_an_override_that_hydra_would_force_or_add_is_one_where_it_may_stand() -> None:
    assert (
        read_command(["++train.lr=0.3", "++dataset=mnist"]).sweep
        == read_command(["train.lr=0.3", "dataset=mnist"]).sweep
    )
    assert read_command(["dataset=iris", "arch=mlp", "+arch.args.width=64"]).sweep.cells[0].arch.args["width"] == 64


def fields_with_lists() -> set[str]:
    """Options that are typed as lists in the schema."""
    models = {"dataset": CellConfig.model_fields["dataset"].annotation, "launcher": SlurmLauncher}
    prefixes = {
        **models,
        "search": SearchConfig,
        "runtime": RuntimeConfig,
        "": SweepConfig,
        "method.space.x": ParamSpec,
    }
    prefixes["launcher "] = LocalLauncher
    return {
        f"{prefix.strip()}.{name}".lstrip(".")
        for prefix, model in prefixes.items()
        for name, field in model.model_fields.items()  # type: ignore[union-attr]
        if "tuple" in str(field.annotation)
    } - {"cells", "methods"}


def test_every_option_that_takes_a_list_is_known_to_the_refusal() -> None:
    found = fields_with_lists()
    assert {"seeds", "dataset.mean", "launcher.setup", "method.space.x.choices"} <= found
    assert all(LISTS.fullmatch(name) for name in found)
